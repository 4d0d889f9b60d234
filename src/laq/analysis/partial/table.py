"""The measured arms: the table of all runs, which is checked, and drops from it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from laq.utils import columns
from laq.utils.columns import Kind
from laq.utils.errors import DataError
from laq.utils.files import AGAIN, read_table

if TYPE_CHECKING:
    import pandas as pd

BYTES = ("bytes", "update_bytes_float", "update_bytes", "step_bytes_float", "step_bytes")
COLUMNS = (
    *("network", "arm", "method", "position", "trained", "bits", "input_bits", "k", "layers"),
    *("weights_share", "repeat", "classes", "tested", "scope", "n", "correct", "top1", *BYTES),
)
# Columns that identify a row. A network, position and number of layers may have several arms.
ROW = (
    *("network", "arm", "method", "position", "trained", "bits", "input_bits", "k"),
    *("repeat", "classes", "tested", "scope"),
)
# Columns that an arm and its control have alike: the same images, seed and classes.
RUN = ["network", "repeat", "classes", "tested", "scope"]

# Suffix of the position of arms whose other layers were not trained.
ALONE = "_alone"

# Positions whose k quantized layers are counted from an end of the network or from its middle.
ORDERED = ("first", "middle", "last")
WITH_ALONE = (*ORDERED, *(f"{position}{ALONE}" for position in ORDERED))
ALL = "all"
IN_FLOAT = 32

_KINDS = {
    "k": Kind(0, whole=True),
    "bits": Kind(1, 32),
    "input_bits": Kind(1, 32, empty=True),
    "weights_share": Kind(0, 1),
    **dict.fromkeys(BYTES, Kind(0, whole=True, empty=True)),
    "bytes": Kind(1, whole=True),
}


def read(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The rows of ``partial_qat/runs.csv``, with the column ``width`` of ``widths``.

    The position of arms whose quantized layers were trained alone ends with ``ALONE``.

    Raises ``DataError`` for a table that lacks columns, holds what cannot be true, or a row twice.
    """
    table = read_table(path, COLUMNS)
    for name, kind in _KINDS.items():
        columns.check_numbers(path, name, table[name], kind)
    columns.check_rates(path, table)
    if (duplicated := table.duplicated(list(ROW))).any():
        raise DataError(
            f"{path}, row {int(duplicated.to_numpy().argmax()) + 1} is there twice: {AGAIN}"
        )
    suffix = table["trained"].eq("quantized").map({True: ALONE, False: ""})
    return table.assign(
        width=widths(table), layers=table["layers"].fillna(""), position=table["position"] + suffix
    )


def widths(table: pd.DataFrame) -> pd.Series:
    """Bits of weights and inputs in short: ``4``, or ``4a8`` where inputs have 8.

    Mixed precision spends a budget anew for each seed. Its bits are the mean over the seeds.
    """
    mean_bits = table.groupby(["network", "arm"])["bits"].transform("mean")
    weights = table["bits"].where(table["method"] != "compress", mean_bits).map("{:.3g}".format)
    quantized = table["input_bits"].notna() & (table["input_bits"] != IN_FLOAT)
    return weights + table["input_bits"].map("a{:g}".format).where(quantized, "")


def controls(table: pd.DataFrame) -> pd.DataFrame:
    """The arms in float that were trained on as all others are: k = 0."""
    return table[(table["k"] == 0) & (table["position"] == "none")]


def drops(table: pd.DataFrame) -> pd.DataFrame:
    """Every arm but the controls, with ``drop``: top-1 of its control less its own, a share.

    The control has the arm's repeat and classes, and is tested on the same images.

    Raises ``DataError`` where an arm has none.
    """
    control = controls(table).set_index(RUN)["top1"].rename("control")
    arms = table[(table["k"] > 0) & (table["position"] != "none")].join(control, on=RUN)
    if (missing := arms["control"].isna()).any():
        row = arms[missing].iloc[0]
        raise DataError(
            f"no float control of {row['network']} for repeat {row['repeat']}, trained on "
            f"{row['classes']} and tested on {row['tested']} ({row['scope']}), which the arm "
            f"“{row['arm']}” is compared with: {AGAIN}"
        )
    return arms.assign(drop=arms["control"] - arms["top1"])


def on_everything(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that were trained and tested on all classes."""
    return table[(table["classes"] == ALL) & (table["tested"] == ALL) & (table["scope"] == ALL)]


def curves(arms: pd.DataFrame, positions: Sequence[str] = ORDERED) -> pd.DataFrame:
    """The arms trained quantized that are points of a curve over k, with ``share``: k by layers.

    arms: rows of ``drops``. The arm with all layers quantized is the last point of every curve of
    ``ORDERED`` at its width, so its rows are repeated under each of these positions.

    Raises ``DataError`` for a network without an arm of all its layers, which k is a share of.
    """
    import pandas as pd

    trained = arms[arms["method"] == "qat"]
    full_arms = trained[trained["position"] == "whole"]
    layers = full_arms.groupby("network")["k"].max()
    pieces = []
    partial = trained[trained["position"].isin(positions)]
    for (network, position, width), rows in partial.groupby(
        ["network", "position", "width"], sort=False
    ):
        endpoints = full_arms[(full_arms["network"] == network) & (full_arms["width"] == width)]
        if network not in layers:
            raise DataError(
                f"no arm of {network} has all its layers quantized, so that k is no share of "
                f"them: {AGAIN}"
            )
        if position in ORDERED:
            rows = pd.concat([rows, endpoints.assign(position=position)], ignore_index=True)
        pieces.append(rows.assign(share=rows["k"] / layers[network]))
    if not pieces:
        return arms.iloc[:0].assign(share=0.0)
    return pd.concat(pieces, ignore_index=True)
