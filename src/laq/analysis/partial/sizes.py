"""Bytes as functions of which layers are quantized, from the layers' own sizes.

The bytes of a network's file are counted (``laq.experiments.partial.headers``): its tensors, and
their entries in the header. The weight of a quantized layer takes ⌈n·bits / 8⌉ bytes of codes and 4
for each step in place of 4 n. Nothing of this is fitted. The bytes that a client downloads and that
a training step sends are fitted to the same parts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laq.analysis.partial import table as runs
from laq.analysis.partial.curve import Array
from laq.experiments.partial import headers
from laq.experiments.partial.headers import Packed, Tensor, WeightHeader
from laq.utils.errors import DataError
from laq.utils.files import AGAIN, read_table

if TYPE_CHECKING:
    import pandas as pd

FLOAT = 4  # bytes
COLUMNS = (
    *("network", "method", "tensor", "role", "kind", "shape", "numbers", "quantized"),
    *("tensor_bits", "bytes"),
)

# Columns of bytes that depend on the quantized layers, and the column of each in float.
QUANTITIES = {
    "bytes": "bytes",
    "update_bytes": "update_bytes_float",
    "step_bytes": "step_bytes_float",
}
FORMS = {
    "parts": "a + b k + c float bytes + d packed bytes of the layers",
    "weights": "a + b x",
    "layers": "a + b x",
}
VARIABLES = {"parts": "layers", "weights": "weights_share", "layers": "share"}


COUNTED = "counted tensors and header"


@dataclass(frozen=True)
class LayerSizes:
    """A layer that can be quantized. steps: the number of its weight's steps."""

    weight: WeightHeader
    steps: int

    @property
    def name(self) -> str:
        return self.weight.layer

    @property
    def values(self) -> int:
        """Number of values of its weight."""
        return self.weight.values

    def packed(self, bits: float, input_bits: float = 32) -> Packed:
        """Its codes, and its input's where these have fewer than 32 bits."""
        return Packed(
            self.weight, self.steps, round(bits), None if input_bits == 32 else round(input_bits)
        )


@dataclass(frozen=True)
class Network:
    """layers: those that can be quantized, in forward order. tensors: of its file in float.
    weights: all that a file reports."""

    layers: tuple[LayerSizes, ...]
    tensors: tuple[Tensor, ...]
    weights: tuple[WeightHeader, ...]

    @property
    def named(self) -> dict[str, LayerSizes]:
        return {layer.name: layer for layer in self.layers}


def read(path: str | os.PathLike[str], names: Sequence[str]) -> Network:
    """The network of ``partial_qat/{network}/tensors.csv``, its layers those called ``names``.

    Raises ``DataError`` for a table that lacks columns, a layer that no arm quantizes, or one
    without the float arm.
    """
    table = read_table(path, COLUMNS)
    float_rows = table[(table["method"] == "float") & (table["role"] != "input")]
    if float_rows.empty:
        raise DataError(f"{path} has no arm in float: {AGAIN}")
    tensors = tuple(
        Tensor(row.tensor, _shape(row.shape), int(row.tensor_bits))
        for row in float_rows.itertuples()
    )
    kinds = dict(
        zip(
            float_rows["tensor"],
            zip(float_rows["kind"], float_rows["role"], strict=True),
            strict=True,
        )
    )
    weights = tuple(
        WeightHeader(entry.name.removesuffix(".weight"), kind, entry.shape, role == "weight")
        for entry in tensors
        if len(entry.shape) > 1
        for kind, role in (kinds[entry.name],)
    )
    packed = table[(table["role"] == "weight") & (table["quantized"] == "yes")]
    first_rows = packed.drop_duplicates("tensor").set_index("tensor")
    by_layer = {weight.layer: weight for weight in weights}
    layers = []
    for name in names:
        if (tensor := f"{name}.weight") not in first_rows.index or name not in by_layer:
            raise DataError(f"{path} has no arm that quantizes the weight of {name}: {AGAIN}")
        row = first_rows.loc[tensor]
        codes = Packed(by_layer[name], 0, round(row["tensor_bits"])).code_bytes
        steps, remainder = divmod(int(row["bytes"]) - codes, FLOAT)
        if steps < 1 or remainder:
            raise DataError(
                f"{path}: the weight of {name} takes {row['bytes']:g} bytes, which is no number of "
                f"codes of {row['tensor_bits']:g} bits and steps: {AGAIN}"
            )
        layers.append(LayerSizes(by_layer[name], steps))
    return Network(tuple(layers), tensors, weights)


