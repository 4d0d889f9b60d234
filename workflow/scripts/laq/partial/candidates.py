"""Every arm that can be recommended, any k and not only those run, with what formulas say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from laq.errors import DataError
from laq.files import AGAIN
from laq.partial import formula, sizes, table
from laq.partial.sizes import Layer

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "none"  # the position of the arm that quantizes no layer


@dataclass(frozen=True)
class Arm:
    """Layers to quantize, and what is foretold of it.

    drop: of top-1, a share; low and high: between which one run's will lie. measured: mean drop of
    the runs of this very arm, NaN where there are none. bytes: by quantity, as in
    ``laq.partial.sizes``.
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
        which = f"{self.position} {self.k} layers" if self.k > 1 else f"{self.position} layer"
        return f"the {which} at {self.width} bits"


def arms(
    runs: pd.DataFrame,
    layers: Sequence[Layer],
    network: str,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[list[Arm], float]:
    """The arms of a network at every position, width and k, and top-1 of its controls, the mean.

    runs: rows of ``laq.partial.table.read``; layers: of ``network``, in the order of first calls.
    The formula is that which ``laq.partial.formula`` chooses on this network.

    Raises ``DataError`` where the network has no curves.
    """
    everything = table.on_everything(runs)
    everything = everything[everything["network"] == network]
    if everything.empty:
        known = ", ".join(dict.fromkeys(runs["network"]))
        raise DataError(f"there are no runs of a network {network}; there are of: {known}")
    curves = table.curves(table.drops(everything))
    picked = formula.chosen(curves)
    if not picked:
        raise DataError(
            f"no position of {network} has runs of {formula.FEWEST_SHARES} different k, so it has "
            f"no formula: name more in partial_qat.k, or {AGAIN}"
        )
    byte = {
        quantity: sizes.fit(
            rows,
            {layer.name: layer for layer in layers},
            quantity,
            sizes.in_float(everything, network, quantity),
        )
        for quantity in sizes.QUANTITIES
        if len(rows := curves[curves[quantity].notna()])
    }
    total = sum(layer.values for layer in layers)
    own = table.controls(everything)["top1"]
    nothing = {quantity: size.of([], 32) for quantity, size in byte.items()}
    found = [Arm(NOTHING, 0, "32", 32.0, (), 0.0, 0.0, 0.0, 0.0, 0.0, nothing)]
    for (position, width), rows in curves.groupby(["position", "width"], sort=False):
        if width not in picked or rows["k"].nunique() < formula.FEWEST_SHARES:
            continue
        curve = formula.fitted(rows, picked[width], confidence, resamples, seed)
        taken = [_chosen(layers, str(position), k) for k in range(1, len(layers) + 1)]
        weights = np.array([sum(layer.values for layer in each) / total for each in taken])
        x = weights if curve.variable == "weights_share" else np.arange(1, len(layers) + 1)
        x = x if curve.variable == "weights_share" else x / len(layers)
        drop, (low, high) = curve.at(x), curve.foretold(x, seed)
        seen = rows.groupby("k")["drop"].mean()
        bits = float(rows["bits"].iloc[0])
        for place, each in enumerate(taken):
            found.append(
                Arm(
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
                    bytes={name: size.of(each, bits) for name, size in byte.items()},
                )
            )
    return found, float(own.mean())


def _chosen(layers: Sequence[Layer], position: str, k: int) -> Sequence[Layer]:
    """k layers from the network's first or last on, or around its middle."""
    first = {"first": 0, "last": len(layers) - k, "middle": (len(layers) - k) // 2}[position]
    return layers[first : first + k]
