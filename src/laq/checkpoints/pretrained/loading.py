"""A state put into a network, or refused by the names of what does not fit."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from laq.checkpoints.pretrained import states
from laq.checkpoints.pretrained.states import Part
from laq.models import networks
from laq.utils.errors import ConfigError, DataError

# The output layers of a network beside those of a file: other classes make new ones.


@dataclass(frozen=True)
class Head:
    """Outputs of a network: their number, and the parameters of layers with so many outputs."""

    classes: int
    layers: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, network: nn.Module, classes: int | None) -> Head:
        """``classes``: by default those of the layer that ``laq.models.networks.head`` gives."""
        if classes is None:
            try:
                classes = len(networks.head(network).weight)
            except ConfigError:  # no layer, so no head either
                return cls(0, ())
        layers = {
            name: frozenset(
                f"{name}.{parameter}" for parameter, _ in module.named_parameters(recurse=False)
            )
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear) and len(module.weight) == classes
        }
        return cls(classes, tuple(layers.values()))

    def of_other_classes(self, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> set[str]:
        """Names in both whose shapes differ in the number of classes alone.

        The number must be the same for all, and each layer must be there with all its parameters.
        """
        outputs = {
            name: len(state[name])
            for name, tensor in own.items()
            if name in state
            and tensor.ndim == state[name].ndim > 0
            and len(tensor) == self.classes != len(state[name])
            and tensor.shape[1:] == state[name].shape[1:]
        }
        complete = all(
            layer & state.keys() <= outputs.keys()
            for layer in self.layers
            if layer & outputs.keys()
        )
        return set(outputs) if complete and len(set(outputs.values())) == 1 else set()

    def new(self, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> set[str]:
        """Names of ``own`` that keep their fresh weights.

        They are of layers that the state has for other classes, or does not have.
        """
        resized = self.of_other_classes(state, own)
        layers = [layer for layer in self.layers if layer & resized or not layer & state.keys()]
        return resized.union(*layers) & own.keys()


# Weights that a file holds as what they are computed from.
#
# Weight normalisation and pruning of ``torch.nn.utils`` keep other parameters in the place of a
# layer's weight. Where their names and shapes leave no doubt, the weight is computed. For all
# others the error names the call that makes the weight a plain parameter again.


# Name in a file, the technique that it is of, and the call that removes it.
_CALLS = (
    (
        re.compile(r"(?:^|\.)parametrizations\.\w+\."),
        "a parametrization",
        'torch.nn.utils.parametrize.remove_parametrizations(layer, "weight")',
    ),
    (
        re.compile(r"(?:^|\.)\w+_u$"),
        "spectral norm",
        "torch.nn.utils.remove_spectral_norm(layer)",
    ),
    (
        re.compile(r"(?:^|\.)\w+_g$"),
        "weight norm",
        "torch.nn.utils.remove_weight_norm(layer)",
    ),
    (
        re.compile(r"(?:^|\.)\w+_mask$"),
        "pruning",
        'torch.nn.utils.prune.remove(layer, "weight")',
    ),
)


def weights(state: Mapping[str, Tensor], own: Collection[str]) -> dict[str, Tensor]:
    """``state``, with weights in the place of their parts, for ``own``, the names of a network.

    - weight norm of ``torch.nn.utils.weight_norm``: g · v / ‖v‖ of ``weight_g`` and ``weight_v``
      (Salimans & Kingma 2016), the norm over all dimensions but that of g.
    - pruning of ``torch.nn.utils.prune``: ``weight_orig`` · ``weight_mask``.
    """
    restored = dict(state)
    for name in own:
        if name in state:
            continue
        factors = {
            suffix: state.get(f"{name}_{suffix}") for suffix in ("g", "v", "orig", "mask", "u")
        }
        g, v, orig, mask, u = factors.values()
        value = None
        if g is not None and v is not None and orig is None:
            value = _normalised(g, v)
        elif orig is not None and mask is not None and v is None and u is None:
            value = orig * mask if orig.shape == mask.shape else None
        if value is not None:
            sources = [
                f"{name}_{suffix}" for suffix, tensor in factors.items() if tensor is not None
            ]
            restored = {key: tensor for key, tensor in restored.items() if key not in sources}
            restored[name] = value
    return restored


def remedy(names: Iterable[str]) -> str | None:
    """What to call before a state is saved, where ``names`` show that its weights are computed."""
    for name in names:
        for pattern, kind, call in _CALLS:
            if pattern.search(name):
                return (
                    f"{name} is of {kind}, from which the layer computes its weight: call {call} "
                    "for each such layer before state_dict() is saved"
                )
    return None


def _normalised(g: Tensor, v: Tensor) -> Tensor | None:
    """The weight of weight norm, None for shapes that it does not have."""
    if g.ndim == 0:
        return torch._weight_norm(v.float(), g.float(), -1)
    dims = [dim for dim, size in enumerate(g.shape) if size > 1]
    # Where all are 1, the norm is over all numbers, whichever dimension it was asked for.
    dim = dims[0] if dims else next((p for p, size in enumerate(v.shape) if size == 1), None)
    if g.ndim != v.ndim or len(dims) > 1 or dim is None or g.shape[dim] != v.shape[dim]:
        return None
    return torch._weight_norm(v.float(), g.float(), dim)


logger = logging.getLogger(__name__)

# What a network does to its images. A file without a description does not have it.
_INPUT = ("name", "stem", "resize", "crop", "mean", "std", "widths")

# What a state may hold beside a network's: counters of profilers and of averages, and the
# auxiliary heads of GoogLeNet and Inception, which only help to train them.
_IDLE = re.compile(
    r"(?:.*\.)?total_(?:ops|params)|(?:body\.)?n_averaged|(?:body\.)?(?:aux\d|AuxLogits)\..*"
)


def check_own(
    description: Mapping[str, Any] | None,
    spec: Mapping[str, Any],
    classes: Sequence[str],
    where: str,
    new_head: bool,
) -> None:
    """Refuse a checkpoint of this workflow that is of another network than ``spec``.

    ``description``: the checkpoint's, None for another file. Without a ``new_head`` its classes
    must be ``classes``, in their order. Raises ``DataError`` that names what differs.
    """
    if description is None:
        return
    network = description.get("network", {})
    for key in _INPUT:
        if network.get(key) != spec.get(key):
            raise DataError(
                f"{where} was made with {key} {network.get(key)}, and the config's network has "
                f"{spec.get(key)}: give the network the checkpoint's own (networks.<id>)"
            )
    if not new_head and description.get("classes", classes) != list(classes):
        raise DataError(
            f"{where} is of other classes, or of these in another order: train the network on "
            "yours (networks.<id>.training), or take the data set it was made on"
        )


def load_into(
    network: nn.Module,
    state: Mapping[str, Tensor],
    where: str,
    new_head: bool,
    classes: int | None = None,
) -> None:
    """Put ``state`` into ``network``, in place; ``where`` says in errors whose weights they are.

    The network's names may have a prefix in ``state``. Names with another prefix are left out. With
    ``new_head`` output layers keep their fresh weights where the state has none, or has weights for
    another number of classes: they are to be trained. ``classes``: their number in the network, by
    default the outputs of its last layer.

    Raises ``DataError`` that names the first parameters which are missing, left over or of another
    shape, several states that fit, and numbers that are not finite.
    """
    head = Head.of(network, classes)
    fits = [_Fit.of(part, network, head, new_head) for part in states.parts(state, network)]
    matches = [fit for fit in fits if not fit.fault]
    if not matches:
        raise DataError(f"{where} {fits[0].fault if fits else _unknown(state, network)}")
    chosen = matches[0]
    if others := [fit.part.prefix for fit in matches[1:] if not chosen.equals(fit)]:
        prefixes = [prefix or "no prefix" for prefix in (chosen.part.prefix, *others)]
        raise DataError(
            f"{where} hold several states that fit the network, with {' and '.join(prefixes)} "
            "before their names: save the one that you mean alone"
        )
    for name, value in chosen.state.items():
        if value.is_floating_point() and not value.float().isfinite().all():
            raise DataError(
                f"{where}: {chosen.part.source(name)} holds NaN or infinite values; take other "
                "weights"
            )
    if chosen.new:
        logger.info("%s new: the weights are of other classes", _first(chosen.new))
    matched = {chosen.part.prefix, *(fit.part.prefix for fit in matches)}
    if ignored := [name for name in state if not name.startswith(tuple(matched))]:
        logger.info("%s: left out, as no part of the network: %s", where, _first(ignored))
    networks.load_state(network, chosen.state, chosen.versions, strict=False)


@dataclass(frozen=True)
class _Fit:
    """A part of a file beside a network.

    state: by the network's names, without idle and new ones. versions: ``_metadata`` of modules,
    which loading reads. new: names that keep their fresh weights. fault: what does not fit.
    """

    part: Part
    state: dict[str, Tensor]
    versions: Mapping[str, Any]
    new: list[str]
    fault: str

    @classmethod
    def of(cls, part: Part, network: nn.Module, head: Head, new_head: bool) -> _Fit:
        tensors = {name: x for name, x in network.state_dict().items() if isinstance(x, Tensor)}
        # Some networks once saved buffers that they now make themselves.
        idle = {name for name, _ in network.named_buffers()} - tensors.keys()
        state = {
            name: value
            for name, value in weights(part.state, tensors).items()
            if name in tensors or not (_IDLE.fullmatch(name) or name in idle)
        }
        new = sorted(head.new(state, tensors)) if new_head else []
        loaded = {name: value for name, value in state.items() if name not in new}
        versions = {**network.state_dict()._metadata, **part.versions}
        fit = cls(part, loaded, versions, new, _fault(loaded, tensors, new, part, network))
        if not fit.fault:
            return fit
        if _loads(loaded, part, network, new):
            return replace(fit, versions=part.versions, fault="")
        resized = sorted(head.of_other_classes(loaded, tensors))
        remainder = {name: value for name, value in loaded.items() if name not in resized}
        if resized and not _fault(remainder, tensors, resized, part, network):
            name = resized[-1]
            return replace(
                fit, fault=_other_classes(part.source(name), loaded[name], tensors[name])
            )
        return fit

    def equals(self, other: _Fit) -> bool:
        return self.state.keys() == other.state.keys() and all(
            states.same(value, other.state[name]) for name, value in self.state.items()
        )


def _other_classes(name: str, value: Tensor, own: Tensor) -> str:
    return (
        f"are for {len(value)} classes, not {len(own)} ({name}): train the network on yours "
        "(networks.<id>.training), or take weights of these classes"
    )


def _fault(
    state: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    new: Collection[str],
    part: Part,
    network: nn.Module,
) -> str:
    """What does not fit, each kind with its first names, as the file calls them."""
    shapes = [
        f"{part.source(name)} {tuple(state[name].shape)}, here {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    quantized = [part.source(name) for name, value in state.items() if value.is_quantized]
    kinds = (
        ("lack", sorted(map(part.source, _missing(state, own, new, network)))),
        (
            "hold, beside what the network has,",
            sorted(part.source(name) for name in state.keys() - own.keys()),
        ),
        ("have other shapes:", shapes),
        ("are integers of torch's own quantization:", quantized),
    )
    faults = [f"{fault} {_first(names)}" for fault, names in kinds if names]
    if not faults:
        return ""
    advice = remedy(part.sources.values()) or (
        "they are of another architecture or stem (networks.<id>.architecture, stem; published "
        "ImageNet weights take stem: standard)"
    )
    return f"{'; they '.join(faults)}: {advice}"


def _missing(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], new: Collection[str], network: nn.Module
) -> list[str]:
    """Names of ``own`` that the state lacks, where it has the same tensor by no other name."""
    tensors = network.state_dict(keep_vars=True)
    present = {id(tensors[name]) for name in own if name in state or name in new}
    return [
        name
        for name in own
        # Old files have no such counters, and no network uses them.
        if id(tensors[name]) not in present and not name.endswith("batches_tracked")
    ]


def _loads(
    state: Mapping[str, Tensor], part: Part, network: nn.Module, new: Collection[str]
) -> bool:
    """Whether the network's own loading takes the state, as it does with names of old versions."""
    trial = copy.deepcopy(network)
    shapes = {name: parameter.shape for name, parameter in trial.named_parameters()}
    try:
        result = networks.load_state(trial, state, part.versions, strict=False)
    except Exception:  # whatever a network's own loading makes of names that it does not know
        return False
    missing = {name for name in result.missing_keys if not name.endswith("batches_tracked")}
    same = shapes == {name: parameter.shape for name, parameter in trial.named_parameters()}
    return same and not result.unexpected_keys and missing <= set(new)


def _unknown(state: Mapping[str, Tensor], network: nn.Module) -> str:
    names = [name.removeprefix("body.") for name in network.state_dict()]
    return (
        f"hold {_first(list(state))}, and none of the network's names, such as {_first(names)}: "
        "they are of another architecture (networks.<id>.architecture)"
    )


def _first(found: Sequence[str]) -> str:
    suffix = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(found[:3]) + suffix
