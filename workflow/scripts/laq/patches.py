"""A layer's input as a matrix: one row a sample, one column a weight of a neuron.

Convolutions are unfolded into patches (im2col), so that output = matrix @ weight.T.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from laq.errors import DataError


@dataclass(frozen=True)
class Sampling:
    """Which patches of a convolution's input become samples.

    ``published``: patches do not overlap (stride = kernel size) and ``fraction`` of them is
    drawn with replacement, as in the published code. ``all``: every patch the convolution
    itself sees, at its true stride; ``fraction`` is not used.
    """

    kind: Literal["published", "all"] = "published"
    fraction: float = 0.25


def layer_inputs(
    layer: nn.Conv2d | nn.Linear,
    x: Tensor,
    xq: Tensor,
    sampling: Sampling,
    generator: torch.Generator,
) -> list[tuple[Tensor, Tensor]]:
    """Input matrices (m, d) of the float and the quantized network, a pair for each group.

    Both hold the same patches in the same order.

    Raises:
        DataError: an input is not finite, or the padding is none that can be unfolded.
    """
    for value, which in ((x, "float"), (xq, "quantized")):
        if not torch.isfinite(value).all():
            raise DataError(f"the {which} network's input here is not finite (NaN or infinite)")
    if isinstance(layer, nn.Linear):
        return [(x.flatten(0, -2), xq.flatten(0, -2))]
    rows, rows_q = _unfold(layer, x, sampling), _unfold(layer, xq, sampling)
    if sampling.kind == "published":
        count = max(1, round(sampling.fraction * len(rows)))
        drawn = torch.randint(len(rows), (count,), generator=generator).to(rows.device)
        rows, rows_q = rows[drawn], rows_q[drawn]
    # Columns are channel-major, so a group's channels are one run of columns.
    return list(zip(rows.chunk(layer.groups, 1), rows_q.chunk(layer.groups, 1), strict=True))


def _unfold(layer: nn.Conv2d, x: Tensor, sampling: Sampling) -> Tensor:
    """Patches of x (n, c, h, w) as (n · positions, c · kh · kw)."""
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise DataError(
            f"padding {layer.padding!r} with mode {layer.padding_mode!r} cannot be unfolded: "
            "leave the layer in float (compress.keep)"
        )
    stride = layer.kernel_size if sampling.kind == "published" else layer.stride
    columns = nn.functional.unfold(x, layer.kernel_size, layer.dilation, layer.padding, stride)
    return columns.transpose(1, 2).reshape(-1, columns.shape[1])
