"""What readers of a study's files do with damaged ones: refuse them by name, or read what was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laq.analysis import collected
from laq.data.published import read_log
from laq.distances import divergence, embedding, features, subset_files
from laq.reporting import pages
from laq.utils.errors import LaqError
from laq.utils.files import write_csv, write_json, write_parquet
from tests import logs

LABELS = np.repeat(np.arange(3), 4)
NAMES = ["a", "b", "c"]
SUBSET = {"subset": "s", "kind": "classes", "target": None, "seed": 0, "indices": [0, 2]}
SUBSET |= {"classes": ["a", "c"], "median_icd": 2.5, "mean_icd": 2.5}
SUBSET |= {"min_icd": 2.5, "max_icd": 2.5, "superclass": None}


def _subset(path: Path) -> None:
    write_json(path, SUBSET)


def _features(path: Path) -> None:
    rng = np.random.default_rng(0)
    batches = iter([rng.normal(size=(12, 5)).astype(np.float32)])
    features.write(path, batches, LABELS)


def _coordinates(path: Path) -> None:
    plane = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    table = {"index": np.arange(12), "label": LABELS, "umap_1": plane[:, 0], "umap_2": plane[:, 1]}
    write_parquet(path, pd.DataFrame(table))


def _distances(path: Path) -> None:
    matrix = np.array([[0, 1.5, 2.5], [1.5, 0, 3.5], [2.5, 3.5, 0]])
    write_parquet(path, pd.DataFrame(matrix, index=NAMES, columns=NAMES))


def _accuracy(path: Path) -> None:
    rows = [
        {"network": "n", "subset": "s", "variant": variant, "repeat": 1, "scope": scope}
        | {"median_icd": 2.5, "n": 40, "correct": 30, "top1": 0.75}
        for variant in ("original", "quant")
        for scope in ("all", "subset")
    ]
    write_csv(path, pd.DataFrame(rows))


def _log(path: Path) -> None:
    logs.write(path, [logs.row((1, 2, 3), 2.0), logs.row((4, 5, 6), 3.0)])


# File, writer, reader, and whether any change of what it holds has to be noticed.
FILES: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any], bool]] = {
    "subset.json": (_subset, lambda path: subset_files.read(path, NAMES), False),
    "features.parquet": (_features, features.read, True),
    "coordinates.parquet": (_coordinates, lambda path: embedding.read(path, LABELS), True),
    "matrix.parquet": (_distances, divergence.read, True),
    "accuracy.csv": (_accuracy, lambda path: collected.put_together([path]), False),
    "page.csv": (_accuracy, lambda path: pages.read_rows(path, ["scope"], ["top1"]), False),
    "log.csv": (_log, read_log, False),
}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    return np.array_equal(one, other)


@pytest.mark.parametrize("name", FILES)
def test_damage_of_any_kind_is_refused_by_name_or_read(name: str, tmp_path: Path) -> None:
    write, read, sealed = FILES[name]
    path = tmp_path / name
    write(path)
    whole, content = read(path), path.read_bytes()

    @settings(
        max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        changed = bytearray(content)
        place = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "take", "insert", "twice", "byte"])):
            case "flip":
                changed[place] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del changed[place:]
            case "take":
                del changed[place : place + data.draw(st.integers(1, 30))]
            case "insert":
                changed[place:place] = data.draw(st.binary(min_size=1, max_size=10))
            case "twice":
                changed[place:place] = changed[place : place + data.draw(st.integers(1, 60))]
            case "byte":
                changed[place] = data.draw(st.sampled_from(b'\0\n",;{}[]:-.9eE\xff'))
        path.write_bytes(changed)
        try:
            found = read(path)
        except LaqError as error:
            assert str(path) in str(error)
        else:
            assert not sealed or same(found, whole)

    tried()
