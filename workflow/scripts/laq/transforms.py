"""What a checkpoint's network has beside its architecture: quantizers of inputs, folded BatchNorm.

A description may hold ``transforms``, a list of mappings such as
``{"kind": "input_quantizers", "layers": {…}}``. They are applied in their order to the network that
``laq.networks.create`` builds, before its tensors are loaded, so that modules which they add find
theirs in the file. A kind is a module with ``apply(network, **fields) -> nn.Module``, imported when
it is met; fields are all keys of the mapping but ``kind``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from laq.errors import CheckpointError

if TYPE_CHECKING:
    from torch import nn

KINDS = {
    "folded_batchnorm": "laq.folding",
    "input_quantizers": "laq.input_quantization",
    "integer": "laq.integer.placement",
}

# Of kinds that ask for another network in the place of the loaded one: ``laq.inference``.
COMPILERS = {"integer": "laq.integer.compilation"}

# The same in float, to the last bit.
SIMULATIONS = {"integer": "laq.integer.simulation"}


def create(
    name: str, classes: int, transforms: Sequence[Mapping[str, Any]] = (), **arguments: Any
) -> nn.Module:
    """As ``laq.networks.create``, with ``transforms`` applied in their order.

    Raises ``ConfigError`` as that does, and ``CheckpointError`` that names the entry, as in
    ``transforms[1]``, for one that cannot be applied to such a network.
    """
    from laq import networks

    network = networks.create(name, classes, **arguments)
    for place, entry in enumerate(transforms):
        network = _applied(network, entry, f"transforms[{place}]")
    return network


def spec(description: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``create`` for the network that a checkpoint's description is of."""
    transforms = {key: description[key] for key in ("transforms",) if description.get(key)}
    return {**description["network"], **transforms}


def _applied(network: nn.Module, entry: Mapping[str, Any], place: str) -> nn.Module:
    fields = {key: value for key, value in entry.items() if key != "kind"}
    if entry["kind"] not in KINDS:
        raise CheckpointError(
            f"{place}.kind is {entry['kind']!r}, and this version of the workflow knows "
            f"{', '.join(KINDS)}"
        )
    module = importlib.import_module(KINDS[entry["kind"]])
    try:
        return module.apply(network, **fields)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # fields that are none of its own raise nearly anything
        raise CheckpointError(f"{place} ({entry['kind']}) does not fit: {error}") from error
