"""The recommended variant is the smallest file that loses no more than was allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laq.analysis.deployment import choose
from laq.analysis.statistics import wilson_interval
from laq.utils.errors import DataError

# variant: images right over the subset's classes, over all classes, bytes on the disk
MEASURED = {
    "original": (480, 470, 4000),
    "ft": (490, 489, 4100),
    "quant": (485, 471, 600),
    "quant3": (484, 470, 500),
}
N = 500


def tables(
    measured: dict[str, tuple[int, int, int]], subsets: tuple[str, ...] = ("near",), n: int = N
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """accuracy.csv and memory.csv of a network."""
    accuracy, memory = [], []
    for variant, (within, everything, size) in measured.items():
        for subset in subsets:
            for scope, correct in (("all", everything), ("subset", within)):
                place = {"network": "net", "subset": subset, "variant": variant, "repeat": 1}
                accuracy.append({**place, "scope": scope, "n": n, "correct": correct})
        for subset in [np.nan] if variant == "original" else subsets:
            place = {"network": "net", "subset": subset, "variant": variant, "repeat": 1}
            memory.append({**place, "packed_bytes": size, "bits_per_weight": size / 100})
    return pd.DataFrame(accuracy), pd.DataFrame(memory)


def recommended(table: pd.DataFrame) -> list[str]:
    return list(table.loc[table["recommended"], "variant"])


@pytest.mark.parametrize(
    ("tolerance", "variant"),
    # One point of 500 images is 5 of them: quant has lost exactly that, quant3 one more.
    [(0.0, "ft"), (0.0099, "ft"), (0.01, "quant"), (0.0119, "quant"), (0.012, "quant3")],
)
def test_the_smallest_file_within_the_tolerance_is_recommended(
    tolerance: float, variant: str
) -> None:
    table = choose(*tables(MEASURED), tolerance)
    assert recommended(table) == [variant]


def test_rows_say_accuracy_interval_bytes_and_why() -> None:
    table = choose(*tables(MEASURED), 0.01).set_index("variant")
    quant = table.loc["quant"]
    assert (quant["n"], quant["top1"], quant["top1_all"]) == (500, 0.97, 0.942)
    low, high = wilson_interval(485, 500)
    assert (quant["low"], quant["high"]) == (low, high)
    assert (quant["bytes"], quant["bits_per_weight"]) == (600, 6.0)
    assert dict(table["reason"]) == {
        "original": "2.00 points below ft, the best: more than 1 point",
        "ft": "the best; quant, 85 % smaller, is within 1 point too",
        "quant": "1.00 points below ft, the best; the smallest file within 1 point of the best",
        "quant3": "1.20 points below ft, the best: more than 1 point",
    }


def test_of_files_as_small_the_most_accurate_is_recommended() -> None:
    measured = {"a": (95, 0, 1000), "b": (96, 0, 1020), "c": (97, 0, 1021), "d": (96, 0, 1001)}
    table = choose(*tables(measured, n=100), 0.05).set_index("variant")
    assert dict(table["reason"]) == {
        "a": "2.00 points below c, the best; d is as small and more accurate",
        "b": "1.00 points below c, the best; d is as small and as accurate",
        "c": "the best; d, 2 % smaller, is within 5 points too",
        "d": "1.00 points below c, the best; the smallest file within 5 points of the best",
    }
    table = choose(*tables({"a": (9, 9, 20), "b": (9, 9, 20), "c": (9, 9, 50)}, n=10), 0)
    assert recommended(table) == ["a"]
    assert table["reason"][0] == "as good as any; the smallest file within 0 points of the best"


def test_each_subset_and_network_has_its_own_and_the_first_repeat_counts() -> None:
    accuracy, memory = tables(MEASURED, ("near", "far"))
    far = (accuracy["subset"] == "far") & (accuracy["variant"] == "quant")
    accuracy.loc[far, "correct"] = 300
    again = accuracy[accuracy["variant"] == "quant3"].assign(repeat=2, correct=500)
    smaller = memory[memory["variant"] == "quant3"].assign(repeat=2, packed_bytes=1)
    accuracy = pd.concat([accuracy, again, accuracy.assign(network="other")])
    memory = pd.concat([memory, smaller, memory.assign(network="other", packed_bytes=7)])
    table = choose(accuracy, memory, 0.01)
    assert len(table) == 4 * 2 * 2
    chosen = table[table["recommended"]]
    assert list(zip(chosen["network"], chosen["subset"], chosen["variant"], strict=True)) == [
        ("net", "near", "quant"),
        ("net", "far", "ft"),
        ("other", "near", "ft"),
        ("other", "far", "ft"),
    ]


@given(
    measured=st.dictionaries(
        st.sampled_from("abcdef"),
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 5)),
        min_size=1,
    ),
    images=st.integers(0, 40),
)
def test_nothing_smaller_would_have_done(measured: dict[str, Any], images: int) -> None:
    table = choose(*tables(measured, n=40), images / 40)
    (chosen,) = recommended(table)
    best = max(within for within, _, _ in measured.values())
    assert best - measured[chosen][0] <= images
    for within, _, size in measured.values():
        if 1.02 * size < measured[chosen][2]:
            assert best - within > images
    assert table["reason"].str.len().min() > 8
    assert (table["low"] <= table["top1"]).all() and (table["top1"] <= table["high"]).all()


def test_a_variant_without_a_size_is_an_error() -> None:
    accuracy, memory = tables(MEASURED)
    with pytest.raises(DataError, match=r"quant of net on near has an accuracy but no size"):
        choose(accuracy, memory[memory["variant"] != "quant"], 0.01)
