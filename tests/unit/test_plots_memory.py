"""Figure 7: bars are as long as the files are large, and every label can be read."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from laq.figures.memory import COLUMNS, memory_by_variant, size
from laq.utils.files import write_csv
from plot_memory import plot_memory

FACTOR = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def rows(variant: str, packed: list[int], bits: float, network: str = "net") -> list[dict]:
    """A row a subset; of a compressed file, all but 1000 bytes are codes."""
    return [
        {
            "network": network,
            "subset": f"s{place}" if variant != "original" else None,
            "variant": variant,
            "repeat": 1,
            "weights": 0 if bits == 0 else round((bytes_ - 1000) * 8 / bits),
            "float_bytes": 1_000_000,
            "packed_bytes": bytes_,
            "ratio": bytes_ / 1e6,
            "entropy_bytes": bytes_ if bits == 0 else 1000 + (bytes_ - 1000) // 2,
            "bits_per_weight": bits or 32.0,
            "nominal_bits": bits or 32.0,
        }
        for place, bytes_ in enumerate(packed)
    ]


def table(*parts: list[dict]) -> pd.DataFrame:
    return pd.DataFrame([row for part in parts for row in part])


STUDY = table(
    rows("original", [1_000_000], 0),
    rows("quant", [125_000, 125_000], 4.0),
    rows("mixed", [100_000, 300_000], 4.0),
    rows("bits32", [1_002_000, 1_002_000], 32.0),
)
VARIANTS = ["original", "bits32", "quant", "mixed"]


def texts(panel) -> list[str]:
    return [text.get_text() for text in panel.texts]


@given(st.integers(0, 10**14))
def test_sizes_keep_three_digits_in_the_largest_unit_that_fits(count):
    number, unit = size(count).split()
    assert float(number) * FACTOR[unit] == pytest.approx(count, rel=0.00501)
    assert float(number) < 1000 and (float(number) >= 1 or unit == "B")
    assert len(re.sub(r"\D", "", number)) == 3 or unit == "B"


def test_bars_are_the_means_of_the_files_and_split_into_codes_and_the_rest():
    panel = memory_by_variant(STUDY, VARIANTS, "Test").axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == [
        *("Original", "32-bit control", "Quant", "mixed")
    ]
    codes, rest = panel.containers[0], panel.containers[1]
    np.testing.assert_allclose([bar.get_width() for bar in codes], [0, 1_001_000, 124_000, 199_000])
    ends = [bar.get_x() + bar.get_width() for bar in rest]
    np.testing.assert_allclose(ends, [1_000_000, 1_002_000, 125_000, 200_000])


def test_labels_say_the_size_and_what_it_saves_of_the_originals_file():
    panel = memory_by_variant(STUDY, VARIANTS, "Test").axes[0]
    assert texts(panel) == [
        *("1.00 MB", "1.00 MB, adds 0.2%", "125 kB, saves 87.5%", "200 kB, saves 80.0%")
    ]


def test_the_entropy_bound_is_marked_where_codes_are_few_enough_to_mean_something():
    panel = memory_by_variant(STUDY, VARIANTS, "Test").axes[0]
    [bound] = [line for line in panel.lines if "entropy" in str(line.get_label())]
    np.testing.assert_allclose(bound.get_xdata(), [63_000, (50_500 + 150_500) / 2])
    np.testing.assert_allclose(bound.get_ydata(), [2, 3])


def test_two_runs_give_the_same_bytes(tmp_path):
    write_csv(tmp_path / "memory.csv", STUDY)
    for name in ("x", "y"):
        pdf, png = tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"
        plot_memory(tmp_path / "memory.csv", pdf, png, "Test", VARIANTS)
    for suffix in ("pdf", "png"):
        first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "xy")
        assert first == second


def test_the_columns_it_needs_are_those_that_the_table_has():
    assert set(COLUMNS) <= set(STUDY.columns)
