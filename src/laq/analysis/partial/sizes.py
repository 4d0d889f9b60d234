"""Bytes as functions of which layers are quantized, from the layers' own sizes.

The file of a network is counted, ``laq.experiments.partial.headers``: its tensors, of which a
quantized layer's weight takes ⌈n·bits / 8⌉ bytes of codes and 4 for each step in place of 4 n, and
what the header says of them. Nothing of it is fitted. What a client downloads and what a training
step sends are fitted to the same parts.
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

# Bytes that are a function of the layers quantized, and what each is in float.
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
    """A layer that can be quantized. steps: that its weight has."""

    weight: WeightHeader
    steps: int

    @property
    def name(self) -> str:
        return self.weight.layer

    @property
    def values(self) -> int:
        """Numbers of its weight."""
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
    shown = table[(table["method"] == "float") & (table["role"] != "input")]
    if shown.empty:
        raise DataError(f"{path} has no arm in float: {AGAIN}")
    tensors = tuple(
        Tensor(row.tensor, _shape(row.shape), int(row.tensor_bits)) for row in shown.itertuples()
    )
    kinds = dict(zip(shown["tensor"], zip(shown["kind"], shown["role"], strict=True), strict=True))
    weights = tuple(
        WeightHeader(each.name.removesuffix(".weight"), kind, each.shape, role == "weight")
        for each in tensors
        if len(each.shape) > 1
        for kind, role in (kinds[each.name],)
    )
    packed = table[(table["role"] == "weight") & (table["quantized"] == "yes")]
    firsts = packed.drop_duplicates("tensor").set_index("tensor")
    known = {weight.layer: weight for weight in weights}
    found = []
    for name in names:
        if (tensor := f"{name}.weight") not in firsts.index or name not in known:
            raise DataError(f"{path} has no arm that quantizes the weight of {name}: {AGAIN}")
        row = firsts.loc[tensor]
        codes = Packed(known[name], 0, round(row["tensor_bits"])).code_bytes
        steps, rest = divmod(int(row["bytes"]) - codes, FLOAT)
        if steps < 1 or rest:
            raise DataError(
                f"{path}: the weight of {name} takes {row['bytes']:g} bytes, which is no number of "
                f"codes of {row['tensor_bits']:g} bits and steps: {AGAIN}"
            )
        found.append(LayerSizes(known[name], steps))
    return Network(tuple(found), tensors, weights)


def _shape(text: Any) -> tuple[int, ...]:
    """Of a cell, empty for a single number."""
    return tuple(int(part) for part in text.split("x")) if isinstance(text, str) and text else ()


def names_of(table: pd.DataFrame, network: str) -> list[str]:
    """Names of a network's layers that can be quantized, in the order of their first calls.

    table: all runs. Raises ``DataError`` where no arm of the network has all of them quantized.
    """
    whole = table[(table["network"] == network) & (table["position"] == "whole")]
    if whole.empty:
        raise DataError(f"no arm of {network} has all its layers quantized: {AGAIN}")
    return str(whole["layers"].iloc[0]).split()


@dataclass(frozen=True, eq=False)
class Size:
    """Bytes of one quantity.

    before: where nothing is quantized. coefficients: of 1, k, and the float bytes and packed bytes
    of the layers chosen; None for a file, which is counted.
    """

    before: float
    network: Network
    coefficients: Array | None = None

    def of(self, chosen: Sequence[LayerSizes], bits: float, input_bits: float = 32) -> float:
        """Bytes with the layers ``chosen`` quantized to ``bits``, their inputs to so many."""
        if not chosen:
            return self.before
        if self.coefficients is not None:
            return float(_features(chosen, bits) @ self.coefficients)
        packed = [layer.packed(bits, input_bits) for layer in chosen]
        own = self.network
        return headers.quantized(round(self.before), own.tensors, own.weights, packed)


def _features(chosen: Sequence[LayerSizes], bits: float) -> Array:
    floats = FLOAT * sum(layer.values for layer in chosen)
    packed = sum(layer.packed(bits).code_bytes + FLOAT * layer.steps for layer in chosen)
    return np.array([1.0, len(chosen), floats, packed])


def fit(rows: pd.DataFrame, network: Network, quantity: str, before: float) -> Size:
    """The size formula; what is not counted by least squares over ``rows`` of one network.

    rows: of arms trained quantized. before: bytes in float. Raises ``DataError`` for a layer that
    is not the network's.
    """
    if quantity == "bytes":
        return Size(before, network)
    known = network.named
    features = [
        _features(named(row.layers, known), row.bits)
        for row in rows[["layers", "bits"]].itertuples()
    ]
    found = np.linalg.lstsq(np.stack(features), rows[quantity].to_numpy(float), rcond=None)[0]
    return Size(before, network, found)


def _at(size: Size, rows: pd.DataFrame) -> Array:
    """Bytes of arms; those that differ in their seeds alone are looked at once."""
    known, found = size.network.named, {}
    for place in zip(rows["layers"], rows["bits"], rows["input_bits"], strict=True):
        if place not in found:
            found[place] = size.of(named(place[0], known), *place[1:])
    return np.array(
        [found[p] for p in zip(rows["layers"], rows["bits"], rows["input_bits"], strict=True)]
    )


def foretold(
    table: pd.DataFrame, curves: pd.DataFrame, networks: Mapping[str, Network]
) -> list[dict[str, Any]]:
    """Of each network a row: errors, as shares, of its files. They are counted, fitted to none.
    table, curves, networks: as of ``rows``."""
    found = []
    for network, own in curves.groupby("network", sort=False):
        size = fit(own, networks[str(network)], "bytes", in_float(table, str(network), "bytes"))
        errors = _at(size, own) / own["bytes"].to_numpy(float) - 1
        found.append(
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
    return found


def named(names: str, layers: Mapping[str, LayerSizes]) -> list[LayerSizes]:
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
    table: pd.DataFrame, curves: pd.DataFrame, networks: Mapping[str, Network]
) -> list[dict[str, Any]]:
    """A row for each network, quantity, width, position and form of size.

    table: all runs; curves: rows of ``laq.analysis.partial.table.curves``. Errors are shares of
    what was
    measured: ``error`` the largest, ``cv_error`` that at each k left out.
    """
    found = []
    for network, own in curves.groupby("network", sort=False):
        for quantity in QUANTITIES:
            measured = own[own[quantity].notna()]
            if measured.empty:
                continue
            before = in_float(table, str(network), quantity)
            fits = {
                form: _fits(measured, networks[str(network)], quantity, before, form)
                for form in FORMS
            }
            best = min(fits, key=lambda form: max(one["cv_error"] for one in fits[form].values()))
            for form, by_curve in fits.items():
                for (position, width), one in by_curve.items():
                    place = {"network": network, "quantity": quantity, "width": width}
                    place |= {"position": position, "form": form, "variable": VARIABLES[form]}
                    said = COUNTED if (quantity, form) == ("bytes", "parts") else FORMS[form]
                    found.append({**place, "formula": said, "chosen": form == best, **one})
    return found


def _fits(
    measured: pd.DataFrame, network: Network, quantity: str, before: float, form: str
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
            said[cells == k] = _said(kept, rows[cells == k], network, quantity, before, form)[0]
        inside, parameters = _said(of, rows, network, quantity, before, form)
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
