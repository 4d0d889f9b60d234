"""Figure 4: the weights of one layer before quantization, and the levels they went to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from torch import Tensor

from laq.checkpoints import packing
from laq.checkpoints.packing import Checkpoint
from laq.figures.style import BASELINE, PALETTE, STYLE, WIDTH, heading
from laq.quantizers.grids import Uniform
from laq.quantizers.packed_weight import PackedWeight
from laq.utils.errors import CheckpointError, ConfigError

# A layer's weights before and after quantization, out of the checkpoints of both.


Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RunWeights:
    """Consecutive filters of a layer that have one grid, n weights of them all together.

    before: (n,) the weights before quantization. in_steps: (n,) the weights after it, divided by
    ``step``. step: (n,) the unit of each weight, which is the step of its grid, or 1 in a codebook.
    ends: limits of the grid's range, in steps. levels: their number in the grid. filters: their
    number. bits: nominal.
    """

    before: Floats
    in_steps: Floats
    step: Floats
    ends: tuple[float, float]
    levels: int
    filters: int
    bits: int

    @property
    def one_step(self) -> bool:
        """Whether all weights have the same unit."""
        return bool((self.step == self.step[0]).all())

    @property
    def after(self) -> Floats:
        """(n,) the weights that the codes stand for."""
        return self.step * self.in_steps


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """A quantized layer: its runs in the order of their filters.

    error: relative error of the layer's output on the calibration samples, ‖XWᵀ − X̃Qᵀ‖ / ‖XWᵀ‖;
    None where the checkpoint holds no layer report.
    """

    layer: str
    runs: tuple[RunWeights, ...]
    error: float | None

    @property
    def change(self) -> float:
        """‖W − Q‖ / ‖W‖, the relative change of the weights themselves."""
        before = np.concatenate([run.before for run in self.runs])
        after = np.concatenate([run.after for run in self.runs])
        norm = np.linalg.norm(before)
        return float(np.linalg.norm(before - after) / norm) if norm else 0.0


def read(
    checkpoint: str | os.PathLike[str],
    parent: Mapping[str, Tensor],
    layer: str | None = None,
) -> LayerWeights:
    """The weights of ``layer``, by default of the quantized layer that has most.

    ``parent``: the state dict that was quantized, with BatchNorm folded where that was done.

    Raises ``ConfigError`` for a layer that is not quantized, with those that are, and
    ``CheckpointError`` for a parent of another network.
    """
    quantized = packing.read(checkpoint)
    name = f"{layer or _largest(quantized, checkpoint)}.weight"
    layer = name.removesuffix(".weight")
    report = {row["layer"]: row for row in quantized.description.get("layers", [])}
    if name not in quantized.packed:
        raise ConfigError(_unknown(layer, quantized, report, checkpoint))
    if name not in parent or parent[name].shape != quantized.state[name].shape:
        raise CheckpointError(
            f"the parent of {checkpoint} has no weight {name} of shape "
            f"{tuple(quantized.state[name].shape)}: delete both and run again"
        )
    packed = quantized.packed[name]
    rows = parent[name].detach().split([len(weight.codes) for weight in packed])
    runs = tuple(_run(weight, before) for weight, before in zip(packed, rows, strict=True))
    return LayerWeights(layer, runs, report.get(layer, {}).get("error"))


def parent_state(
    parent: str | os.PathLike[str], image: NDArray[np.uint8] | None = None
) -> dict[str, Tensor]:
    """The state dict that compression set out from.

    With an ``image`` (1, c, h, w) BatchNorm is folded first, which takes one to trace the network.
    """
    if image is None:
        return packing.read(parent).state
    from laq.ptq.sequential import folded

    network, _ = folded(packing.load(parent), torch.as_tensor(image))
    return network.state_dict()


def _run(part: PackedWeight, before: Tensor) -> RunWeights:
    """``before``: of the same rows, in the shape of the codes."""
    codes, grid = part.codes.flatten(1), part.grid
    if isinstance(grid, Uniform):
        step = grid.steps(codes.shape).double().expand(codes.shape)
        in_steps, bounds = grid.in_steps(codes), grid.ends()
    else:
        step, in_steps = torch.ones(codes.shape, dtype=torch.float64), grid.values(codes)
        bounds = float(grid.table.min()), float(grid.table.max())
    return RunWeights(
        before.double().reshape(-1).numpy(),
        in_steps.double().reshape(-1).numpy(),
        step.reshape(-1).numpy(),
        bounds,
        grid.levels,
        len(codes),
        grid.bits,
    )


def _largest(quantized: Checkpoint, path: str | os.PathLike[str]) -> str:
    """The quantized layer with the most weights, the first of them by name."""
    if not quantized.packed:
        raise ConfigError(
            f"figures.weights: {path} holds no quantized layer: choose a variant with compress"
        )
    sizes = {name: quantized.state[name].numel() for name in sorted(quantized.packed)}
    return max(sizes, key=sizes.__getitem__).removesuffix(".weight")


def _unknown(
    layer: str,
    quantized: Checkpoint,
    report: Mapping[str, Mapping[str, Any]],
    path: str | os.PathLike[str],
) -> str:
    names = {name.removesuffix(".weight") for name in quantized.packed}
    choices = ", ".join([name for name in report if name in names] or sorted(names)) or "none"
    if reason := report.get(layer, {}).get("reason"):
        return (
            f"figures.weights.layer is {layer!r}, which {path} leaves in float ({reason}): "
            f"choose one of its quantized layers, {choices}"
        )
    return (
        f"figures.weights.layer is {layer!r}, which is no quantized layer of {path}: "
        f"choose one of {choices}"
    )


# More levels than these cannot be told apart on the axis, so that a histogram is drawn of them.
COUNTABLE = 65
BEFORE, AFTER = (0.72, 0.72, 0.72), PALETTE[0]
# A level with less than this share of the fullest one's weights is lost on a linear axis.
FAINT = 1 / 300


def weights_before_and_after(layer: LayerWeights, title: str) -> Figure:
    """A panel for each run of filters with one alphabet: histogram before, levels after.

    The height of a level is the share of the run's weights on it. The histogram is scaled to the
    same axis: its height is the share of weights that a bin one step wide would hold there.
    With more than ``COUNTABLE`` levels both are histograms of the same bins. Where filters have
    steps of their own, weights are measured in steps.
    """
    runs = layer.runs
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(runs),
            1,
            figsize=(WIDTH, 0.9 + (2.7 if len(runs) == 1 else 1.9 * len(runs))),
            sharex=all(run.one_step for run in runs),
            squeeze=False,
            layout="constrained",
        )
        for panel, run in zip(panels[:, 0], runs, strict=True):
            _draw_run(panel, run)
            if len(runs) > 1:
                panel.set_title(f"{run.filters} filters at {run.bits} bits", loc="left")
            unit = "Weight" if run.one_step else "Weight, in steps of its filter"
            if panel is panels[-1, 0] or not run.one_step:
                panel.set_xlabel(unit)
        figure.suptitle(heading(f"{title}, {layer.layer}\n{_totals(layer)}", 9), fontsize=9)
        marks = {}
        for panel in panels[:, 0]:
            handles, labels = panel.get_legend_handles_labels()
            marks.update(zip(labels, handles, strict=True))
        columns = len(marks)
        figure.legend(
            marks.values(), marks, loc="outside lower center", ncols=columns, frameon=False
        )
    return figure


def _totals(layer: LayerWeights) -> str:
    count = sum(len(run.before) for run in layer.runs)
    output = "" if layer.error is None else f", the layer's output by {layer.error:.1%}"
    return f"{count:,} weights, changed by {layer.change:.1%} of their norm{output}"


def _draw_run(panel: Axes, run: RunWeights) -> None:
    unit = run.step[0] if run.one_step else 1.0
    before = run.before if run.one_step else run.before / run.step
    bounds = unit * np.array(run.ends)
    low, high = min(before.min(), _used(run).min()), max(before.max(), _used(run).max())
    margin = 0.03 * (high - low) or 1.0
    countable = run.levels <= COUNTABLE
    if countable:
        low, high = min(low, bounds[0]), max(high, bounds[1])
        smallest = _draw_levels(panel, run, before, unit, (low, high))
    else:
        smallest = _draw_histograms(panel, before, _used(run), unit, (low, high))
    for bound, visible in zip(
        bounds, (bounds[0] >= low - margin, bounds[1] <= high + margin), strict=True
    ):
        if visible:
            style = {"color": BASELINE, "linewidth": 0.9, "linestyle": (0, (4, 3)), "zorder": 1}
            panel.axvline(bound, **style, label="Alphabet's range" if bound == bounds[0] else None)
    panel.set_xlim(low - margin, high + margin)
    if smallest < FAINT:
        panel.set_yscale("log")
    else:
        panel.set_ylim(bottom=0)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}"))
    panel.set_ylabel(f"Share of weights\n(% per {'step' if countable else 'bin'})")
    _note(panel, run, bounds, before)


def _used(run: RunWeights) -> Floats:
    return run.after if run.one_step else run.in_steps


def _draw_levels(
    panel: Axes, run: RunWeights, before: Floats, unit: float, ends: tuple[float, float]
) -> float:
    """Stems and the histogram; returns the smallest share of a used level over the largest."""
    bins = _bins(len(before), ends)
    heights = np.histogram(before, bins)[0] / len(before) * unit / (bins[1] - bins[0])
    panel.stairs(heights, bins, fill=True, color=BEFORE, label="Before, in float", zorder=2)
    values, counts = np.unique(run.in_steps, return_counts=True)
    shares = counts / len(run.in_steps)
    levels = unit * values
    panel.vlines(levels, 0, shares, color=AFTER, linewidth=1.2, zorder=3)
    panel.plot(levels, shares, "o", color=AFTER, markersize=4, label="After, on levels", zorder=3)
    return float(shares.min() / shares.max())


def _draw_histograms(
    panel: Axes, before: Floats, after: Floats, unit: float, ends: tuple[float, float]
) -> float:
    """Both as histograms; returns the smallest share of a bin that holds any over the largest.

    Bins are an odd number of steps wide, so that each holds as many levels as the next.
    """
    rough = _bins(len(before), ends)
    steps = 2 * max(0, round((rough[1] - rough[0]) / unit / 2 - 0.5)) + 1
    first, last = (np.rint(bound / (steps * unit)) for bound in ends)
    bins = (np.arange(first, last + 2) - 0.5) * steps * unit
    shares = [np.histogram(values, bins)[0] / len(values) for values in (before, after)]
    panel.stairs(shares[0], bins, fill=True, color=BEFORE, label="Before, in float", zorder=2)
    panel.stairs(shares[1], bins, color=AFTER, linewidth=1.1, label="After", zorder=3)
    all_shares = np.concatenate(shares)
    return float(all_shares[all_shares > 0].min() / all_shares.max())


def _bins(count: int, ends: tuple[float, float]) -> Floats:
    """Edges of bins: 2 ∛n of them (Rice's rule), in bounds that print resolves."""
    return np.linspace(*ends, int(np.clip(2 * np.cbrt(count), 24, 120)) + 1)


def _note(panel: Axes, run: RunWeights, ends: Floats, before: Floats) -> None:
    """What the run's alphabet is, and what became of the weights, beside the panel."""
    used_levels = len(np.unique(run.in_steps))
    step = f"{run.step[0]:.3g}" if run.one_step else f"{run.step.min():.3g} to {run.step.max():.3g}"
    outside = np.mean((before < ends[0]) | (before > ends[1]))
    lines = [
        f"{run.bits} bits: {run.levels:,} levels,",
        f"{used_levels:,} of them used",
        f"step {step}",
        f"alphabet {_span(ends)}" + ("" if run.one_step else " steps"),
        f"beyond it before: {outside:.2%}",
        f"became zero: {np.mean(run.in_steps == 0):.2%}",
    ]
    panel.text(
        1.02, 0.98, "\n".join(lines), transform=panel.transAxes, va="top", fontsize=8, color="0.2"
    )


def _span(ends: Floats) -> str:
    return f"±{ends[1]:.3g}" if ends[0] == -ends[1] else f"{ends[0]:.3g} to {ends[1]:.3g}"