def _shape(text: Any) -> tuple[int, ...]:
    """The shape in a cell, whose sides are joined by ``x``; empty for a single number."""
    return tuple(int(side) for side in text.split("x")) if isinstance(text, str) and text else ()


def names_of(table: pd.DataFrame, network: str) -> list[str]:
    """Names of a network's layers that can be quantized, in the order of their first calls.

    table: all runs. Raises ``DataError`` where no arm of the network has all of them quantized.
    """
    full_runs = table[(table["network"] == network) & (table["position"] == "whole")]
    if full_runs.empty:
        raise DataError(f"no arm of {network} has all its layers quantized: {AGAIN}")
    return str(full_runs["layers"].iloc[0]).split()


@dataclass(frozen=True, eq=False)
class Size:
    """Bytes of one quantity.

    before: the bytes where nothing is quantized. coefficients: of 1, k, and the float bytes and
    packed bytes of the layers chosen; None for a file, which is counted.
    """

    before: float
    network: Network
    coefficients: Array | None = None

    def of(self, chosen: Sequence[LayerSizes], bits: float, input_bits: float = 32) -> float:
        """Bytes with the layers ``chosen`` quantized to ``bits``, inputs to ``input_bits``."""
        if not chosen:
            return self.before
        if self.coefficients is not None:
            return float(_features(chosen, bits) @ self.coefficients)
        packed = [layer.packed(bits, input_bits) for layer in chosen]
        network = self.network
        return headers.quantized(round(self.before), network.tensors, network.weights, packed)


def _features(chosen: Sequence[LayerSizes], bits: float) -> Array:
    floats = FLOAT * sum(layer.values for layer in chosen)
    packed = sum(layer.packed(bits).code_bytes + FLOAT * layer.steps for layer in chosen)
    return np.array([1.0, len(chosen), floats, packed])


def fit(rows: pd.DataFrame, network: Network, quantity: str, before: float) -> Size:
    """The size formula, counted or fitted by least squares over ``rows`` of one network.

    rows: of arms trained quantized. before: bytes in float. Raises ``DataError`` for a layer that
    is not the network's.
    """
    if quantity == "bytes":
        return Size(before, network)
    layers = network.named
    features = [
        _features(named(row.layers, layers), row.bits)
        for row in rows[["layers", "bits"]].itertuples()
    ]
    solution = np.linalg.lstsq(np.stack(features), rows[quantity].to_numpy(float), rcond=None)[0]
    return Size(before, network, solution)


def _at(size: Size, rows: pd.DataFrame) -> Array:
    """Bytes of arms; those that differ in their seeds alone are computed once."""
    layers, cache = size.network.named, {}
    for key in zip(rows["layers"], rows["bits"], rows["input_bits"], strict=True):
        if key not in cache:
            cache[key] = size.of(named(key[0], layers), *key[1:])
    return np.array(
        [cache[key] for key in zip(rows["layers"], rows["bits"], rows["input_bits"], strict=True)]
    )


