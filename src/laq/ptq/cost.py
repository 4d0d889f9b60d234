"""What a form of the solver costs on the CPU, in time and memory, before it is run.

Time is counted in multiply-adds of a large matrix product; what runs slower than that is
weighted by how much. Weights were measured (``benchmarks/gpfq.py --table`` prints measured beside
predicted times); codes do not depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass

from laq.ptq.kernels_cpu import LANES

# Bytes a form may take beside the layer itself.
MEMORY = 2**27

# Where u of a tile of neurons takes more bytes than a core's own cache holds, multiply-adds of the
# direct recursion and of the blocks take so many times as long.
_CACHE, _DIRECT_BEYOND, _BLOCKS_BEYOND = 2**19, 1.25, 1.35

# A multiply-add inside a block; rounding a weight, with all that is done to it once; the calls of
# a block; those of a layer.
_INSIDE, _ROUNDING, _CALLS, _START = 26.0, 125.0, 9e6, 2.5e7


@dataclass(frozen=True)
class LayerShape:
    """Sizes of a layer: m samples, and in each of G groups n neurons of d columns.

    itemsize: bytes of a number. threads: of the compiled loops, and of matrix products. noise:
    whether rounding draws a number for each weight.
    """

    samples: int
    neurons: int
    columns: int
    groups: int = 1
    itemsize: int = 4
    threads: int = 1
    noise: bool = False


@dataclass(frozen=True)
class Cost:
    """work: in multiply-adds of a matrix product. memory: bytes."""

    work: float
    memory: float


def costs(layer: LayerShape, block: int) -> dict[str, Cost]:
    """The cost of each form, with blocks of ``block`` columns."""
    m, n, d, groups = layer.samples, layer.neurons, layer.columns, layer.groups
    tiles = -(-n // LANES)
    # Idle lanes of the last tile work as well, and so do threads that no tile is left for.
    loop = tiles * LANES * max(1.0, layer.threads / (tiles * groups))
    width = min(block, d)
    rounding = _ROUNDING * loop * d
    inside = _INSIDE * loop * d * width / 2 + rounding + _CALLS * -(-d // block) / groups
    fits = m * LANES * layer.itemsize <= _CACHE
    direct = 3 * m * loop * d * (1 if fits else _DIRECT_BEYOND) + m * n * d + rounding
    blocks = 4 * m * n * d * (1 if fits else _BLOCKS_BEYOND) + 2 * m * width * d + inside
    gram = 3 * m * d * d + 6 * n * d * d + inside
    matrices = 2 * m * d
    numbers = {
        "direct": (direct, 2 * matrices + m * n + layer.noise * n * d),
        "blocks": (blocks, matrices + 2 * m * n),
        "gram": (gram, 3 * d * d + 5 * n * d),
    }
    return {
        form: Cost(groups * work + _START, groups * layer.itemsize * size)
        for form, (work, size) in numbers.items()
    }


def cheapest(layer: LayerShape, block: int, memory: float, forms: tuple[str, ...]) -> str:
    """The fastest of ``forms`` within ``memory`` bytes; where none is, the smallest."""
    candidates = costs(layer, block)
    within = [form for form in forms if candidates[form].memory <= memory]
    if within:
        return min(within, key=lambda form: candidates[form].work)
    return min(forms, key=lambda form: candidates[form].memory)
