"""Bytes as functions of which layers are quantized, from the layers' own sizes.

A file of a network is its tensors and a header that describes them. Of the tensors a quantized
layer's weight takes ⌈n·bits / 8⌉ bytes of codes and 4 for each step in place of 4 n. Where any is
quantized, the header reports each of the network's layers, and more of those that are. What such
a report takes is fitted, all else is counted. What a client downloads and what a training step
sends are made of the same parts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laq.errors import DataError
from laq.files import AGAIN, read_table
from laq.partial import table as runs
from laq.partial.forms import Array

if TYPE_CHECKING:
    import pandas as pd

FLOAT = 4  # bytes
COLUMNS = ("network", "tensor", "role", "numbers", "quantized", "tensor_bits", "bytes")

# Bytes that are a function of the layers quantized, and what each is in float.
QUANTITIES = {
    "bytes": "bytes",
    "update_bytes": "update_bytes_float",
    "step_bytes": "step_bytes_float",
}
FORMS = {
    "parts": "counted tensors + a layers + b k",
    "weights": "a + b x",
    "layers": "a + b x",
}
VARIABLES = {"parts": "layers", "weights": "weights_share", "layers": "share"}


@dataclass(frozen=True)
class Layer:
    """A layer that can be quantized: numbers of its weight, and of the steps they have."""

    name: str
    values: int
    steps: int

    def packed(self, bits: float) -> int:
        """Bytes of its codes and steps."""
        return _codes(self.values, bits) + FLOAT * self.steps


def read_layers(path: str | os.PathLike[str], names: Sequence[str]) -> list[Layer]:
    """The layers called ``names`` of ``partial_qat/{network}/tensors.csv``, in this order.

    Raises ``DataError`` for a table that lacks columns, or a layer that no arm quantizes.
    """
    table = read_table(path, COLUMNS)
    packed = table[(table["role"] == "weight") & (table["quantized"] == "yes")]
    firsts = packed.drop_duplicates("tensor").set_index("tensor")
    found = []
    for name in names:
        if (tensor := f"{name}.weight") not in firsts.index:
            raise DataError(f"{path} has no arm that quantizes the weight of {name}: {AGAIN}")
        row = firsts.loc[tensor]
        values = int(row["numbers"])
        steps, rest = divmod(int(row["bytes"]) - _codes(values, row["tensor_bits"]), FLOAT)
        if steps < 1 or rest:
            raise DataError(
                f"{path}: the weight of {name} takes {row['bytes']:g} bytes, which is no number of "
                f"codes of {row['tensor_bits']:g} bits and steps: {AGAIN}"
            )
        found.append(Layer(name, values, steps))
    return found


def names_of(table: pd.DataFrame, network: str) -> list[str]:
    """Names of a network's layers that can be quantized, in the order of their first calls.

    table: all runs. Raises ``DataError`` where no arm of the network has all of them quantized.
    """
    whole = table[(table["network"] == network) & (table["position"] == "whole")]
    if whole.empty:
        raise DataError(f"no arm of {network} has all its layers quantized: {AGAIN}")
    return str(whole["layers"].iloc[0]).split()


def _codes(values: int, bits: float) -> int:
    """Bytes of so many codes."""
    return -(-values * round(bits) // 8)


@dataclass(frozen=True, eq=False)
class Size:
    """Bytes of one quantity: ``base`` counted, and coefficients of what is fitted.

    float_bytes: where nothing is quantized. counted: whether tensors are counted (a file), or
    weighed by coefficients as well (what part of them is sent). coefficients: of the network's
    layers and of k; or of 1, k, and the float bytes and packed bytes of the layers chosen.
    """

    float_bytes: float
    layers: int
    counted: bool
    coefficients: Array

    def of(self, chosen: Sequence[Layer], bits: float) -> float:
        """Bytes with the layers ``chosen`` quantized to ``bits``."""
        if not chosen:
            return self.float_bytes
        base, features = _features(chosen, bits, self.float_bytes, self.layers, self.counted)
        return float(base + features @ self.coefficients)


def _features(
    chosen: Sequence[Layer], bits: float, float_bytes: float, layers: int, counted: bool
) -> tuple[float, Array]:
    floats = FLOAT * sum(layer.values for layer in chosen)
    packed = sum(layer.packed(bits) for layer in chosen)
    if counted:
        return float_bytes - floats + packed, np.array([layers, len(chosen)], float)
    return 0.0, np.array([1.0, len(chosen), floats, packed])


def fit(rows: pd.DataFrame, layers: Mapping[str, Layer], quantity: str, before: float) -> Size:
    """The size formula by least squares over ``rows`` of one network, trained quantized.

    layers: by name. before: bytes in float. Raises ``DataError`` for a layer that is not among
    ``layers``.
    """
    counted = quantity == "bytes"
    base, features = _of_rows(rows, layers, before, counted)
    found = np.linalg.lstsq(features, rows[quantity].to_numpy(float) - base, rcond=None)[0]
    return Size(before, len(layers), counted, found)


def foretold(
    table: pd.DataFrame, curves: pd.DataFrame, layers: Mapping[str, Sequence[Layer]]
) -> list[dict[str, Any]]:
    """Of each network a row: errors, as shares, of files whose header's growth others were asked
    for. table, curves, layers: as of ``rows``."""
    names = list(dict.fromkeys(map(str, curves["network"])))
    parts = {}
    for network in names:
        own = curves[curves["network"] == network]
        known = {layer.name: layer for layer in layers[network]}
        base, features = _of_rows(own, known, in_float(table, network, "bytes"), True)
        parts[network] = base, features, own["bytes"].to_numpy(float)
    found = []
    for network in names:
        others = [parts[other] for other in names if other != network]
        if not others:
            continue
        features = np.concatenate([part[1] for part in others])
        headers = np.concatenate([measured - base for base, _, measured in others])
        coefficients = np.linalg.lstsq(features, headers, rcond=None)[0]
        base, own, measured = parts[network]
        errors = (base + own @ coefficients) / measured - 1
        found.append(
            {
                "network": network,
                "fitted_on": " ".join(other for other in names if other != network),
                "quantity": "bytes",
                "position": "every",
                "form": "parts",
                "variable": VARIABLES["parts"],
                "arms": len(errors),
                "error": float(np.sqrt(np.mean(errors**2))),
                "mean": float(errors.mean()),
                "worst": float(np.abs(errors).max()),
            }
        )
    return found


def _of_rows(
    rows: pd.DataFrame, layers: Mapping[str, Layer], before: float, counted: bool
) -> tuple[Array, Array]:
    parts = [
        _features(named(row.layers, layers), row.bits, before, len(layers), counted)
        for row in rows[["layers", "bits"]].itertuples()
    ]
    return np.array([base for base, _ in parts]), np.stack([features for _, features in parts])


def named(names: str, layers: Mapping[str, Layer]) -> list[Layer]:
    """The layers of a cell of names. Raises ``DataError`` for one that is not there."""
    found = names.split()
    if unknown := [name for name in found if name not in layers]:
        raise DataError(
            f"an arm quantizes {unknown[0]}, which the table of tensors has not as a layer that is "
            f"quantized: {AGAIN}"
        )
    return [layers[name] for name in found]


def in_float(table: pd.DataFrame, network: str, quantity: str) -> float:
    """Bytes of a network's controls in float."""
    own = runs.controls(table)
    return float(own.loc[own["network"] == network, QUANTITIES[quantity]].mean())


