"""The digits study end to end: its artifacts, numbers and bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from scipy.stats import spearmanr

from laq import data
from laq.checkpoints import packing
from laq.config.schema import complete
from laq.distances.divergence import class_gaussians, kl_matrix
from laq.experiments import compression
from laq.experiments.evaluation import score
from laq.models.networks import predict
from laq.ptq import calibration
from laq.utils import devices
from tests.configs import SCHEMA
from tests.workflow.conftest import CONFIG, PROJECT, Checkout

SUBSETS = ("similar", "target_1", "target_2", "random", "dissimilar", "even")
NETWORK = "small_resnet"
COLUMNS = ["network", "subset", "variant", "repeat", "scope", "median_icd", "mean_icd", "n"]
MADE = [("original", 1), ("quant", 1), ("quant", 2), ("ft", 1), ("ft_quant", 1)]


@pytest.fixture(scope="module")
def root(finished: Checkout) -> Path:
    return finished.path / "results/digits"


@pytest.fixture(scope="module")
def accuracy(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "accuracy.csv")


def test_counts_are_of_the_subset_s_images(root: Path, accuracy: pd.DataFrame) -> None:
    assert list(accuracy.columns[: len(COLUMNS)]) == COLUMNS
    assert len(accuracy) == len(SUBSETS) * len(MADE) * 2
    for _, rows in accuracy.groupby(["subset", "scope"]):
        assert list(zip(rows["variant"], rows["repeat"], strict=True)) == MADE
    labels = np.load(root / "dataset/test.npz")["labels"]
    for subset, rows in accuracy.groupby("subset"):
        chosen = json.loads((root / f"subsets/{subset}.json").read_text())
        assert (rows["n"] == np.isin(labels, chosen["indices"]).sum()).all()
        np.testing.assert_allclose(rows["median_icd"], chosen["median_icd"], rtol=1e-9)
        np.testing.assert_allclose(rows["mean_icd"], chosen["mean_icd"], rtol=1e-9)
    np.testing.assert_allclose(accuracy["top1"], accuracy["correct"] / accuracy["n"], rtol=1e-9)
    np.testing.assert_allclose(accuracy["top5"], accuracy["correct5"] / accuracy["n"], rtol=1e-9)
    # Ten classes compete in one scope, four or five in the other.
    assert (accuracy["top5"].notna() == (accuracy["scope"] == "all")).all()
    wide = accuracy.pivot(index=["subset", "variant", "repeat"], columns="scope", values="correct")
    assert (wide["subset"] >= wide["all"]).all(), "a restriction to the true classes lost images"
    restricted = accuracy[accuracy["scope"] == "subset"]
    assert (restricted["in_subset"] == restricted["n"]).all()


def test_accuracies_make_sense(accuracy: pd.DataFrame) -> None:
    first = accuracy[accuracy["repeat"] == 1]
    wide = first.pivot(index="subset", columns=["scope", "variant"], values="top1")
    everything, within = wide["all"], wide["subset"]
    assert everything["original"].mean() > 0.9
    assert (everything["ft"] >= everything["original"]).sum() >= len(SUBSETS) - 1
    assert (within["original"] - within["quant"]).mean() < 0.03
    assert (within["ft"] - within["ft_quant"]).mean() < 0.03


def test_a_repeat_is_made_from_another_seed(root: Path) -> None:
    one, two = (
        packing.load(root / f"models/{NETWORK}/even/{name}.safetensors").state_dict()
        for name in ("quant", "quant-2")
    )
    assert any(not torch.equal(one[name], two[name]) for name in one)
    described = packing.describe(root / f"models/{NETWORK}/even/quant-2.safetensors")
    assert (described["variant"], described["repeat"], described["seed"]) == ("quant", 2, 0)


def test_the_sweep_meets_the_variant_it_departs_from(root: Path, accuracy: pd.DataFrame) -> None:
    sweep = pd.read_csv(root / "sweep.csv")
    keys = ["network", "subset", "repeat", "scope"]
    assert len(sweep) == len(SUBSETS) * 3 * 2 * 2 * 2  # points, whose images, repeats, scopes
    base = sweep[(sweep["bits"] == 4) & (sweep["images"] == 64) & (sweep["classes"] == "subset")]
    both = base.merge(accuracy[accuracy["variant"] == "quant"], on=keys, suffixes=("", "_variant"))
    assert len(both) == len(base) == len(SUBSETS) * 2 * 2
    for column in ("n", "correct", "in_subset", "median_icd"):
        assert (both[column] == both[f"{column}_variant"]).all()


def test_fewer_bits_cost_accuracy(root: Path) -> None:
    train, test = (
        data.load(root / f"dataset/{split}.npz", root / "dataset/classes.json")
        for split in ("train", "test")
    )
    members = list(range(10))
    network = packing.load(root / f"models/{NETWORK}/original.safetensors")
    study = yaml.safe_load((PROJECT / CONFIG).read_text())
    settings = complete(study, SCHEMA)["variants"]["quant"]["compress"] | {"classes": "all"}
    settings |= {"granularity": "per_tensor", "ridge": 0}  # as published: today's lose less
    chosen, _ = calibration.calibration_pool(train.labels, None, members, settings, seed=0)
    top1 = {}
    for bits in (2, 8, 32):
        result = compression.compress(
            network,
            torch.from_numpy(train.images[chosen]),
            settings | {"bits": bits},
            devices.generator(0, "patches"),
            devices.generator(0, "rounding"),
        )
        logits = predict(result.network, torch.from_numpy(test.images), torch.device("cpu"))
        top1[bits] = score(logits, torch.from_numpy(test.labels), members)[0].top1
    assert top1[2] < top1[8] - 0.05
    assert top1[8] > 0.9
    assert top1[32] > 0.9


def test_distances_are_those_of_the_coordinates(root: Path) -> None:
    names = json.loads((root / "dataset/classes.json").read_text())
    table = pd.read_parquet(root / "umap/coordinates.parquet")
    matrix = pd.read_parquet(root / "icd/kl_matrix.parquet")
    assert list(matrix.index) == list(matrix.columns) == names
    plane = table[["umap_1", "umap_2"]].to_numpy(float)
    expected = kl_matrix(class_gaussians(plane, table["label"].to_numpy(), names))
    np.testing.assert_array_equal(matrix.to_numpy(), expected)


def test_features_are_a_row_an_image(root: Path) -> None:
    table = pq.read_table(root / "features/train.parquet")
    assert table.column_names == ["index", "label", "features"]
    labels = np.load(root / "dataset/train.npz")["labels"]
    np.testing.assert_array_equal(table["label"].to_numpy(), labels)
    np.testing.assert_array_equal(table["index"].to_numpy(), np.arange(len(labels)))


def test_subsets_are_listed_by_distance(root: Path) -> None:
    table = pd.read_csv(root / "tables/subsets.csv")
    assert set(table["subset"]) == set(SUBSETS)
    assert table["median_icd"].is_monotonic_increasing
    assert table["duplicate_of"].isna().all()
    chosen = json.loads((root / "subsets/even.json").read_text())
    assert chosen["classes"] == ["0", "2", "4", "6", "8"]


@pytest.mark.parametrize(
    ("variant", "parent", "bits"),
    [("quant", "original", 4), ("ft", "original", 32), ("ft_quant", "ft", 4)],
)
def test_checkpoints_describe_themselves(root: Path, variant: str, parent: str, bits: int) -> None:
    path = root / f"models/{NETWORK}/even/{variant}.safetensors"
    described = packing.describe(path)
    assert described["variant"] == variant
    assert described["parent"] == parent
    assert described["bits"] == bits
    assert described["seed"] == 0
    assert described["subset"] == [0, 2, 4, 6, 8]
    assert [list(step) for step in described["steps"]] == {
        "quant": [["quant"]],
        "ft": [["ft"]],
        "ft_quant": [["ft"], ["ft_quant"]],
    }[variant]
    if bits == 4:
        assert described["alphabet"] == "packed"
        assert described["calibration"] == {
            "classes": "subset",
            "images": 64,
            "from": "training",
        }
    original = root / f"models/{NETWORK}/original.safetensors"
    assert (path.stat().st_size < 0.3 * original.stat().st_size) == (bits == 4)


def test_every_layer_is_reported(root: Path) -> None:
    report = pd.read_csv(root / f"layers/{NETWORK}/even/quant.csv")
    assert {"layer", "bits", "weights", "error", "zeros", "reason"} <= set(report.columns)
    assert (report["bits"] == 4).all()
    assert report["error"].between(0, 0.5).all()
    assert report["reason"].isna().all()


def test_every_figure_is_drawn(root: Path) -> None:
    for number in (1, 2, 3, 4, 5, 7, 8, 9):
        pdf = (root / f"figures/fig{number}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF") and b"CreationDate" not in pdf and len(pdf) < 4e6
        assert (root / f"figures/fig{number}.png").read_bytes().startswith(b"\x89PNG")


def test_curves_are_of_all_points_and_count_subsets(root: Path) -> None:
    curves = pd.read_csv(root / "tables/curves.csv")
    assert set(curves["variant"]) == {"original", "quant", "ft", "ft_quant"}
    repeats = curves["variant"].map({"quant": 2}).fillna(1)
    assert (curves["n"] == len(SUBSETS) * repeats).all()
    assert (curves["subsets"] == len(SUBSETS)).all()
    assert (curves["a_low"] <= curves["a"]).all() and (curves["a"] <= curves["a_high"]).all()


def test_calibration_sets_are_compared_and_ranked(root: Path, accuracy: pd.DataFrame) -> None:
    known = pd.read_csv(root / "tables/similarity.csv").set_index("subset")
    assert set(known.index) == set(SUBSETS)
    assert (known["images"] == 64).all() and (known["layers"] == 10).all()
    # Four of ten digits are another population; two draws of one differ less.
    assert (known["gram_similarity"] < known["subset_floor"]).all()
    assert (known["gram_similarity"] < known["gram_floor"]).sum() >= len(SUBSETS) - 1
    assert known["gram_floor"].between(0.9, 1, inclusive="neither").all()
    found = pd.read_csv(root / "tables/predictors.csv")
    sweep = pd.read_csv(root / "sweep.csv")
    control = sweep[(sweep["bits"] == 4) & (sweep["images"] == 64) & (sweep["classes"] == "all")]
    means = {
        name: rows[rows["scope"] == "subset"].groupby("subset")["top1"].mean()
        for name, rows in [*accuracy.groupby("variant"), ("sweep/agnostic", control)]
    }
    for row in found.itertuples():
        happened = (means[row.first] - means[row.second]).round(12)
        if happened.nunique() > 1:
            expected = spearmanr(known[row.predictor].reindex(happened.index), happened)
            assert row.spearman == pytest.approx(expected.statistic, abs=1e-9)
        else:
            assert np.isnan(row.spearman)
    assert list(dict.fromkeys(found["outcome"])) == ["drop", "agnostic_drop", "gain"]


def test_every_conclusion_has_a_verdict(root: Path) -> None:
    claims = pd.read_csv(root / "tables/claims.csv")
    assert len(claims) == claims["claim"].nunique() >= 12
    assert set(claims["verdict"]) <= {"reproduced", "not reproduced", "inconclusive"}
    # Digits have no mixed precision and no 32-bit control.
    lacking = claims.set_index("claim").loc[["mp53_far_better", "mp53_slightly_better", "rounding"]]
    assert (lacking["n"] == 0).all() and (lacking["verdict"] == "inconclusive").all()
    judged = claims[claims["n"] > 0]
    assert len(judged) >= 7
    assert (judged["low"] <= judged["effect"]).all() and (judged["effect"] <= judged["high"]).all()
    text = (root / "tables/claims.md").read_text()
    assert all(statement in text for statement in claims["statement"])
    readings = pd.read_csv(root / "tables/sensitivity.csv", dtype={"repeat": str})
    assert set(zip(readings["icd"], readings["repeat"], strict=True)) >= {
        *(("median", "1"), ("median", "2"), ("mean", "mean"))
    }


def test_the_workflow_is_lint_free() -> None:
    for command in (
        ["-m", "snakemake", "--lint"],
        ["-m", "snakefmt", "--check", "Snakefile", "workflow"],
        ["-m", "ruff", "check", "."],
        ["-m", "ruff", "format", "--check", "."],
    ):
        done = subprocess.run(
            [sys.executable, *command], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
