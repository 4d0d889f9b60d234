"""The layer report: the result for each weight of a network, and what its calibration lacked."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from laq.ptq.activation_quantizer import InputQuantizer
from laq.ptq.layer import QuantizedLayer, Samples, relative_error
from laq.quantizers.entropy import entropy
from laq.quantizers.packed_weight import PackedWeight

logger = logging.getLogger(__name__)

# Thresholds of warnings: samples as a share of the inputs, silent inputs as a share of all, and the
# share of ‖W‖² beyond the outermost levels of a scale that filters share.
FEW, SILENT, CLIPPED = 0.1, 0.5, 0.01


@dataclass(frozen=True)
class LayerRow:
    """One row of the layer report, for a weight of two dimensions or more.

    layer: the module's name, followed by the parameter's where that is not ``weight``. kind: the
    module's class. weights: number of weights. bits: nominal bits, 32 where left in float, and the
    mean over weights where filters are split. split: the runs of filters of such a layer,
    "bits:filters" each; empty for a layer in one run. levels, step: number of levels of a single
    grid, and its mean step where it is equispaced. samples, inputs: rows of the input matrix, and
    its columns in one group. clipped: share of ‖W‖² that lies beyond the outermost levels.
    error: ‖X Wᵀ − X̃ Qᵀ‖ / ‖X Wᵀ‖ over the samples and all filters. zeros: number of weights that
    became 0. silent: number of input columns that never fire. entropy: of the codes, in bits a
    code. bytes: of packed codes and scales. reason: why it was left in float, empty where it was
    quantized. warning: what calibration or grid lack: names of ``LACKS``, or empty.
    input_bits: of the layer's input, None in float. input_step, input_zero: of a static input's
    grid, in which a code c stands for (c − zero) · step.
    """

    layer: str
    kind: str
    shape: str
    weights: int
    bits: float
    split: str = ""
    levels: int | None = None
    step: float | None = None
    samples: int | None = None
    inputs: int | None = None
    clipped: float | None = None
    error: float | None = None
    zeros: int | None = None
    silent: int | None = None
    entropy: float | None = None
    bytes: int | None = None
    reason: str = ""
    warning: str = ""
    input_bits: int | None = None
    input_step: float | None = None
    input_zero: int | None = None

    def with_input(self, quantizer: InputQuantizer | None) -> LayerRow:
        """The same row, of a layer whose input ``quantizer`` quantizes."""
        if quantizer is None:
            return self
        if quantizer.step is None:
            return replace(self, input_bits=quantizer.bits)
        step, zero = float(quantizer.step), int(quantizer.zero)
        return replace(self, input_bits=quantizer.bits, input_step=step, input_zero=zero)

    def row(self) -> dict[str, Any]:
        """The row for JSON, which has no infinity: an error without a reference is None."""
        row = dict(vars(self))
        if self.error is not None and not math.isfinite(self.error):
            row["error"] = None
        return row


@dataclass(frozen=True)
class Lack:
    """A warning that ``tell`` logs. extent: ranks layers, the worst highest. fact: of one layer."""

    meaning: str
    remedy: str
    extent: Callable[[LayerRow], float]
    fact: Callable[[LayerRow], str]


LACKS = {
    "few samples": Lack(
        "have far fewer samples than inputs, so that their codes fit these samples alone",
        "Take more images (images), all patches (patches: all), or a larger ridge",
        lambda row: row.inputs / row.samples,
        lambda row: f"{row.samples} samples for {row.inputs} inputs",
    ),
    "silent inputs": Lack(
        "have many inputs that never fire on the calibration images",
        "Take more images (images); with a ridge of 0 the weights of such inputs become 0",
        lambda row: row.silent,
        lambda row: f"{row.silent} inputs",
    ),
    "clipped weights": Lack(
        f"lose more than {CLIPPED:.0%} of their weights' energy beyond the outermost levels",
        "Give each filter a scale of its own (granularity: per_channel)",
        lambda row: row.clipped,
        lambda row: f"{row.clipped:.1%}",
    ),
}


def quantized(
    name: str,
    module: nn.Module,
    weight: Tensor,
    samples: Samples,
    solutions: Sequence[QuantizedLayer],
    packed: Sequence[PackedWeight],
) -> LayerRow:
    """The row of a layer from ``solutions`` of its runs of filters, packed as ``packed``."""
    grids = [solution.grid for solution in solutions]
    sizes = [solution.codes.numel() for solution in solutions]
    single = grids[0] if len(grids) == 1 else None
    runs = [f"{run.grid.bits}:{len(run.codes)}" for run in solutions]
    reference = math.hypot(*(solution.reference for solution in solutions))
    # The error of a run without a reference is infinite, or 0, and is taken as it is.
    differences = (
        solution.error * solution.reference if solution.reference > 0 else solution.error
        for solution in solutions
    )
    entropies = [entropy(solution.codes) for solution in solutions]
    silent = solutions[0].silent  # of the inputs, which all runs share
    clipped = _clipped(weight.detach().flatten(1), solutions)
    lacks = {
        "few samples": solutions[0].fitted and samples.rows < FEW * samples.columns,
        "silent inputs": solutions[0].fitted and silent > SILENT * samples.columns * samples.groups,
        "clipped weights": clipped > CLIPPED and any(map(_shares_scale, solutions)),
    }
    return LayerRow(
        layer=name,
        kind=type(module).__name__,
        shape=_shape(weight),
        weights=weight.numel(),
        bits=single.bits if single else _mean([grid.bits for grid in grids], sizes),
        split="" if single else " ".join(runs),
        levels=single.levels if single else None,
        step=single.mean_step if single else None,
        samples=samples.rows,
        inputs=samples.columns,
        clipped=clipped,
        error=relative_error(math.hypot(*differences), reference),
        zeros=sum(run.grid.zeros(run.codes) for run in solutions),
        silent=silent,
        entropy=_mean(entropies, sizes),
        bytes=sum(run.nbytes for run in packed),
        warning=", ".join(lack for lack, applies in lacks.items() if applies),
    )


def tell(layers: Iterable[LayerRow]) -> None:
    """Log each kind of warning once: the number of its layers, the worst ones and the remedy."""
    rows = [row for row in layers if not row.reason]
    for name, lack in LACKS.items():
        concerned = [row for row in rows if name in row.warning]
        if concerned:
            worst = sorted(concerned, key=lack.extent, reverse=True)[:3]
            facts = "; ".join(f"{row.layer}, {lack.fact(row)}" for row in worst)
            logger.warning(
                "%d of %d layers %s (worst: %s). %s",
                len(concerned),
                len(rows),
                lack.meaning,
                facts,
                lack.remedy,
            )


def trained(name: str, module: nn.Module, packed: PackedWeight) -> LayerRow:
    """The row of a layer that was trained to codes, without the columns of calibration."""
    grid, codes = packed.grid, packed.codes
    return LayerRow(
        layer=name,
        kind=type(module).__name__,
        shape=_shape(codes),
        weights=codes.numel(),
        bits=grid.bits,
        levels=grid.levels,
        step=grid.mean_step,
        zeros=grid.zeros(codes.flatten(1)),
        entropy=packed.coding.entropy if packed.coding else entropy(codes),
        bytes=packed.nbytes,
    )


def in_float(name: str, module: nn.Module, weight: Tensor, reason: str) -> LayerRow:
    """The row of a weight that stays in float."""
    return LayerRow(
        layer=name,
        kind=type(module).__name__,
        shape=_shape(weight),
        weights=weight.numel(),
        bits=32,
        reason=reason,
    )


def _clipped(weight: Tensor, solutions: Sequence[QuantizedLayer]) -> float:
    """The share of ‖W‖² that lies beyond the levels of the runs of rows of ``weight`` (N, d)."""
    runs = weight.split([len(solution.codes) for solution in solutions])
    lost = sum(solution.grid.clipping(rows) for rows, solution in zip(runs, solutions, strict=True))
    return lost / float(weight.double().square().sum()) if lost else 0.0


def _shares_scale(solution: QuantizedLayer) -> bool:
    """Whether filters share a scale."""
    scales = solution.grid.scales
    return len(solution.codes) > (len(scales) if scales.ndim else 1)


def _shape(weight: Tensor) -> str:
    return "x".join(map(str, weight.shape))


def _mean(values: Sequence[float], sizes: Sequence[int]) -> float:
    return sum(value * size for value, size in zip(values, sizes, strict=True)) / sum(sizes)
