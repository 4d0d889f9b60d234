"""A state put into a network, or refused by the names of what does not fit."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from laq.errors import DataError

logger = logging.getLogger(__name__)

# What a network does to its images; a file without a description cannot say it.
_INPUT = ("name", "stem", "resize", "mean", "std", "widths")


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


def load_into(network: nn.Module, state: Mapping[str, Tensor], where: str, new_head: bool) -> None:
    """Put ``state`` into ``network``, in place; ``where`` says in errors whose weights they are.

    With ``new_head`` the last linear layer keeps its fresh weights where the state has none, or
    of another shape: for weights of other classes, to be trained.

    Raises ``DataError`` that names the first parameters which are missing, left over or of another
    shape.
    """
    own = network.state_dict()
    state = _renamed(state, own)
    head = next(reversed([n for n, m in network.named_modules() if isinstance(m, nn.Linear)]), None)
    for name in (f"{head}.weight", f"{head}.bias"):
        if name in own and (name not in state or state[name].shape != own[name].shape):
            if new_head:
                state[name] = own[name]
                logger.info("%s is new: the weights are of other classes", name)
            elif name in state:
                raise DataError(
                    f"{where} are for {state[name].shape[0]} classes, not {own[name].shape[0]} "
                    f"({name}): train the network on yours (networks.<id>.training), or take "
                    "weights of these classes"
                )
    if faults := _faults(state, own):
        raise DataError(
            f"{where} {'; they '.join(faults)}: they are of another architecture or stem "
            "(networks.<id>.architecture, stem; published ImageNet weights take stem: standard)"
        )
    network.load_state_dict(state, strict=False)


def _faults(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """What does not fit, each kind with its first names."""
    shapes = [
        f"{name} {tuple(state[name].shape)}, here {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    # Old files have no such counters, and no network uses them.
    missing = [name for name in own.keys() - state.keys() if not name.endswith("batches_tracked")]
    kinds = (
        ("lack", sorted(missing)),
        ("hold, beside what the network has,", sorted(state.keys() - own.keys())),
        ("have other shapes:", shapes),
    )
    return [f"{fault} {_first(names)}" for fault, names in kinds if names]


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return "; ".join(names[:3]) + more


def _renamed(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names as in ``own``: those of a wrapped network, of an old DenseNet, without idle heads."""
    inside = {name.removeprefix("body."): name for name in own}
    # DataParallel, compile, Lightning and others put one name or more before all.
    while not (state.keys() & inside.keys() or state.keys() & own.keys()):
        heads = {name.partition(".")[0] for name in state}
        if len(heads) != 1 or any("." not in name for name in state):
            break
        state = {name.partition(".")[2]: value for name, value in state.items()}
    # torchvision's DenseNet weights are older than its names (torchvision.models.densenet).
    pattern = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)")
    names = {name: pattern.sub(r"\1", name) for name in state}
    if not state.keys() & own.keys():
        prefix = "body." if any(name.startswith("body.") for name in own) else ""
        names = {name: inside.get(new, prefix + new) for name, new in names.items()}
    # Auxiliary heads of GoogLeNet and Inception only help to train them.
    idle = re.compile(r"(?:body\.)?(?:aux\d|AuxLogits)\.")
    return {new: state[name] for name, new in names.items() if new in own or not idle.match(new)}
