"""Ranges of layers' inputs, observed over the calibration images a chunk at a time.

What is kept of them is a histogram, so that memory does not grow with the number of images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from laq.ptq.activation_quantizer import InputQuantizer, Mode
from laq.quantizers import observers
from laq.quantizers.observers import How

# Bins between the smallest and the largest value.
BINS = 2 * observers.BINS

# Elements that are counted at once: float32 counts whole numbers up to here.
_PIECE = 2**24


@dataclass(frozen=True)
class InputSettings:
    """How inputs are quantized: ``compress.activations`` of a variant.

    bits, mode: as in ``InputQuantizer``. range, percentile: of ``laq.quantizers.observers``, for
    static grids.
    """

    bits: int = 8
    mode: Mode = "static"
    range: How = "minmax"
    percentile: float = 99.99


def calibrate(
    quantizer: InputQuantizer, inputs: Callable[[], Iterable[Tensor]], settings: InputSettings
) -> None:
    """Fit a static ``quantizer`` to its inputs, and let it quantize from now on.

    inputs: starts a pass over finite tensors of any shape, the same at each call. Ranges other than
    that of all values take two passes, and end by half a bin within it: there are ``BINS``, and
    exact zeros have one of their own.
    """
    if quantizer.mode == "dynamic":
        quantizer.enabled = True
        return
    low, high = _extremes(inputs())
    if settings.range != "minmax" and low < high:
        centres, counts = _histogram(inputs(), low, high)
        low, high = observers.choose(
            centres[None],
            settings.bits,
            settings.range,
            symmetric=False,
            counts=counts[None],
            quantile=settings.percentile / 100,
        )
    quantizer.calibrate(low.squeeze().clamp(max=0), high.squeeze().clamp(min=0))


def _extremes(chunks: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    lows, highs = zip(*(chunk.aminmax() for chunk in chunks), strict=True)
    return torch.stack(lows).min(), torch.stack(highs).max()


def _histogram(chunks: Iterable[Tensor], low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Centres of ``BINS`` bins from ``low`` to ``high`` and zero, with their counts, in float64."""
    counts = torch.zeros(BINS + 1, dtype=torch.float64, device=low.device)
    ends = float(low), float(high)
    for chunk in chunks:
        for piece in chunk.reshape(-1).split(_PIECE):
            values = piece[piece != 0]
            counts[:-1] += torch.histc(values, BINS, *ends)
            counts[-1] += len(piece) - len(values)
    width = (ends[1] - ends[0]) / BINS
    centres = ends[0] + width * (torch.arange(BINS + 1, dtype=torch.float64) + 0.5)
    centres[-1] = 0
    return centres.to(counts.device), counts
