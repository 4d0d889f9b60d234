"""A layer's input as a matrix: one row a sample, one column a weight of a neuron.

Rows of a convolution are its patches, so that output = matrix @ weight.T. They are read through
a strided view of the padded input. Only patches that become samples are copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from laq.ptq import fidelity
from laq.ptq.fidelity import Padding
from laq.ptq.layer import Pair, Samples
from laq.utils.errors import ConfigError, DataError

Kind = Literal["published", "all", "limited"]

# Bytes of all patches of some images that are made at a time.
_PIECE = 2**24


@dataclass(frozen=True)
class Sampling:
    """Which patches of a convolution's input become samples.

    ``published``: patches do not overlap (stride = kernel size), and of the L patches of each
    image ``draws(L)`` are drawn with replacement, as in the published code. ``all``: every patch
    the convolution itself sees, at its true stride; ``fraction`` is not used. ``limited``: of these
    so many of each image, drawn without replacement, that there are about ``per_input`` samples for
    each column of the matrix; all where there are fewer. A convolution of large images has far more
    patches than its weights can tell apart, and time is in proportion to them.
    """

    kind: Kind = "published"
    fraction: float = 0.25
    per_input: float = 2.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"patches {self.kind!r}: choose {' or '.join(get_args(Kind))}")
        if not 0 < self.fraction <= 1:
            raise ConfigError(f"fraction {self.fraction} must be above 0 and at most 1")

    def draws(self, patches: int) -> int:
        """⌊fraction · L⌋ + 1 of an image's L patches, or L where ``fraction`` is 1."""
        return patches if self.fraction == 1 else int(self.fraction * patches) + 1

    def limit(self, columns: int, images: int) -> int:
        """Patches of each of ``images`` images of a layer with so many ``columns``."""
        return math.ceil(self.per_input * columns / images)


