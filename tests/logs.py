"""Logs in the format of the published ones, written by hand."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from laq.data.published import read
from laq.utils.errors import DataError
from tests.configs import ROOT

# Data of the published study; not a part of this project, so tests that read it skip without it.
PUBLISHED = ROOT.parent / "shared" / "published"
FILES = {
    "4bit": "Quantization_Log_resnet50_4bit.csv",
    "3bit": "Quantization_Log_resnet50_3bit.csv",
    "32bit": "Quantization_Log_resnet50_32bit.csv",
    "mp53": "Quantization_Log_resnet50_mp4bit.csv",
    "mp35": "Quantization_Log_resnet50_mpasc4bit.csv",
}

NETWORKS = ("Original", "Quantized", "Fine-Tuned", "Quant+FT")
ORIGINAL, QUANT = "Original Top1 Accuracy", "Quantized Top1 Accuracy"
TOP1 = [f"{name} Top1 Accuracy{scope}" for name in NETWORKS for scope in ("", " (Pick Sub)")]
TOP5 = [f"{name} Top5 Accuracy{scope}" for name in NETWORKS for scope in ("", " (Pick Sub)")]
# Those of the true logs, in their order.
COLUMNS = [
    "Model Name",
    "Dataset",
    "Quantization Batch Size",
    "Original Top1 Accuracy",
    "Quantized Top1 Accuracy",
    "Original Top5 Accuracy",
    "Quantized Top5 Accuracy",
    "Bits",
    "MLP_Alphabet_Scalar",
    "CNN_Alphabet_Scalar",
    "MLP_Percentile",
    "CNN_Percentile",
    "Stochastic Quantization",
    "Regularizer",
    "Lambda",
    "Original Sparsity",
    "Quantized Sparsity",
    "Retain_rate",
    "Fusion",
    "Seed",
    "Subset_Inds",
    "Subset_Classes",
    "Max_KL",
    "Min_KL",
    "Avg_KL",
    "Median_KL",
    "Classes Repeated",
    "Fine-Tuned Top1 Accuracy",
    "Fine-Tuned Top5 Accuracy",
    "Quant+FT Top1 Accuracy",
    "Quant+FT Top5 Accuracy",
    "Original Top1 Accuracy (Pick Sub)",
    "Original Top5 Accuracy (Pick Sub)",
    "Quantized Top1 Accuracy (Pick Sub)",
    "Quantized Top5 Accuracy (Pick Sub)",
    "Fine-Tuned Top1 Accuracy (Pick Sub)",
    "Fine-Tuned Top5 Accuracy (Pick Sub)",
    "Quant+FT Top1 Accuracy (Pick Sub)",
    "Quant+FT Top5 Accuracy (Pick Sub)",
    "Fine-Tuned Sparsity",
    "Quant+FT Sparsity",
]


def row(indices: Sequence[int] = (3, 1, 4), median: float = 2.0, **cells: Any) -> dict[str, Any]:
    """A row of a log; ``cells`` replaces cells by their columns."""
    made: dict[str, Any] = dict.fromkeys(COLUMNS, 0.0)
    made |= dict.fromkeys(TOP1, 0.81) | dict.fromkeys(TOP5, 0.97)
    made |= {
        "Model Name": "resnet50",
        "Dataset": "CIFAR100",
        "Quantization Batch Size": 64,
        "Bits": 4,
        "CNN_Alphabet_Scalar": 1.16,
        "Retain_rate": 0.25,
        "Regularizer": "",
        "Subset_Inds": str(list(indices)),
        "Subset_Classes": str([f"class {index}" for index in indices]),
        "Max_KL": 4 * median,
        "Min_KL": median / 4,
        "Avg_KL": 1.5 * median,
        "Median_KL": median,
    }
    return made | cells


def write(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] = COLUMNS,
    *,
    delimiter: str = ",",
    lineterminator: str = "\n",
    encoding: str = "utf-8",
) -> Path:
    """Write rows as a log."""
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(
            file, columns, delimiter=delimiter, lineterminator=lineterminator, restval=""
        )
        writer.writeheader()
        writer.writerows({name: row.get(name, "") for name in columns} for row in rows)
    return path


def table(rows: Sequence[Mapping[str, Any]], folder: Path, test_per_class: int | None = 100) -> Any:
    """The rows of a log with the setting 4bit, written and read."""
    return read(write(folder / "log.csv", rows), "4bit", test_per_class)


def refused(path: Path) -> str:
    """What the reader says of a log that it does not take."""
    with pytest.raises(DataError) as error:
        read(path, "4bit", 100)
    return str(error.value)
