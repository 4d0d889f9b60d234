"""Published logs: what is read from them, from any file of the format, and from the true ones."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from laq.data.published import put_together, read, read_log
from laq.utils.files import write_csv
from read_logs import read_logs
from tests.logs import FILES, PUBLISHED, QUANT, TOP1, TOP5, row, table, write

# One row


def test_a_row_becomes_eight_in_the_columns_of_a_study(tmp_path: Path) -> None:
    rates = {name: round(0.5 + 0.01 * i, 2) for i, name in enumerate(TOP1)}
    tops = {name: round(0.9 + 0.01 * i, 2) for i, name in enumerate(TOP5)}
    made = table([row((3, 1, 4), 2.0, **rates, **tops)], tmp_path)
    assert " ".join(made) == (
        "setting network subset variant repeat scope median_icd mean_icd n correct top1 top5 "
        "correct5 in_subset"
    )
    assert len(made) == 8
    arms = made.set_index(["variant", "scope"])
    # By hand, not by the names that the reader builds.
    pairs = {
        ("original", "all"): "Original Top1 Accuracy",
        ("original", "subset"): "Original Top1 Accuracy (Pick Sub)",
        ("quant", "all"): QUANT,
        ("quant", "subset"): "Quantized Top1 Accuracy (Pick Sub)",
        ("ft", "all"): "Fine-Tuned Top1 Accuracy",
        ("ft", "subset"): "Fine-Tuned Top1 Accuracy (Pick Sub)",
        ("ft_quant", "all"): "Quant+FT Top1 Accuracy",
        ("ft_quant", "subset"): "Quant+FT Top1 Accuracy (Pick Sub)",
    }
    for arm, column in pairs.items():
        scores = arms.loc[arm]
        top5 = tops[column.replace("Top1", "Top5")]
        assert (scores.top1, scores.top5) == (rates[column], top5), arm
        assert (scores.n, scores.correct) == (300, round(300 * rates[column])), arm
        assert scores.correct5 == round(300 * top5), arm
    assert set(made["setting"]) == {"4bit"} and set(made["network"]) == {"resnet50"}
    assert set(made["subset"]) == {"subset_01"} and set(made["repeat"]) == {1}
    assert set(made["median_icd"]) == {2.0} and set(made["mean_icd"]) == {3.0}
    assert made["in_subset"].isna().all()


def test_what_only_the_needed_columns_hold_is_enough(tmp_path: Path) -> None:
    needed = ["Subset_Inds", "Subset_Classes", "Median_KL", *TOP1]
    path = write(tmp_path / "log.csv", [row()], needed)
    made = read(path, "4bit", 100)
    assert made["top1"].notna().all()
    assert made[["mean_icd", "top5", "correct5"]].isna().all(axis=None)
    assert set(made["network"]) == {"4bit"}
    tables = put_together({"4bit": read_log(path)}, 100)
    assert tables.subsets.loc[0, ["mean_icd", "min_icd", "max_icd"]].isna().all()


# How files are written


SUBSETS = st.lists(st.integers(0, 999), min_size=2, max_size=12, unique=True)
RATES = st.integers(0, 1000).map(lambda count: count / 1000)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(
            SUBSETS,
            st.floats(1e-6, 1e6),
            st.lists(RATES, min_size=8, max_size=8),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda entry: frozenset(entry[0]),
    )
)
def test_a_log_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    rows = []
    for indices, median, rates, commas in entries:
        cells = row(indices, median, **dict(zip(TOP1, rates, strict=True)))
        if not commas:
            cells["Subset_Inds"] = cells["Subset_Inds"].replace(",", "")
            cells["Subset_Classes"] = cells["Subset_Classes"].replace(",", "")
        rows.append(cells)
    made = table(rows, folder)
    log = read_log(folder / "log.csv")
    assert [row.values["Subset_Inds"] for row in log.rows] == [tuple(e[0]) for e in entries]
    expected = sorted(zip([e[1] for e in entries], [e[2] for e in entries], strict=True))
    found = made.groupby(["median_icd", "subset"])["top1"].agg(list)
    assert sorted((median, rates) for (median, _), rates in found.items()) == expected
    assert made.drop_duplicates("subset")["median_icd"].is_monotonic_increasing
    assert (made["correct"] <= made["n"]).all()


# The script


def test_the_script_writes_the_same_bytes_twice_and_records_the_logs(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "one.csv", [row(), row((8, 9), 1.0)]),
        write(tmp_path / "two.csv", [row(Bits=3), row((1, 3, 4), 2.0, Bits=3, Seed=1)]),
    ]
    names = ["accuracy", "subsets", "record"]
    for run in ("first", "second"):
        outputs = {name: str(tmp_path / run / f"{name}.csv") for name in names}
        read_logs(
            [str(path) for path in paths], **outputs, settings=["4bit", "3bit"], test_per_class=100
        )
    for name in names:
        first, second = (tmp_path / run / f"{name}.csv" for run in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
    record = pd.read_csv(tmp_path / "first/record.csv", dtype=str, keep_default_na=False)
    assert record.to_dict("records") == [
        {
            "setting": setting,
            "file": path.name,
            "rows": "2",
            "copies": "0",
            "subsets": subsets,
            "repeated": repeated,
            "network": "resnet50",
            "dataset": "CIFAR100",
            "bits": bits,
            "alphabet_scalar": "1.16",
            "batch_size": "64",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for setting, path, subsets, repeated, bits in [
            ("4bit", paths[0], "2", "", "4"),
            ("3bit", paths[1], "1", "subset_02", "3"),
        ]
    ]
    assert str(tmp_path) not in (tmp_path / "first/record.csv").read_text()


def test_a_written_replay_is_read_as_a_study_is(tmp_path: Path) -> None:
    from laq.analysis.observations import arm
    from laq.analysis.observations import read as observations

    path = write(tmp_path / "log.csv", [row(**{QUANT: 0.4}), row(**{QUANT: 0.6}), row((8, 9), 1.0)])
    tables = put_together({"4bit": read_log(path)}, None)
    write_csv(tmp_path / "accuracy.csv", tables.accuracy)
    write_csv(tmp_path / "subsets.csv", tables.subsets)
    read_back = observations(tmp_path / "accuracy.csv", tmp_path / "subsets.csv")
    assert len(read_back) == len(tables.accuracy)
    means = arm(read_back, "4bit", "quant", "all")
    assert means.to_dict() == pytest.approx({"subset_01": 0.81, "subset_02": 0.5})


# The true logs

needs_logs = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published logs are not there")


@needs_logs
def test_the_published_4_bit_log_has_its_known_numbers() -> None:
    made = read(PUBLISHED / FILES["4bit"], "4bit", 100)
    means = made.groupby(["scope", "variant"])["top1"].mean()
    known = {"all": (0.839, 0.820, 0.937, 0.798), "subset": (0.941, 0.821, 0.942, 0.798)}
    for scope, numbers in known.items():
        for variant, number in zip(("original", "quant", "ft", "ft_quant"), numbers, strict=True):
            assert means[scope, variant] == pytest.approx(number, abs=6e-4), (scope, variant)
    wide = made.pivot_table(
        index=["subset", "repeat", "median_icd"], columns=["scope", "variant"], values="top1"
    )
    assert len(wide) == 35 and made["subset"].nunique() == 34
    for scope, above in (("all", 15), ("subset", 0)):
        assert (wide[scope, "quant"] > wide[scope, "original"]).sum() == above
    median = wide.index.get_level_values("median_icd")
    gain = wide["all", "quant"] - wide["all", "original"]
    assert stats.spearmanr(median, gain).statistic == pytest.approx(0.93, abs=5e-3)
    slope, intercept = np.polyfit(np.log(median), wide["all", "quant"], 1)
    assert (slope, intercept) == pytest.approx((0.058, 0.697), abs=5e-4)


@needs_logs
def test_the_published_logs_go_together(caplog: pytest.LogCaptureFixture) -> None:
    logs = {setting: read_log(PUBLISHED / name) for setting, name in FILES.items()}
    tables = put_together(logs, 100)
    assert tables.logs["rows"].tolist() == [35, 33, 33, 33, 33]
    assert tables.logs["bits"].tolist() == ["4", "3", "32", "4", "4"]
    assert set(tables.logs["repeated"]) == {"subset_11"}
    assert len(tables.subsets) == 34
    # Nothing is said but the one repeat of each log: no ICD differs, all rates are of 1000 images.
    assert (
        len(caplog.records) == 5 and caplog.text.count("more than one row of subset_11 (lines") == 5
    )
    counts = tables.accuracy["correct"] / tables.accuracy["n"]
    assert np.abs(counts.astype(float) - tables.accuracy["top1"]).max() < 1e-12
    means = tables.accuracy.groupby(["setting", "variant", "scope"])["top1"].mean()
    known = {("3bit", "quant"): 0.661, ("32bit", "quant"): 0.865, ("mp53", "quant"): 0.832}
    for (setting, variant), number in known.items():
        assert means[setting, variant, "all"] == pytest.approx(number, abs=6e-4)