def foretold(
    table: pd.DataFrame, curves: pd.DataFrame, networks: Mapping[str, Network]
) -> list[dict[str, Any]]:
    """A row for each network: errors, as shares, of its files' bytes, counted and not fitted.

    table, curves, networks: as of ``rows``.
    """
    records = []
    for network, group in curves.groupby("network", sort=False):
        size = fit(group, networks[str(network)], "bytes", in_float(table, str(network), "bytes"))
        errors = _at(size, group) / group["bytes"].to_numpy(float) - 1
        records.append(
            {
                "network": network,
                "fitted_on": "",
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
    return records


def named(names: str, layers: Mapping[str, LayerSizes]) -> list[LayerSizes]:
    """The layers of a cell of names. Raises ``DataError`` for one that is not there."""
    requested = names.split()
    if unknown := [name for name in requested if name not in layers]:
        raise DataError(
            f"an arm quantizes {unknown[0]}, which the table of tensors has not as a layer that is "
            f"quantized: {AGAIN}"
        )
    return [layers[name] for name in requested]


def in_float(table: pd.DataFrame, network: str, quantity: str) -> float:
    """Bytes of a network's controls in float."""
    controls = runs.controls(table)
    return float(controls.loc[controls["network"] == network, QUANTITIES[quantity]].mean())


def rows(
    table: pd.DataFrame, curves: pd.DataFrame, networks: Mapping[str, Network]
) -> list[dict[str, Any]]:
    """A row for each network, quantity, width, position and form of size.

    table: all runs; curves: rows of ``laq.analysis.partial.table.curves``. Errors are shares of
    the measured bytes: ``error`` is the largest, ``cv_error`` the largest at a k left out.
    """
    records = []
    for network, group in curves.groupby("network", sort=False):
        for quantity in QUANTITIES:
            measured = group[group[quantity].notna()]
            if measured.empty:
                continue
            float_bytes = in_float(table, str(network), quantity)
            fits = {
                form: _fits(measured, networks[str(network)], quantity, float_bytes, form)
                for form in FORMS
            }
            best = min(fits, key=lambda form: max(row["cv_error"] for row in fits[form].values()))
            for form, by_curve in fits.items():
                for (position, width), errors in by_curve.items():
                    labels = {"network": network, "quantity": quantity, "width": width}
                    labels |= {"position": position, "form": form, "variable": VARIABLES[form]}
                    formula = COUNTED if (quantity, form) == ("bytes", "parts") else FORMS[form]
                    records.append({**labels, "formula": formula, "chosen": form == best, **errors})
    return records


def _fits(
    measured: pd.DataFrame, network: Network, quantity: str, before: float, form: str
) -> dict[tuple[str, str], dict[str, Any]]:
    """Errors and parameters by position and width. Parts are fitted to all curves at once."""
    groups = {
        (str(position), str(width)): rows
        for (position, width), rows in measured.groupby(["position", "width"], sort=False)
    }
    results = {}
    for key, rows in groups.items():
        fit_rows = measured if form == "parts" else rows
        y = rows[quantity].to_numpy(float)
        ks, predicted = rows["k"].to_numpy(), np.empty(len(rows))
        for k in np.unique(ks):
            training = fit_rows[fit_rows["k"] != k]
            predicted[ks == k] = _said(training, rows[ks == k], network, quantity, before, form)[0]
        in_sample, parameters = _said(fit_rows, rows, network, quantity, before, form)
        results[key] = {
            "runs": len(rows),
            "points": len(np.unique(ks)),
            "error": float(np.abs(in_sample / y - 1).max()),
            "cv_error": float(np.abs(predicted / y - 1).max()),
            **dict(zip("abcd", map(float, parameters), strict=False)),
        }
    return results


def _said(
    fitted_to: pd.DataFrame,
    rows: pd.DataFrame,
    network: Network,
    quantity: str,
    before: float,
    form: str,
) -> tuple[Array, Array]:
    """Bytes of ``rows`` by a form fitted to others, and its parameters."""
    if form == "parts":
        size = fit(fitted_to, network, quantity, before)
        return _at(size, rows), np.empty(0) if size.coefficients is None else size.coefficients
    x = fitted_to[VARIABLES[form]].to_numpy(float)
    line = np.linalg.lstsq(
        np.stack([np.ones_like(x), x], 1), fitted_to[quantity].to_numpy(float), rcond=None
    )[0]
    return line[0] + line[1] * rows[VARIABLES[form]].to_numpy(float), line
