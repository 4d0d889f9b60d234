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
            name: frozenset(f"{name}.{own}" for own, _ in module.named_parameters(recurse=False))
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear) and len(module.weight) == classes
        }
        return cls(classes, tuple(layers.values()))

    def of_other_classes(self, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> set[str]:
        """Names in both whose shapes differ by the number of classes alone, the same for all, and
        of layers with all their parameters."""
        found = {
            name: len(state[name])
            for name, mine in own.items()
            if name in state
            and mine.ndim == state[name].ndim > 0
            and len(mine) == self.classes != len(state[name])
            and mine.shape[1:] == state[name].shape[1:]
        }
        whole = all(x & state.keys() <= found.keys() for x in self.layers if x & found.keys())
        return set(found) if whole and len(set(found.values())) == 1 else set()

    def new(self, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> set[str]:
        """Names of ``own`` that keep their fresh weights: of layers that the state has for other
        classes, or does not have."""
        other = self.of_other_classes(state, own)
        layers = [x for x in self.layers if x & other or not x & state.keys()]
        return other.union(*layers) & own.keys()


# Weights that a file holds as what they are computed from.
#
# Weight normalisation and pruning of ``torch.nn.utils`` keep other parameters in a layer's weight's
# place. Where their names and shapes leave no doubt, the weight is computed; for all others there
# is the call that makes them plain again.


# What a name in a file tells of, and the call after which it is not there.
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
    """``state`` with the weights of ``own``, a network's names, that it holds in parts.

    - weight norm of ``torch.nn.utils.weight_norm``: g · v / ‖v‖ of ``weight_g`` and ``weight_v``
      (Salimans & Kingma 2016), the norm over all dimensions but that of g.
    - pruning of ``torch.nn.utils.prune``: ``weight_orig`` · ``weight_mask``.
    """
    found = dict(state)
    for name in own:
        if name in state:
            continue
        parts = {part: state.get(f"{name}_{part}") for part in ("g", "v", "orig", "mask", "u")}
        g, v, orig, mask, u = parts.values()
        value = None
        if g is not None and v is not None and orig is None:
            value = _normalised(g, v)
        elif orig is not None and mask is not None and v is None and u is None:
            value = orig * mask if orig.shape == mask.shape else None
        if value is not None:
            used = [f"{name}_{part}" for part, tensor in parts.items() if tensor is not None]
            found = {key: tensor for key, tensor in found.items() if key not in used}
            found[name] = value
    return found


def remedy(names: Iterable[str]) -> str | None:
    """What to call before a state is saved, where ``names`` show that its weights are computed."""
    for name in names:
        for pattern, what, call in _CALLS:
            if pattern.search(name):
                return (
                    f"{name} is of {what}, from which the layer computes its weight: call {call} "
                    "for each such layer before state_dict() is saved"
                )
    return None


def _normalised(g: Tensor, v: Tensor) -> Tensor | None:
    """The weight of weight norm, None for shapes that it does not have."""
    if g.ndim == 0:
        return torch._weight_norm(v.float(), g.float(), -1)
    wide = [place for place, size in enumerate(g.shape) if size > 1]
    # Where all are 1, the norm is over all numbers, whichever dimension it was asked for.
    place = wide[0] if wide else next((p for p, size in enumerate(v.shape) if size == 1), None)
    if g.ndim != v.ndim or len(wide) > 1 or place is None or g.shape[place] != v.shape[place]:
        return None
    return torch._weight_norm(v.float(), g.float(), place)


logger = logging.getLogger(__name__)

# What a network does to its images; a file without a description cannot say it.
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

    ``description``: the checkpoint's, None for another file. Its classes must be ``classes`` in
    their order, but with a ``new_head``. Raises ``DataError`` that names what differs.
    """
    if description is None:
        return
    made = description.get("network", {})
    for key in _INPUT:
        if made.get(key) != spec.get(key):
            raise DataError(
                f"{where} was made with {key} {made.get(key)}, and the config's network has "
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

    The network's names may have a prefix in ``state``; what has another is left out. With
    ``new_head`` all output layers keep their fresh weights where the state has none, or has them
    for another number of classes: for weights of other classes, to be trained. ``classes``: the
    network's, by default the outputs of its last layer.

    Raises ``DataError`` that names the first parameters which are missing, left over or of another
    shape, several states that fit, and numbers that are not finite.
    """
    head = Head.of(network, classes)
    fits = [_Fit.of(part, network, head, new_head) for part in states.parts(state, network)]
    fitting = [fit for fit in fits if not fit.fault]
    if not fitting:
        raise DataError(f"{where} {fits[0].fault if fits else _unknown(state, network)}")
    chosen = fitting[0]
    if others := [fit.part.prefix for fit in fitting[1:] if not chosen.equals(fit)]:
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
    used = {chosen.part.prefix, *(fit.part.prefix for fit in fitting)}
    if left := [name for name in state if not name.startswith(tuple(used))]:
        logger.info("%s: left out, as no part of the network: %s", where, _first(left))
    networks.load_state(network, chosen.state, chosen.versions, strict=False)


@dataclass(frozen=True)
class _Fit:
    """A part of a file beside a network.

    state: by the network's names, without what is idle or new. versions: what loading looks at.
    new: names that keep their fresh weights. fault: what does not fit, in words.
    """

    part: Part
    state: dict[str, Tensor]
    versions: Mapping[str, Any]
    new: list[str]
    fault: str

    @classmethod
    def of(cls, part: Part, network: nn.Module, head: Head, new_head: bool) -> _Fit:
        own = {name: x for name, x in network.state_dict().items() if isinstance(x, Tensor)}
        # Buffers that a network makes itself were once saved by some.
        idle = {name for name, _ in network.named_buffers()} - own.keys()
        state = {
            name: value
            for name, value in weights(part.state, own).items()
            if name in own or not (_IDLE.fullmatch(name) or name in idle)
        }
        new = sorted(head.new(state, own)) if new_head else []
        known = {name: value for name, value in state.items() if name not in new}
        versions = {**network.state_dict()._metadata, **part.versions}
        fit = cls(part, known, versions, new, _fault(known, own, new, part, network))
        if not fit.fault:
            return fit
        if _loads(known, part, network, new):
            return replace(fit, versions=part.versions, fault="")
        others = sorted(head.of_other_classes(known, own))
        rest = {name: value for name, value in known.items() if name not in others}
        if others and not _fault(rest, own, others, part, network):
            name = others[-1]
            return replace(fit, fault=_other_classes(part.source(name), known[name], own[name]))
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
    faults = [f"{fault} {_first(found)}" for fault, found in kinds if found]
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
    held = {id(tensors[name]) for name in own if name in state or name in new}
    return [
        name
        for name in own
        # Old files have no such counters, and no network uses them.
        if id(tensors[name]) not in held and not name.endswith("batches_tracked")
    ]


def _loads(
    state: Mapping[str, Tensor], part: Part, network: nn.Module, new: Collection[str]
) -> bool:
    """Whether the network's own loading takes the state, as it does with names of its past."""
    trial = copy.deepcopy(network)
    shapes = {name: x.shape for name, x in trial.named_parameters()}
    try:
        found = networks.load_state(trial, state, part.versions, strict=False)
    except Exception:  # whatever a network's own loading makes of names that it does not know
        return False
    missing = {name for name in found.missing_keys if not name.endswith("batches_tracked")}
    same = shapes == {name: x.shape for name, x in trial.named_parameters()}
    return same and not found.unexpected_keys and missing <= set(new)


def _unknown(state: Mapping[str, Tensor], network: nn.Module) -> str:
    own = [name.removeprefix("body.") for name in network.state_dict()]
    return (
        f"hold {_first(list(state))}, and none of the network's names, such as {_first(own)}: they "
        "are of another architecture (networks.<id>.architecture)"
    )


def _first(found: Sequence[str]) -> str:
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(found[:3]) + more
