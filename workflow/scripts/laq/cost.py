"""What a form of the solver costs on the CPU, in time and memory, before it is run.

Time is counted in multiply-adds of a large matrix product; what runs slower than that is
weighted by how much. Weights were measured (``benchmarks/cost_model.py`` prints measured beside
predicted times); codes do not depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass

from laq.recursion import LANES

# Bytes a form may take beside the layer itself.
MEMORY = 2**27

# A multiply-add in the direct recursion against one in a matrix product, while u of a tile of
# neurons stays in a core's own cache, and beyond.
_DIRECT, _DIRECT_BEYOND, _CACHE = 1.5, 6.0, 2**19

# A multiply-add inside a block; a column's rounding for one neuron; the calls of one block.
_INSIDE, _ROUNDING, _CALLS = 2.0, 60.0, 4e6


@dataclass(frozen=True)
class Layer:
    """Sizes of a layer: m samples, and in each of G groups n neurons of d columns.

    itemsize: bytes of a number. same: whether both networks' inputs are known to be the same.
    """

    samples: int
    neurons: int
    columns: int
    groups: int = 1
    itemsize: int = 4


@dataclass(frozen=True)
class Cost:
    """work: in multiply-adds of a matrix product. memory: bytes."""

    work: float
    memory: float


def costs(layer: Layer, block: int) -> dict[str, Cost]:
    """The cost of each form, with blocks of ``block`` columns."""
    m, n, d, groups = layer.samples, layer.neurons, layer.columns, layer.groups
    lanes = -(-n // LANES) * LANES  # idle lanes of the last tile work as well
    width = min(block, d)
    rounding = _ROUNDING * lanes * d
    inside = _INSIDE * lanes * d * width / 2 + rounding
    calls = _CALLS * -(-d // block) / groups
    fits = m * LANES * layer.itemsize <= _CACHE
    direct = 3 * m * lanes * d * (_DIRECT if fits else _DIRECT_BEYOND) + m * n * d + rounding
    blocks = 4 * m * n * d + 2 * m * width * d + inside + calls
    gram = 3 * m * d * d + 6 * n * d * d + inside + calls
    matrices = 2 * m * d
    numbers = {
        "direct": (direct, 2 * matrices + m * n),
        "blocks": (blocks, matrices + 2 * m * n),
        "gram": (gram, 3 * d * d + 5 * n * d),
    }
    return {
        form: Cost(groups * work, groups * layer.itemsize * size)
        for form, (work, size) in numbers.items()
    }


def cheapest(layer: Layer, block: int, memory: float, forms: tuple[str, ...]) -> str:
    """The fastest of ``forms`` within ``memory`` bytes; where none is, the smallest."""
    candidates = costs(layer, block)
    within = [form for form in forms if candidates[form].memory <= memory]
    if within:
        return min(within, key=lambda form: candidates[form].work)
    return min(forms, key=lambda form: candidates[form].memory)