def layer_samples(
    layer: nn.Conv2d | nn.Linear,
    shapes: Sequence[torch.Size],
    inputs: Callable[[], Iterable[Pair]],
    sampling: Sampling,
    generator: torch.Generator,
) -> Samples:
    """Samples of ``layer``, made of its inputs a chunk at a time and anew in each pass.

    Both networks give the same patches. They are drawn here, once for all chunks and all passes.
    Rows are in the order of the images.

    Args:
        layer: a convolution with inputs (…, c, h, w) or a linear layer with inputs (…, d).
        shapes: shape of each chunk of the input.
        inputs: starts a pass over the chunks of both networks' inputs.
        sampling: which patches to take; linear layers take every row.
        generator: draws them.
    """
    columns = layer.weight[0].numel()
    if isinstance(layer, nn.Linear):
        rows = sum(shape[:-1].numel() for shape in shapes)
        return Samples(rows, columns, lambda: _pairs(inputs(), lambda x: x.reshape(-1, columns)))

    windows = _Windows.of(layer, sampling)
    counts = [windows.count(shape) for shape in shapes]
    images = sum(shape[:-3].numel() for shape in shapes)
    limit = sampling.limit(columns, images) if sampling.kind == "limited" else None
    if sampling.kind == "all" or (limit is not None and sum(counts) <= limit * images):
        width = layer.groups * columns

        def pieces() -> Iterator[Pair]:
            for x, xq in inputs():
                images, rows = x.shape[:-3].numel(), windows.count(x.shape)
                size = max(1, _PIECE * images // (rows * width * x.element_size()))
                splits = x.reshape(-1, *x.shape[-3:]).split(size)
                quantized_splits = splits if xq is x else xq.reshape(-1, *xq.shape[-3:]).split(size)
                yield from _pairs(
                    zip(splits, quantized_splits, strict=True),
                    lambda x: windows.view(x).reshape(-1, width),
                )

        return Samples(sum(counts), columns, pieces, layer.groups)
    draws = [_drawn(windows, shape, sampling, limit, generator) for shape in shapes]

    def chunks() -> Iterator[Pair]:
        for pair, draw in zip(inputs(), draws, strict=True):
            yield from _pairs([pair], lambda x, draw=draw: windows.take(x, draw))

    return Samples(sum(map(len, draws)), columns, chunks, layer.groups)


def _drawn(
    windows: _Windows,
    shape: torch.Size,
    sampling: Sampling,
    limit: int | None,
    generator: torch.Generator,
) -> Tensor:
    """Indices of drawn patches over all images of a chunk. Chunking does not change the draws."""
    rows, columns = windows.grid(*shape[-2:])
    images, patches = shape[:-3].numel(), rows * columns
    if limit is None:
        indices = torch.randint(patches, (images, sampling.draws(patches)), generator=generator)
    else:
        keys = torch.rand((images, patches), generator=generator)
        indices = keys.topk(min(limit, patches), dim=1).indices
    indices = indices.sort(dim=1).values  # read in the order of memory
    return (indices + patches * torch.arange(images)[:, None]).flatten()


def _pairs(inputs: Iterable[Pair], matrix: Callable[[Tensor], Tensor]) -> Iterator[Pair]:
    for x, xq in inputs:
        rows = matrix(x)
        pair = rows, rows if xq is x else matrix(xq)
        del rows
        yield pair
        del pair  # before the next is made


def _seen_padding(layer: nn.Conv2d, height: int, width: int) -> Padding:
    """The padding of a layer with a forward of its own."""
    padding = fidelity.padding(layer, height, width)
    if padding is None:
        raise DataError(
            f"a {type(layer).__name__} is no convolution of images of {height} × {width} pixels, "
            "as it is of others: leave it in float (compress.skip_layers)"
        )
    return padding


@dataclass(frozen=True)
class _Windows:
    """The geometry of the patches of a convolution's input. Pairs are (vertical, horizontal).

    padding: maps an image's height and width to its padding: left, right, top, bottom.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: Callable[[int, int], Padding]
    mode: str

    @classmethod
    def of(cls, layer: nn.Conv2d, sampling: Sampling) -> _Windows:
        kernel, dilation, mode = layer.kernel_size, layer.dilation, layer.padding_mode
        stride = kernel if sampling.kind == "published" else layer.stride
        if not fidelity.is_plain(layer):
            padding_of = cache(partial(_seen_padding, layer))
            return cls(kernel, stride, dilation, padding_of, "constant")
        if layer.padding == "valid":
            pads = [(0, 0), (0, 0)]
        elif layer.padding == "same":
            totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
            pads = [(total // 2, total - total // 2) for total in totals]
        else:
            pads = [(p, p) for p in layer.padding]
        padding = (*pads[1], *pads[0])
        mode = "constant" if mode == "zeros" else mode
        return cls(kernel, stride, dilation, lambda *_: padding, mode)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Patches in a column and in a row of an image (height, width)."""
        left, right, top, bottom = self.padding(height, width)
        sizes = (height + top + bottom, width + left + right)
        rows, columns = (
            (size - d * (k - 1) - 1) // s + 1
            for size, d, k, s in zip(sizes, self.dilation, self.kernel, self.stride, strict=True)
        )
        return rows, columns

    def count(self, shape: torch.Size) -> int:
        """Patches of an input (…, c, h, w)."""
        rows, columns = self.grid(*shape[-2:])
        return shape[:-3].numel() * rows * columns

    def view(self, x: Tensor) -> Tensor:
        """Patches of ``x`` (n, c, h, w) as a view (n, rows, columns, c, kh, kw) of it, padded."""
        x = x.reshape(-1, *x.shape[-3:])
        rows, columns = self.grid(*x.shape[-2:])
        padding = self.padding(*x.shape[-2:])
        if any(padding):
            x = nn.functional.pad(x, padding, self.mode)
        image_stride, channel_stride, row_stride, column_stride = x.stride()
        return x.as_strided(
            (len(x), rows, columns, x.shape[1], *self.kernel),
            (
                image_stride,
                self.stride[0] * row_stride,
                self.stride[1] * column_stride,
                channel_stride,
                self.dilation[0] * row_stride,
                self.dilation[1] * column_stride,
            ),
            x.storage_offset(),
        )

    def take(self, x: Tensor, patches: Tensor) -> Tensor:
        """The ``patches`` of ``x`` as (m, c · kh · kw), by index row by row, image by image."""
        view = self.view(x)
        _, rows, columns = view.shape[:3]
        # Not torch.unravel_index: on its first call it imports sympy, half a second a job.
        patches = patches.to(x.device)
        row = patches // columns
        return view[row // rows, row % rows, patches % columns].flatten(1)
