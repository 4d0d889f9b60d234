"""Which layers of a network an arm quantizes: k from one end, in the middle, one, or by name.

Layers are the convolutions and linear layers in the order of their first calls. Layers that share
a weight count as one: the first stands for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from laq.ptq import layer_selection
from laq.utils.errors import ConfigError

# Where in a network the quantized layers of an arm lie.


def window(position: str, k: int, layers: int) -> slice:
    """The positions of the first, the middle or the last ``k`` of ``layers`` layers."""
    start = {"first": 0, "middle": (layers - k) // 2, "last": layers - k}[position]
    return slice(start, start + k)


# Where the k layers of an arm lie.
ENDS = ("first", "middle", "last")


@dataclass(frozen=True)
class Layers:
    """The layers of a network that can be quantized, in forward order.

    sizes: number of weights of each. sharing: for each the names of layers with the same weight,
    its own first. others: why each other convolution or linear layer cannot be quantized.
    """

    sizes: Mapping[str, int]
    sharing: Mapping[str, tuple[str, ...]]
    others: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.sizes)

    def share(self, names: Sequence[str]) -> float:
        """Share of the layers ``names`` in the weights of all layers."""
        return sum(self.sizes[name] for name in names) / sum(self.sizes.values())

    def with_sharing(self, names: Sequence[str]) -> list[str]:
        """``names`` and those that share their weights."""
        return [other for name in names for other in self.sharing[name]]


@dataclass(frozen=True)
class Choice:
    """Layers that an arm quantizes.

    label: in words. k: how many; for the position ``single`` the layer's number, from 1.
    """

    label: str
    k: int
    names: tuple[str, ...]


def layers_of(network: nn.Module, images: Tensor) -> Layers:
    """The layers of ``network``; images: uint8 (n, c, h, w), of which one is run.

    Raises ``ConfigError`` where there is none.
    """
    candidates, reasons = layer_selection.met_with_reasons(network, images, {})
    modules = dict(network.named_modules())
    shared = {name for name, reason in reasons.items() if reason.startswith("shares the codes of")}
    names = [name for name in candidates if name not in reasons]
    if not names:
        raise ConfigError(
            f"{type(network).__name__} has no layer that can be quantized: leave it out "
            "(partial_qat.networks)"
        )
    sharing = {
        name: (
            name,
            *(o for o in candidates if o in shared and modules[o].weight is modules[name].weight),
        )
        for name in names
    }
    others = {name: reasons[name] for name in candidates if name in reasons and name not in shared}
    return Layers({n: modules[n].weight.numel() for n in names}, sharing, others)


def counts(layers: int, asked: int | str | Sequence[int]) -> list[int]:
    """Numbers k of layers to quantize, of ``layers`` in all; the last is all of them.

    asked: a number of values, evenly from 0 (left out) to all; ``all``, each from 1; or a list.
    Values are even in layers and not in weights: half of a network's weights may lie in one layer.

    Raises ``ConfigError`` for a number above ``layers``.
    """
    if asked == "all":
        return list(range(1, layers + 1))
    if isinstance(asked, int):
        return sorted({max(1, round(layers * i / asked)) for i in range(1, asked + 1)})
    if excess := [k for k in asked if k > layers]:
        raise ConfigError(
            f"partial_qat.k: the network has {layers} layers that can be quantized, not "
            f"{excess[0]}; give smaller numbers, or a number of values without brackets"
        )
    return sorted({*asked, layers})


def choices(
    layers: Layers,
    position: str,
    asked: int | str | Sequence[int] = "all",
    named: Mapping[str, Sequence[str]] | None = None,
) -> list[Choice]:
    """The choices of a position, each once.

    All layers are the same choice for every position: they are ``whole``, and in no other position.
    ``single``: one layer at a time. ``named``: groups, name to patterns (``*`` for anything) of
    layers' names.

    Raises ``ConfigError`` for a pattern without a layer.
    """
    names = layers.names
    if position == "whole":
        return [Choice("all", len(names), names)]
    if position == "single":
        return [Choice(name, index, (name,)) for index, name in enumerate(names, 1)]
    if position == "named":
        return [_group(layers, name, patterns) for name, patterns in (named or {}).items()]
    return [
        Choice(f"{position} {k}", k, names[window(position, k, len(names))])
        for k in counts(len(names), asked)
        if k < len(names)
    ]


def _group(layers: Layers, group: str, patterns: Sequence[str]) -> Choice:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in layers.names):
            raise ConfigError(
                f"partial_qat.named: no layer is called {pattern} ({group}); there are: "
                f"{', '.join(layers.names)}"
            )
    matches = [n for n in layers.names if any(fnmatchcase(n, p) for p in patterns)]
    return Choice(group, len(matches), tuple(matches))


def described(choice: Choice, layers: Layers) -> dict[str, Any]:
    """Columns of a table that say which layers are quantized."""
    return {
        "k": choice.k,
        "layers": " ".join(choice.names),
        "weights_share": layers.share(choice.names),
    }
