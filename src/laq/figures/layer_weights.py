"""A layer's weights before and after quantization, out of the checkpoints of both."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from laq.checkpoints import packing
from laq.checkpoints.packing import Checkpoint
from laq.quantizers.grids.equispaced import Uniform
from laq.quantizers.packed_weight import PackedWeight
from laq.utils.errors import CheckpointError, ConfigError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RunWeights:
    """Consecutive filters of a layer that have one grid, n weights of them all together.

    before: (n,) weights as they were. in_steps: (n,) what they became, over ``step`` (n,), the
    unit of each weight: the step of its grid, or 1 in a codebook. ends: of the grid's range, in
    steps. levels: of the grid. filters: their number. bits: nominal.
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
    parts = quantized.packed[name]
    rows = parent[name].detach().split([len(part.codes) for part in parts])
    runs = tuple(_run(part, before) for part, before in zip(parts, rows, strict=True))
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
        in_steps, ends = grid.in_steps(codes), grid.ends()
    else:
        step, in_steps = torch.ones(codes.shape, dtype=torch.float64), grid.values(codes)
        ends = float(grid.table.min()), float(grid.table.max())
    return RunWeights(
        before.double().reshape(-1).numpy(),
        in_steps.double().reshape(-1).numpy(),
        step.reshape(-1).numpy(),
        ends,
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
    known = ", ".join([name for name in report if name in names] or sorted(names)) or "none"
    if reason := report.get(layer, {}).get("reason"):
        return (
            f"figures.weights.layer is {layer!r}, which {path} leaves in float ({reason}): "
            f"choose one of its quantized layers, {known}"
        )
    return (
        f"figures.weights.layer is {layer!r}, which is no quantized layer of {path}: "
        f"choose one of {known}"
    )
