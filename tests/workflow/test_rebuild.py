"""The DAG rebuilds what changed and nothing else: edits against the files planned."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from laq import packing
from tests.workflow.conftest import CONFIG, Checkout

SUBSETS = ("similar", "target_1", "target_2", "random", "dissimilar", "even")
LIBRARY = "workflow/scripts/laq"
NETWORK = "small_resnet"
END = {"accuracy.csv", "figures/fig5.pdf", "figures/fig5.png", "tables/curves.csv"}


MEMORY = {"tables/memory.csv"}


def compressed(variant: str, *subsets: str) -> set[str]:
    return {
        name
        for subset in subsets or SUBSETS
        for name in (
            f"models/{NETWORK}/{subset}/{variant}.safetensors",
            f"layers/{NETWORK}/{subset}/{variant}.csv",
        )
    } | MEMORY


def finetuned(*subsets: str) -> set[str]:
    return {
        f"models/{NETWORK}/{subset}/ft.{suffix}"
        for subset in subsets or SUBSETS
        for suffix in ("safetensors", "csv")
    } | MEMORY


def evaluated(*subsets: str) -> set[str]:
    return {f"accuracy/{NETWORK}/{subset}.csv" for subset in subsets or SUBSETS} | END


QUANTIZED = compressed("quant") | compressed("ft_quant")
TABLES = {"tables/subsets.csv"}
SELECTED = {f"subsets/{subset}.json" for subset in SUBSETS} | TABLES
AFTER_ICD = SELECTED | QUANTIZED | finetuned() | evaluated()
AFTER_UMAP = {"umap/coordinates.parquet", "icd/kl_matrix.parquet"} | AFTER_ICD
AFTER_TRAINING = {"features/train.parquet"} | AFTER_UMAP
TRAINED = {f"models/{NETWORK}/original.safetensors", f"models/{NETWORK}/training.csv"}
DATASET = {"dataset/train.npz", "dataset/test.npz", "dataset/classes.json"}

EDITS = {
    "bits of one variant": (
        CONFIG,
        "  quant:\n    compress: { bits: 4 }",
        "  quant:\n    compress: { bits: 3 }",
        compressed("quant") | evaluated(),
    ),
    "fine-tuning": (
        CONFIG,
        "finetune: { epochs: 2",
        "finetune: { epochs: 3",
        finetuned() | compressed("ft_quant") | evaluated(),
    ),
    "one more variant": (
        CONFIG,
        "  original: {}",
        "  original: {}\n  quant3:\n    compress: { bits: 3 }",
        compressed("quant3") | evaluated(),
    ),
    "one subset's definition": (
        CONFIG,
        '["0", "2", "4", "6", "8"]',
        '["1", "3", "5", "7", "9"]',
        {"subsets/even.json"}
        | TABLES
        | compressed("quant", "even")
        | compressed("ft_quant", "even")
        | finetuned("even")
        | evaluated("even"),
    ),
    "a default spelled out": (
        CONFIG,
        "compress: { bits: 4 }",
        "compress: { bits: 4, scale: 1.16 }",
        set(),
    ),
    "umap": (CONFIG, "subsets:\n", "umap: { neighbors: 20 }\nsubsets:\n", AFTER_UMAP),
    "training": (CONFIG, "epochs: 6", "epochs: 7", TRAINED | AFTER_TRAINING),
    "seed": (CONFIG, "study: Digits", "study: Digits\nseed: 1", DATASET | TRAINED | AFTER_TRAINING),
    "device": (CONFIG, "study: Digits", "study: Digits\ndevice: cpu", set()),
    "plots.py": (f"{LIBRARY}/plots.py", "WIDTH = ", "WIDTH = 0 + ", END - {"accuracy.csv"}),
    "gpfq.py": (f"{LIBRARY}/gpfq.py", "BLOCK = ", "BLOCK = 0 + ", QUANTIZED | evaluated()),
    "a method not in use": (f"{LIBRARY}/gptq.py", "import", "import ", set()),
    "a setting not in use": (
        CONFIG,
        "  quant:\n    compress: { bits: 4 }",
        "  quant:\n    compress: { bits: 4, damping: 0.5, threshold: 3 }",
        set(),
    ),
    "memory": (CONFIG, "study: Digits", "study: Digits\nmemory_mb: 32", set()),
    "evaluation.py": (f"{LIBRARY}/evaluation.py", "[:, :5]", "[:, 0:5]", evaluated()),
    "subsets.py": (f"{LIBRARY}/subsets.py", "ENUMERATED = ", "ENUMERATED = 0 + ", AFTER_ICD),
    "a data set not in use": (f"{LIBRARY}/datasets/folder.py", "import", "import ", set()),
    "a script": (
        "workflow/scripts/list_subsets.py",
        "sort_values",
        "sort_values ",
        TABLES | (END - {"accuracy.csv"}),
    ),
}


@pytest.mark.parametrize(("name", "old", "new", "expected"), EDITS.values(), ids=EDITS)
def test_an_edit_rebuilds_its_own_road(
    finished: Checkout, name: str, old: str, new: str, expected: set[str]
) -> None:
    with finished.edited(name, old, new):
        assert finished.planned() == expected


def test_a_variant_calibrated_on_another_subset_follows_it(finished: Checkout) -> None:
    made = [
        f"models/{NETWORK}/similar/other.safetensors",
        f"layers/{NETWORK}/similar/other.csv",
    ]
    added = "  original: {}\n  other:\n    compress: { bits: 3, classes: even }"
    with finished.edited(CONFIG, "  original: {}", added):
        finished.run(f"results/digits/{made[0]}")
        try:
            assert not finished.planned() & set(made)
            with finished.edited(CONFIG, '["0", "2", "4", "6", "8"]', '["1", "3", "5", "7", "9"]'):
                assert finished.planned() >= set(made)
            description = packing.describe(finished.path / "results/digits" / made[0])
            assert description["calibration"] == {"classes": "even", "images": 64}
        finally:
            for name in made:
                (finished.path / "results/digits" / name).unlink()


def test_nothing_changed_nothing_planned(finished: Checkout) -> None:
    assert "Nothing to be done" in finished.run()
    assert finished.planned() == set()


def test_touched_sources_rebuild_nothing(finished: Checkout) -> None:
    for path in finished.path.rglob("*"):
        if path.is_file() and not path.is_relative_to(finished.path / "results"):
            os.utime(path)
    assert finished.planned() == set()


def test_a_fresh_checkout_over_existing_results_rebuilds_nothing(
    finished: Checkout, tmp_path: Path
) -> None:
    fresh = Checkout.create(tmp_path / "elsewhere", finished.path)
    for name in ("results", ".snakemake"):
        shutil.copytree(finished.path / name, fresh.path / name, copy_function=shutil.copy2)
    assert fresh.planned() == set()


DELETED = {
    "models/small_resnet/even/ft.safetensors": finetuned("even")
    | compressed("ft_quant", "even")
    | evaluated("even"),
    "subsets/random.json": {"subsets/random.json"}
    | TABLES
    | compressed("quant", "random")
    | compressed("ft_quant", "random")
    | finetuned("random")
    | evaluated("random"),
    "umap/coordinates.parquet": AFTER_UMAP,
    "accuracy/small_resnet/similar.csv": evaluated("similar"),
}


@pytest.mark.parametrize("name", DELETED)
def test_a_deleted_file_rebuilds_its_own_road(finished: Checkout, name: str) -> None:
    path = finished.path / "results/digits" / name
    kept = path.with_suffix(".kept")
    path.rename(kept)
    try:
        assert finished.planned() == DELETED[name]
    finally:
        kept.rename(path)