def rows(
    table: pd.DataFrame, curves: pd.DataFrame, layers: Mapping[str, Sequence[Layer]]
) -> list[dict[str, Any]]:
    """A row for each network, quantity, width, position and form of size.

    table: all runs; curves: rows of ``laq.partial.table.curves``; layers: by network. Errors are
    shares of what was measured: ``error`` the largest, ``cv_error`` that at each k left out.
    """
    found = []
    for network, own in curves.groupby("network", sort=False):
        known = {layer.name: layer for layer in layers[str(network)]}
        for quantity in QUANTITIES:
            measured = own[own[quantity].notna()]
            if measured.empty:
                continue
            before = in_float(table, str(network), quantity)
            fits = {}
            for form in FORMS:
                fits[form] = _fits(measured, known, quantity, before, form)
            best = min(fits, key=lambda form: max(one["cv_error"] for one in fits[form].values()))
            for form, by_curve in fits.items():
                for (position, width), one in by_curve.items():
                    place = {"network": network, "quantity": quantity, "width": width}
                    place |= {"position": position, "form": form, "variable": VARIABLES[form]}
                    said = FORMS[form] if quantity == "bytes" or form != "parts" else SENT
                    found.append({**place, "formula": said, "chosen": form == best, **one})
    return found


SENT = "a + b k + c float bytes + d packed bytes of the layers"


def _fits(
    measured: pd.DataFrame,
    layers: Mapping[str, Layer],
    quantity: str,
    before: float,
    form: str,
) -> dict[tuple[str, str], dict[str, Any]]:
    """Errors and parameters by position and width. Parts are fitted to all curves at once."""
    groups = {
        (str(position), str(width)): rows
        for (position, width), rows in measured.groupby(["position", "width"], sort=False)
    }
    out = {}
    for key, rows in groups.items():
        of = measured if form == "parts" else rows
        y = rows[quantity].to_numpy(float)
        cells, said = rows["k"].to_numpy(), np.empty(len(rows))
        for k in np.unique(cells):
            kept = of[of["k"] != k]
            said[cells == k] = _said(kept, rows[cells == k], layers, quantity, before, form)[0]
        inside, parameters = _said(of, rows, layers, quantity, before, form)
        out[key] = {
            "runs": len(rows),
            "points": len(np.unique(cells)),
            "error": float(np.abs(inside / y - 1).max()),
            "cv_error": float(np.abs(said / y - 1).max()),
            **dict(zip("abcd", map(float, parameters), strict=False)),
        }
    return out


def _said(
    fitted_to: pd.DataFrame,
    rows: pd.DataFrame,
    layers: Mapping[str, Layer],
    quantity: str,
    before: float,
    form: str,
) -> tuple[Array, Array]:
    """Bytes of ``rows`` by a form fitted to others, and its parameters."""
    if form == "parts":
        size = fit(fitted_to, layers, quantity, before)
        base, features = _of_rows(rows, layers, before, size.counted)
        return base + features @ size.coefficients, size.coefficients
    x = fitted_to[VARIABLES[form]].to_numpy(float)
    line = np.linalg.lstsq(
        np.stack([np.ones_like(x), x], 1), fitted_to[quantity].to_numpy(float), rcond=None
    )[0]
    return line[0] + line[1] * rows[VARIABLES[form]].to_numpy(float), line
