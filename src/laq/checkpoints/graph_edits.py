"""What a checkpoint's network has beside its architecture: quantizers of inputs, folded BatchNorm.

A description may hold ``transforms``, a list of mappings such as
``{"kind": "input_quantizers", "layers": {…}}``. They are applied in their order to the network that
``laq.models.networks.create`` builds. Its tensors are loaded afterwards, so that modules which they
add get theirs from the file. A kind is a function ``apply(network, **fields) -> nn.Module``. Fields
are all keys of the mapping but ``kind``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from laq.integer import placement
from laq.models import networks
from laq.ptq import activation_quantizer, folding
from laq.utils.errors import CheckpointError

KINDS: dict[str, Callable[..., nn.Module]] = {
    "folded_batchnorm": folding.apply,
    "input_quantizers": activation_quantizer.apply,
    "integer": placement.apply,
}


def create(
    name: str, classes: int, transforms: Sequence[Mapping[str, Any]] = (), **arguments: Any
) -> nn.Module:
    """As ``laq.models.networks.create``, with ``transforms`` applied in their order.

    Raises ``ConfigError`` as that does, and ``CheckpointError`` that names the entry, as in
    ``transforms[1]``, for one that cannot be applied to such a network.
    """
    return applied(networks.create(name, classes, **arguments), transforms)


def applied(network: nn.Module, transforms: Sequence[Mapping[str, Any]]) -> nn.Module:
    """``network`` with ``transforms`` applied in their order; it may be changed in place.

    Raises ``CheckpointError`` as ``create`` does.
    """
    for index, entry in enumerate(transforms):
        network = _applied(network, entry, f"transforms[{index}]")
    return network


def spec(description: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``create`` for the network of a checkpoint with this ``description``."""
    transforms = {key: description[key] for key in ("transforms",) if description.get(key)}
    return {**description["network"], **transforms}


def _applied(network: nn.Module, entry: Mapping[str, Any], place: str) -> nn.Module:
    fields = {key: value for key, value in entry.items() if key != "kind"}
    if entry["kind"] not in KINDS:
        raise CheckpointError(
            f"{place}.kind is {entry['kind']!r}, and this version of the workflow knows "
            f"{', '.join(KINDS)}"
        )
    try:
        return KINDS[entry["kind"]](network, **fields)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # fields that are none of its own raise nearly anything
        raise CheckpointError(f"{place} ({entry['kind']}) does not fit: {error}") from error
