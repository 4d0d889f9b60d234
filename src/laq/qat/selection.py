"""Which layers are quantized in training, and why the others are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from laq.ptq import layer_selection, sequential
from laq.ptq.layer_report import LayerRow
from laq.utils.errors import ConfigError

# BatchNorm in a network that is trained further.


def freeze(network: nn.Module) -> None:
    """Keep the statistics of every BatchNorm as they are: it normalises as in evaluation.

    Scale and shift are still trained. ``network.train()`` lets the statistics change again.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


KEPT = "kept in float by the config"
NOT_CHOSEN = "not among the layers that the config chooses"


@dataclass(frozen=True)
class Selection:
    """Layers of a network in the order of their first calls.

    chosen: those whose weights are quantized. met: all convolutions and linear layers.
    reasons: why those that are not chosen are not.
    """

    chosen: tuple[str, ...]
    met: tuple[str, ...]
    reasons: Mapping[str, str]

    def report(self, network: nn.Module, rows: Mapping[str, LayerRow]) -> list[LayerRow]:
        """The layer report: ``rows`` of the chosen layers, and one for every other weight."""
        return sequential.layer_report(network, self.met, self.reasons, rows)


def select(network: nn.Module, images: Tensor, settings: Mapping[str, Any]) -> Selection:
    """The layers that ``settings`` choose: without those of ``skip_layers``.

    images: uint8 (n, c, h, w), of which one is run.

    Raises:
        ConfigError: a name is of no layer that can be quantized, or no layer is left.
    """
    candidates, reasons = layer_selection.met_with_reasons(network, images, {})
    for key in ("layers", "skip_layers"):
        names = [] if settings[key] == "all" else settings[key]
        if unknown := [name for name in names if name not in candidates]:
            raise ConfigError(
                f"no convolution or linear layer is called {', '.join(unknown)} (qat.{key}); "
                f"there are: {', '.join(candidates)}"
            )
    skip_layers = dict.fromkeys(settings["skip_layers"], KEPT)
    if settings["layers"] != "all":
        others = [name for name in candidates if name not in settings["layers"]]
        skip_layers = {**dict.fromkeys(others, NOT_CHOSEN), **skip_layers}
    candidates, reasons = layer_selection.met_with_reasons(network, images, skip_layers)
    chosen = tuple(name for name in candidates if name not in reasons)
    if not chosen:
        raise ConfigError(
            "no layer is left to quantize: name fewer in qat.skip_layers, or others in qat.layers"
        )
    return Selection(chosen, tuple(candidates), reasons)
