"""What a user, a disk or a colleague may do to a study's artifacts, and what each job that reads
one must say: the file, what is wrong in it, and what to do. Paths are below the study's root; the
study is config/digits.yaml, finished."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tests import spoil
from tests.spoil import Change

AGAIN = "delete it and run again"
REMAKE = "delete it and run the rule that makes it again"
BOTH = "delete both and run"

NETWORK = "models/small_resnet"
EVEN = f"{NETWORK}/even"


class Case(NamedTuple):
    """``file`` is changed, then the job that makes ``makes`` runs and says ``says``, in any order,
    with ``remedy`` and the file among it."""

    what: str
    makes: str
    file: str
    change: Change
    says: tuple[str, ...]
    remedy: str


def _objects(found: dict[str, np.ndarray]) -> None:
    found["labels"] = np.array([{"pickled": 1}] * len(found["labels"]), dtype=object)


def _shuffled(table: Any) -> Any:
    return table.sample(frac=1, random_state=0)


def _below_zero(table: Any) -> Any:
    table.iloc[0, 1] = table.iloc[1, 0] = -1.0
    return table


DATA_SET = [
    Case(
        *("a flipped bit in an image", f"{EVEN}/ft.safetensors", "dataset/train.npz"),
        *(spoil.flip(0.5), ("CRC",), AGAIN),
    ),
    Case(
        *("a pickle in an archive", "features/train.parquet", "dataset/train.npz"),
        *(spoil.arrays(_objects), ("allow_pickle=False",), AGAIN),
    ),
    Case(
        *("class names that are no JSON", "accuracy/small_resnet/even.csv", "dataset/classes.json"),
        *(spoil.half, ("is not valid JSON",), AGAIN),
    ),
]

DISTANCES = [
    Case(
        *("half of the features", "umap/coordinates.parquet", "features/train.parquet"),
        *(spoil.half, ("is not a feature table",), AGAIN),
    ),
    Case(
        *("coordinates in another order", "icd/kl_matrix.parquet", "umap/coordinates.parquet"),
        *(spoil.frame(_shuffled), ("one row for each of the 1438", "order"), AGAIN),
    ),
    Case(
        *("a series cut short", "subsets/target_1.json", "icd/targets_2.json"),
        *(spoil.half, ("is not valid JSON",), AGAIN),
    ),
    Case(
        *("a distance below zero", "subsets/target_1.json", "icd/kl_matrix.parquet"),
        *(spoil.frame(_below_zero), ("'0' and '1' are -1 apart",), AGAIN),
    ),
]

SUBSET = [
    Case(
        *("a class twice", f"{EVEN}/quant.safetensors", "subsets/even.json"),
        *(spoil.put(indices=[0, 2, 2, 6, 8]), ("one twice",), AGAIN),
    ),
    Case(
        *("a subset in place of another", "tables/subsets.csv", "subsets/even.json"),
        *(spoil.copy_of("random.json"), ("both of the subset random",), BOTH),
    ),
]

CHECKPOINTS = [
    Case(
        *("a program in a pickle", "features/train.parquet", f"{NETWORK}/original.safetensors"),
        *(spoil.program, ("is truncated or no safetensors file",), REMAKE),
    ),
    Case(
        *("a flipped bit", "accuracy/small_resnet/even.csv", f"{EVEN}/quant.safetensors"),
        *(spoil.flip(0.9), ("was altered after it was written",), REMAKE),
    ),
    Case(
        *("a variant in place of another", "accuracy/small_resnet/even.csv"),
        *(f"{EVEN}/quant.safetensors", spoil.copy_of("ft.safetensors")),
        *(("is the variant ft, not quant",), REMAKE),
    ),
    Case(
        *("variants of another network", "accuracy/small_resnet/even.csv"),
        *(f"{NETWORK}/original.safetensors", spoil.tensor("head.bias", lambda b: b + 1)),
        *(("was made from another network than the one in",), REMAKE),
    ),
    Case(
        *("a layer report of another making", "tables/memory.csv"),
        *("layers/small_resnet/even/quant.csv", spoil.copy_of("quant-2.csv")),
        *(("is not the layer report of", "stem.0"), BOTH),
    ),
]

ONE_LACKS = "delete the one that lacks rows and run again"
TABLES = [
    Case(
        *("a line lost", "accuracy.csv", "accuracy/small_resnet/even.csv"),
        *(spoil.last_line, ("ft_quant, 1, subset",), ONE_LACKS),
    ),
    Case(
        *("a line of the sweep lost", "sweep.csv", "sweep/small_resnet/even.csv"),
        *(spoil.last_line, ("subset",), ONE_LACKS),
    ),
    Case(
        *("a rate that is not its counts'", "tables/curves.csv", "accuracy.csv"),
        *(spoil.cell("top1", "0.5"), ("row 1: top1 is 0.5", " images are correct"), AGAIN),
    ),
    Case(
        *("a subset listed twice", "tables/curves.csv", "tables/subsets.csv"),
        *(spoil.rows(spoil.twice), ("two rows of target_1",), AGAIN),
    ),
    Case(
        *("a sweep without a column", "figures/fig8.pdf", "sweep.csv"),
        *(spoil.without("images"), ("lacks the column images",), AGAIN),
    ),
    Case(
        *("similarities that lost a subset", "tables/predictors.csv", "tables/similarity.csv"),
        *(spoil.last_line, ("no row of small_resnet on even",), AGAIN),
    ),
    Case(
        *("predictors without ranks", "figures/fig9.pdf", "tables/predictors.csv"),
        *(spoil.without("spearman"), ("lacks the column spearman",), AGAIN),
    ),
    Case(
        *("sizes below nothing", "figures/fig7.pdf", "tables/memory.csv"),
        *(spoil.cell("packed_bytes", "-5"), ("packed_bytes is -5",), AGAIN),
    ),
    Case(
        *("a verdict that is none", "report/summary.html", "tables/claims.csv"),
        *(spoil.cell("verdict", "maybe"), ("'maybe' is no verdict",), AGAIN),
    ),
    Case(
        *("a note of the data's origin cut short", "provenance.json", "dataset/origin.json"),
        *(spoil.half, ("is not valid JSON",), AGAIN),
    ),
]

CASES = [*DATA_SET, *DISTANCES, *SUBSET, *CHECKPOINTS, *TABLES]
