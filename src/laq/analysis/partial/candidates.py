"""All arms that can be recommended, at any k and not only those run, with predictions of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from laq.analysis.partial import formula, sizes, table
from laq.analysis.partial.curve import deviation
from laq.analysis.partial.sizes import Network
from laq.experiments.partial.selection import window
from laq.utils.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "none"  # the position of the arm that quantizes no layer
_UNPLACED = ("named", "single")


@dataclass(frozen=True)
class CandidateArm:
    """Layers to quantize, with their predicted drop and bytes.

    drop: of top-1, a share. low, high: the interval of one run's drop. measured: the mean drop of
    this arm's own runs, NaN where there are none. bytes: by quantity, as in
    ``laq.analysis.partial.sizes``.
    """

    position: str
    k: int
    width: str
    bits: float
    layers: tuple[str, ...]
    share: float
    drop: float
    low: float
    high: float
    measured: float
    bytes: dict[str, float]

    def __str__(self) -> str:
        if not self.layers:
            return "no layer quantized"
        if self.position == "whole" or self.share >= 1:
            return f"all {self.k} layers at {self.width} bits"
        prefix = "" if self.position in _UNPLACED else f"{self.position.removesuffix(table.ALONE)} "
        phrase = f"{prefix}{self.k} layers" if self.k > 1 else f"{prefix}layer"
        suffix = ", trained alone" if self.position.endswith(table.ALONE) else ""
        return f"the {phrase} at {self.width} bits{suffix}"

    def within(self, top1: float) -> CandidateArm:
        """The same arm, its interval clipped so that top-1 stays between 0 and 1.

        top1: of the float network.
        """
        low, high = np.clip([self.low, self.high], top1 - 1, top1)
        return replace(self, low=float(low), high=float(high))


def arms(
    runs: pd.DataFrame,
    described: Network,
    network: str,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[list[CandidateArm], float]:
    """The arms of a network at every position, width and k, and the mean top-1 of its controls.

    runs: rows of ``laq.analysis.partial.table.read``; described: ``network``'s layers and tensors.
    The formula is that which ``laq.analysis.partial.formula`` chooses on this network. Arms
    without a curve, chosen by name or trained alone, are included as they were run: their mean and
    the interval of one more run follow from their own runs.

    Raises ``DataError`` where there are no runs of the network.
    """
    all_classes = table.on_everything(runs)
    all_classes = all_classes[all_classes["network"] == network]
    if all_classes.empty:
        names = ", ".join(dict.fromkeys(runs["network"]))
        raise DataError(f"there are no runs of a network {network}; there are of: {names}")
    drops = table.drops(all_classes)
    curves = table.curves(drops)
    chosen = formula.chosen(curves)
    trained = drops[drops["method"] == "qat"]
    size_fits = {
        quantity: sizes.fit(
            rows,
            described,
            quantity,
            sizes.in_float(all_classes, network, quantity),
        )
        for quantity in sizes.QUANTITIES
        if len(rows := trained[trained[quantity].notna() & (trained["trained"] == table.ALL)])
    }
    layers = described.layers
    total = sum(layer.values for layer in layers)
    control_top1 = table.controls(all_classes)["top1"]
    float_bytes = {quantity: size.of([], 32) for quantity, size in size_fits.items()}
    candidates = [CandidateArm(NOTHING, 0, "32", 32.0, (), 0.0, 0.0, 0.0, 0.0, 0.0, float_bytes)]
    curve_widths = {"whole": set()}
    for (position, width), rows in curves.groupby(["position", "width"], sort=False):
        if width not in chosen or rows["k"].nunique() < formula.FEWEST_SHARES:
            continue
        curve_widths.setdefault(position, set()).add(width)
        curve_widths["whole"].add(width)
        curve = formula.fitted(rows, chosen[width], confidence, resamples, seed)
        ks = range(1, len(layers) + 1)
        windows = [layers[window(str(position), k, len(layers))] for k in ks]
        shares = np.array([sum(layer.values for layer in selected) / total for selected in windows])
        x = shares if curve.variable == "weights_share" else np.arange(1, len(layers) + 1)
        x = x if curve.variable == "weights_share" else x / len(layers)
        drop, (low, high) = curve.at(x), curve.foretold(x, seed)
        measured = rows.groupby("k")["drop"].mean()
        bits, inputs = (float(rows[name].iloc[0]) for name in ("bits", "input_bits"))
        for index, selected in enumerate(windows):
            candidates.append(
                CandidateArm(
                    position=str(position),
                    k=len(selected),
                    width=str(width),
                    bits=bits,
                    layers=tuple(layer.name for layer in selected),
                    share=float(shares[index]),
                    drop=float(drop[index]),
                    low=float(low[index]),
                    high=float(high[index]),
                    measured=float(measured.get(len(selected), np.nan)),
                    bytes={
                        name: size.of(selected, bits, inputs) for name, size in size_fits.items()
                    },
                )
            )
    pairs = zip(trained["position"], trained["width"], strict=True)
    uncurved = trained[[width not in curve_widths.get(position, ()) for position, width in pairs]]
    candidates += _as_run(uncurved, list(size_fits), confidence)
    top1 = float(control_top1.mean())
    return [arm.within(top1) for arm in candidates], top1


def _as_run(
    others: pd.DataFrame, quantities: Sequence[str], confidence: float
) -> Iterator[CandidateArm]:
    """Arms with the mean of their runs, and Student's interval of one more run.

    Runs are taken to vary alike in units of the standard deviation of a rate, as those of a curve.
    """
    from scipy.special import stdtrit

    if others.empty:
        return
    cells = others.groupby(["position", "arm", "width"], sort=False)
    images = int(others["n"].min())
    units = deviation(cells["top1"].transform("mean").to_numpy(float), images)
    dof = int(cells.size().sub(1).sum())
    squares = ((others["drop"] - cells["drop"].transform("mean")) / units).pow(2).sum()
    scale = -stdtrit(dof, (1 - confidence) / 2) * np.sqrt(squares / dof) if dof else np.nan
    for (position, _, width), runs in cells:
        first, mean = runs.iloc[0], float(runs["drop"].mean())
        unit = float(deviation(runs["top1"].to_numpy(float).mean(), images))
        half_width = scale * unit * np.sqrt(1 + 1 / len(runs))
        layers = tuple(first["layers"].split())
        yield CandidateArm(
            position=position,
            k=len(layers),
            width=str(width),
            bits=float(first["bits"]),
            layers=layers,
            share=float(first["weights_share"]),
            drop=mean,
            low=mean - half_width,
            high=mean + half_width,
            measured=mean,
            bytes={name: float(runs[name].mean()) for name in quantities},
        )
