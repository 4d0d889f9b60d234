"""Every arm that can be recommended, any k and not only those run, with what formulas say of it."""

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
    """Layers to quantize, and what is foretold of it.

    drop: of top-1, a share; low and high: between which one run's will lie. measured: mean drop of
    the runs of this very arm, NaN where there are none. bytes: by quantity, as in
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
        where = "" if self.position in _UNPLACED else f"{self.position.removesuffix(table.ALONE)} "
        which = f"{where}{self.k} layers" if self.k > 1 else f"{where}layer"
        alone = ", trained alone" if self.position.endswith(table.ALONE) else ""
        return f"the {which} at {self.width} bits{alone}"

    def within(self, top1: float) -> CandidateArm:
        """The same arm, its interval such that no network is right more or less than always.

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
    """The arms of a network at every position, width and k, and top-1 of its controls, the mean.

    runs: rows of ``laq.analysis.partial.table.read``; described: ``network``'s layers and tensors.
    The formula is that which ``laq.analysis.partial.formula`` chooses on this network. Arms of
    which there is no curve, by name or trained alone, are there as they were run: their mean, and
    what one more run will show, follow from their own runs.

    Raises ``DataError`` where there are no runs of the network.
    """
    everything = table.on_everything(runs)
    everything = everything[everything["network"] == network]
    if everything.empty:
        known = ", ".join(dict.fromkeys(runs["network"]))
        raise DataError(f"there are no runs of a network {network}; there are of: {known}")
    drops = table.drops(everything)
    curves = table.curves(drops)
    picked = formula.chosen(curves)
    trained = drops[drops["method"] == "qat"]
    byte = {
        quantity: sizes.fit(
            rows,
            described,
            quantity,
            sizes.in_float(everything, network, quantity),
        )
        for quantity in sizes.QUANTITIES
        if len(rows := trained[trained[quantity].notna() & (trained["trained"] == table.ALL)])
    }
    layers = described.layers
    total = sum(layer.values for layer in layers)
    own = table.controls(everything)["top1"]
    nothing = {quantity: size.of([], 32) for quantity, size in byte.items()}
    found = [CandidateArm(NOTHING, 0, "32", 32.0, (), 0.0, 0.0, 0.0, 0.0, 0.0, nothing)]
    drawn = {"whole": set()}
    for (position, width), rows in curves.groupby(["position", "width"], sort=False):
        if width not in picked or rows["k"].nunique() < formula.FEWEST_SHARES:
            continue
        drawn.setdefault(position, set()).add(width)
        drawn["whole"].add(width)
        curve = formula.fitted(rows, picked[width], confidence, resamples, seed)
        ks = range(1, len(layers) + 1)
        taken = [layers[window(str(position), k, len(layers))] for k in ks]
        weights = np.array([sum(layer.values for layer in each) / total for each in taken])
        x = weights if curve.variable == "weights_share" else np.arange(1, len(layers) + 1)
        x = x if curve.variable == "weights_share" else x / len(layers)
        drop, (low, high) = curve.at(x), curve.foretold(x, seed)
        seen = rows.groupby("k")["drop"].mean()
        bits, inputs = (float(rows[name].iloc[0]) for name in ("bits", "input_bits"))
        for place, each in enumerate(taken):
            found.append(
                CandidateArm(
                    position=str(position),
                    k=len(each),
                    width=str(width),
                    bits=bits,
                    layers=tuple(layer.name for layer in each),
                    share=float(weights[place]),
                    drop=float(drop[place]),
                    low=float(low[place]),
                    high=float(high[place]),
                    measured=float(seen.get(len(each), np.nan)),
                    bytes={name: size.of(each, bits, inputs) for name, size in byte.items()},
                )
            )
    places = zip(trained["position"], trained["width"], strict=True)
    others = trained[[width not in drawn.get(position, ()) for position, width in places]]
    found += _as_run(others, list(byte), confidence)
    top1 = float(own.mean())
    return [arm.within(top1) for arm in found], top1


def _as_run(
    others: pd.DataFrame, quantities: Sequence[str], confidence: float
) -> Iterator[CandidateArm]:
    """Arms with the mean of their runs, and Student's interval of one more: runs are taken to vary
    alike in units of the standard deviation of a rate, as those of a curve."""
    from scipy.special import stdtrit

    if others.empty:
        return
    cells = others.groupby(["position", "arm", "width"], sort=False)
    images = int(others["n"].min())
    units = deviation(cells["top1"].transform("mean").to_numpy(float), images)
    free = int(cells.size().sub(1).sum())
    squares = ((others["drop"] - cells["drop"].transform("mean")) / units).pow(2).sum()
    spread = -stdtrit(free, (1 - confidence) / 2) * np.sqrt(squares / free) if free else np.nan
    for (position, _, width), runs in cells:
        first, mean = runs.iloc[0], float(runs["drop"].mean())
        unit = float(deviation(runs["top1"].to_numpy(float).mean(), images))
        reach = spread * unit * np.sqrt(1 + 1 / len(runs))
        layers = tuple(first["layers"].split())
        yield CandidateArm(
            position=position,
            k=len(layers),
            width=str(width),
            bits=float(first["bits"]),
            layers=layers,
            share=float(first["weights_share"]),
            drop=mean,
            low=mean - reach,
            high=mean + reach,
            measured=mean,
            bytes={name: float(runs[name].mean()) for name in quantities},
        )
