"""The output layers of a network beside those of a file: other classes make new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from laq.models import networks
from laq.utils.errors import ConfigError


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
