"""Patches of a layer's input as a matrix: the convolution itself is the reference."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from laq.ptq.layer import Samples
from laq.ptq.patches import Sampling, layer_samples

torch.set_num_threads(1)

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
ALL = Sampling("all")


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


class Same(nn.Conv2d):
    """Pads so that the stride alone divides the size, as TensorFlow and timm's Conv2dSame do."""

    def forward(self, x: Tensor) -> Tensor:
        sides: list[int] = []
        sizes = zip(x.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True)
        for size, kernel, stride, dilation in sizes:
            zeros = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
            sides = [zeros // 2, zeros - zeros // 2, *sides]
        padded = nn.functional.pad(x, sides)
        rest = self.stride, 0, self.dilation, self.groups
        return nn.functional.conv2d(padded, self.weight, self.bias, *rest)


@settings(max_examples=20, deadline=None)
@given(
    kernel=pairs,
    stride=pairs,
    dilation=pairs,
    groups=st.integers(1, 2),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
)
def test_a_layer_that_pads_by_the_size_of_its_input_gives_what_it_sees(
    kernel, stride, dilation, groups, height, width
):
    options = {"stride": stride, "dilation": dilation, "groups": groups, "bias": False}
    layer = Same(2 * groups, 2 * groups, kernel, **options).double()
    x, xq = normal(3, 2 * groups, height, width), normal(3, 2 * groups, height, width, seed=1)
    assert_gives_the_convolution(layer, samples_of(layer, x, xq, ALL), [x, xq])


def draw(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def samples_of(
    layer: nn.Module, x: Tensor, xq: Tensor, sampling: Sampling, size: int = 100, seed: int = 3
) -> Samples:
    """Samples of inputs that come ``size`` images at a time."""
    chunks = list(zip(x.split(size), xq.split(size), strict=True))
    shapes = [part.shape for part, _ in chunks]
    return layer_samples(layer, shapes, lambda: iter(chunks), sampling, draw(seed))


def assert_gives_the_convolution(layer: nn.Conv2d, samples: Samples, values: list[Tensor]) -> None:
    for matrix, value in zip(samples.gather(), values, strict=True):
        assert matrix.shape == (samples.rows, samples.columns * samples.groups)
        parts = [
            rows @ weight.flatten(1).T
            for rows, weight in zip(
                matrix.split(samples.columns, 1), layer.weight.chunk(samples.groups), strict=True
            )
        ]
        output = layer(value).permute(0, 2, 3, 1).flatten(0, 2)
        torch.testing.assert_close(torch.cat(parts, 1), output)


@settings(max_examples=60, deadline=None)
@given(
    kernel=pairs,
    stride=pairs,
    dilation=pairs,
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    groups=st.integers(1, 3),
    inputs=st.integers(1, 2),
    filters=st.integers(1, 2),
    size=st.tuples(st.integers(4, 8), st.integers(4, 8)),
    chunk=st.integers(1, 3),
)
def test_matrix_times_weight_is_the_convolution(
    kernel, stride, dilation, padding, groups, inputs, filters, size, chunk
):
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    assume(all(s + 2 * p >= r for s, p, r in zip(size, padding, reach, strict=True)))
    layer = nn.Conv2d(
        groups * inputs, groups * filters, kernel, stride, padding, dilation, groups, bias=False
    ).double()
    values = [normal(3, groups * inputs, *size, seed=seed) for seed in (0, 1)]
    samples = samples_of(layer, *values, ALL, chunk)
    assert samples.groups == groups
    assert_gives_the_convolution(layer, samples, values)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", ["same", "valid", 1, (0, 1), (2, 1)], ids=str)
def test_every_padding_of_a_convolution_is_followed(padding, mode):
    layer = nn.Conv2d(
        2, 3, (3, 2), dilation=(1, 2), padding=padding, padding_mode=mode, bias=False
    ).double()
    values = [normal(2, 2, 5, 6, seed=seed) for seed in (0, 1)]
    assert_gives_the_convolution(layer, samples_of(layer, *values, ALL), values)


def nonoverlapping(x: Tensor) -> list[Tensor]:
    """Patches 2 × 3 of images 4 × 7, padded by one column on both sides."""
    padded = nn.functional.pad(x, (1, 1))
    return [
        padded[n, 0, i : i + 2, j : j + 3].flatten()
        for n in range(len(x))
        for i in (0, 2)
        for j in (0, 3, 6)
    ]


@pytest.mark.parametrize("fraction", [0.1, 0.25, 1.0])
def test_published_patches_do_not_overlap_and_are_drawn_with_replacement(fraction):
    layer = nn.Conv2d(1, 2, (2, 3), stride=1, padding=(0, 1))
    x = torch.arange(1.0, 2 * 4 * 7 + 1).reshape(2, 1, 4, 7)
    samples = samples_of(layer, x, -x, Sampling("published", fraction))
    rows, rows_q = samples.gather()

    patches = torch.stack(nonoverlapping(x)).view(2, 6, -1)
    count = {0.1: 1, 0.25: 2, 1.0: 6}[fraction]  # of each image's six
    assert samples.rows == len(rows) == 2 * count
    picked = torch.randint(6, (2, count), generator=draw()).sort(dim=1).values
    expected = [image[places] for image, places in zip(patches, picked, strict=True)]
    assert torch.equal(rows, torch.cat(expected))
    assert torch.equal(rows_q, -rows)  # the same patches of both networks
    if fraction == 1:
        assert len(picked[0].unique()) < 6


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_draw_is_over_all_chunks_together_and_in_the_order_of_the_images(size):
    layer = nn.Conv2d(1, 2, (2, 3), stride=1, padding=(0, 1))
    x = torch.arange(1.0, 5 * 4 * 7 + 1).reshape(5, 1, 4, 7)
    whole, _ = samples_of(layer, x, x, Sampling("published", 0.5)).gather()
    samples = samples_of(layer, x, x, Sampling("published", 0.5), size)
    rows, _ = samples.gather()
    assert samples.rows == len(rows) == len(whole)
    assert torch.equal(rows, whole)


@pytest.mark.parametrize("sampling", [ALL, Sampling()], ids=lambda sampling: sampling.kind)
def test_every_pass_gives_the_same_samples(sampling):
    samples = samples_of(nn.Conv2d(2, 1, 2), normal(4, 2, 6, 6), normal(4, 2, 6, 6), sampling, 2)
    for first, second in zip(samples.chunks(), samples.chunks(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_one_input_for_both_networks_is_made_a_matrix_once():
    x = normal(2, 1, 4, 4)
    ((rows, rows_q),) = samples_of(nn.Conv2d(1, 1, 2), x, x, ALL).chunks()
    assert rows is not rows_q  # split makes two tensors of one
    samples = layer_samples(nn.Conv2d(1, 1, 2), [x.shape], lambda: [(x, x)], ALL, draw())
    ((rows, rows_q),) = samples.chunks()
    assert rows is rows_q


def test_published_sampling_takes_at_least_one_patch_and_a_fresh_draw_each_time():
    layer, x = nn.Conv2d(1, 1, 2), normal(1, 1, 4, 4)
    samples = samples_of(layer, x, x, Sampling("published", 0.01))
    assert samples.gather()[0].shape == (1, 4)
    generator, x = draw(), normal(8, 1, 16, 16)
    first, second = (
        layer_samples(layer, [x.shape], lambda: iter([(x, x)]), Sampling(), generator).gather()[0]
        for _ in range(2)
    )
    assert first.shape == second.shape == (136, 4)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("kind", ["published", "all"])
def test_linear_layers_take_every_row(kind):
    x = normal(2, 3, 5)
    samples = samples_of(nn.Linear(5, 4), x, 2 * x, Sampling(kind), 1)
    rows, rows_q = samples.gather()
    assert (samples.rows, samples.columns, samples.groups) == (6, 5, 1)
    assert torch.equal(rows, x.reshape(6, 5))
    assert torch.equal(rows_q, 2 * rows)
    samples = samples_of(nn.Linear(5, 4), x[:, 0], x[:, 0], Sampling(kind))
    assert torch.equal(samples.gather()[0], x[:, 0])
