"""The DAG rebuilds what changed and nothing else: edits against the files planned."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest

from laq.checkpoints import packing
from tests.workflow.conftest import CONFIG, Checkout

SUBSETS = ("similar", "target_1", "target_2", "random", "dissimilar", "even")
LIBRARY = "src/laq"
NETWORK = "small_resnet"


def drawn(*numbers: int) -> set[str]:
    return {f"figures/fig{number}.{suffix}" for number in numbers for suffix in ("pdf", "png")}


TABLES = {"tables/subsets.csv"}
FITTED = {"tables/curves.csv", "tables/differences.csv"}
JUDGED = {"tables/claims.csv", "tables/claims.md", "tables/sensitivity.csv"}
PAGES = {
    f"report/{name}.html"
    for name in (
        "summary",
        "claims",
        "sensitivity",
        "subsets",
        "accuracy",
        "curves",
        "differences",
        "memory",
        "sweep",
        "similarity",
        "predictors",
    )
}
# What tells of config and sources: any edit of either.
PROVENANCE = {"provenance.json", "report/provenance.html"}
# What the report says of the config: any edit of it.
SAID = PROVENANCE | PAGES
# What follows from the accuracies or the distances of the subsets.
RANKED = {"tables/predictors.csv"} | drawn(9)
RESULTS = FITTED | JUDGED | PAGES | RANKED | drawn(3, 5, 8)
END = {"accuracy.csv"} | RESULTS
MEMORY = {"tables/memory.csv"} | drawn(7)
# The layer that figure 4 shows is of the first subset's first compressed variant.
EXAMPLE = ("quant", "similar")


def compressed(variant: str, *subsets: str) -> set[str]:
    files = {
        name
        for subset in subsets or SUBSETS
        for name in (
            f"models/{NETWORK}/{subset}/{variant}.safetensors",
            f"layers/{NETWORK}/{subset}/{variant}.csv",
        )
    }
    return (
        files | MEMORY | (drawn(4) if EXAMPLE in product([variant], subsets or SUBSETS) else set())
    )


def finetuned(*subsets: str) -> set[str]:
    return {
        f"models/{NETWORK}/{subset}/ft.{suffix}"
        for subset in subsets or SUBSETS
        for suffix in ("safetensors", "csv")
    } | MEMORY


def swept(*subsets: str) -> set[str]:
    return {f"sweep/{NETWORK}/{subset}.csv" for subset in subsets or SUBSETS} | {"sweep.csv"}


MEASURED = {f"similarity/{NETWORK}.csv", "tables/similarity.csv"}


def evaluated(*subsets: str) -> set[str]:
    return {f"accuracy/{NETWORK}/{subset}.csv" for subset in subsets or SUBSETS} | END


QUANT = compressed("quant") | compressed("quant-2")
QUANTIZED = QUANT | compressed("ft_quant")
SELECTED = {f"subsets/{subset}.json" for subset in SUBSETS} | TABLES | drawn(2)
SPREAD = {"icd/targets_2.json"}  # the series of targets
AFTER_ICD = SPREAD | SELECTED | MEASURED | QUANTIZED | finetuned() | swept() | evaluated()
AFTER_UMAP = {"umap/coordinates.parquet", "icd/kl_matrix.parquet"} | drawn(1) | AFTER_ICD
AFTER_TRAINING = {"features/train.parquet"} | AFTER_UMAP
TRAINED = {f"models/{NETWORK}/original.safetensors", f"models/{NETWORK}/training.csv"}
DATASET = {f"dataset/{name}" for name in ("train.npz", "test.npz", "classes.json", "origin.json")}


def all_of(subset: str) -> set[str]:
    """What is made for one subset alone, and what is made of all."""
    return (
        {f"subsets/{subset}.json"}
        | TABLES
        | drawn(2)
        | compressed("quant", subset)
        | compressed("quant-2", subset)
        | compressed("ft_quant", subset)
        | finetuned(subset)
        | swept(subset)
        | MEASURED
        | evaluated(subset)
    )


QUANT4 = "  quant:\n    compress: { bits: 4 }"
FT_QUANT4 = "    parent: ft\n    compress: { bits: 4 }"
# Edits that are asked of one dry run, and what all of them make anew.
EDITS = {
    "bits of one variant, and settings that are not in use": (
        [
            (CONFIG, QUANT4, "  quant:\n    compress: { bits: 3 }"),
            (CONFIG, FT_QUANT4, FT_QUANT4.replace("4 }", "4, damping: 0.5, threshold: 3 }")),
            (CONFIG, "study: Digits", "study: Digits\nmemory_mb: 32\ndevice: cpu"),
        ],
        QUANT | swept() | evaluated() | SAID,
    ),
    "a point of the sweep, images of calibration sets, the confidence of intervals": (
        [
            (CONFIG, "images: [16]", "images: [16, 32]"),
            (CONFIG, "similarity: {}", "similarity: { images: 32 }"),
            (CONFIG, "study: Digits", "study: Digits\nfigures: { confidence: 0.9 }"),
        ],
        swept() | MEASURED | FITTED | RANKED | JUDGED | SAID | drawn(3, 5, 8),
    ),
    "fine-tuning and one more variant": (
        [
            (CONFIG, "finetune: { epochs: 2", "finetune: { epochs: 3"),
            (
                CONFIG,
                "  original: {}",
                "  original: {}\n  quant3:\n    compress: { bits: 3 }",
            ),
        ],
        finetuned() | compressed("ft_quant") | compressed("quant3") | evaluated() | SAID | drawn(4),
    ),
    "one subset's definition": (
        [(CONFIG, '["0", "2", "4", "6", "8"]', '["1", "3", "5", "7", "9"]')],
        all_of("even") | SAID,
    ),
    "seed": (
        [(CONFIG, "study: Digits", "study: Digits\nseed: 1")],
        DATASET | TRAINED | AFTER_TRAINING | SAID,
    ),
    "the style of figures": (
        [(f"{LIBRARY}/figures/style.py", "WIDTH = ", "WIDTH = 0 + ")],
        drawn(1, 2, 3, 4, 5, 7, 8, 9),
    ),
    "the table of statistics": (
        [(f"{LIBRARY}/analysis/statistics/rank.py", "import", "import ")],
        FITTED | RANKED | JUDGED | PAGES | drawn(5, 8),
    ),
    "gpfq.py, and a default spelled out": (
        [
            (f"{LIBRARY}/ptq/gpfq.py", "BLOCK = ", "BLOCK = 0 + "),
            (CONFIG, "compress: { bits: 4 }", "compress: { bits: 4, scale: 1.16 }"),
        ],
        QUANTIZED | swept() | evaluated(),
    ),
    "subsets.py": (
        [(f"{LIBRARY}/distances/subsets.py", "ENUMERATED = ", "ENUMERATED = 0 + ")],
        AFTER_ICD,
    ),
    "another data set": (
        [(f"{LIBRARY}/data/folder.py", "import", "import ")],
        DATASET | TRAINED | AFTER_TRAINING,
    ),
    "a script": (
        [("workflow/scripts/list_subsets.py", "sort_values", "sort_values ")],
        TABLES | RESULTS,
    ),
}


@pytest.mark.parametrize(("edits", "expected"), EDITS.values(), ids=EDITS)
def test_an_edit_rebuilds_its_own_road(
    finished: Checkout, edits: list[tuple[str, str, str]], expected: set[str]
) -> None:
    sources = any(name.startswith(("src/", "workflow/")) for name, _, _ in edits)
    with ExitStack() as made:
        for edit in edits:
            made.enter_context(finished.edited(*edit))
        assert finished.planned() == expected | (PROVENANCE if sources else set())


@pytest.mark.long
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
            assert description["calibration"] == {
                "classes": "even",
                "images": 64,
                "from": "training",
            }
        finally:
            for name in made:
                (finished.path / "results/digits" / name).unlink()


def test_touched_sources_rebuild_nothing(finished: Checkout) -> None:
    for path in finished.path.rglob("*"):
        if path.is_file() and not path.is_relative_to(finished.path / "results"):
            os.utime(path)
    assert "Nothing to be done" in finished.run()


def test_a_fresh_checkout_over_existing_results_rebuilds_nothing(
    finished: Checkout, tmp_path: Path
) -> None:
    fresh = finished.copy(tmp_path / "elsewhere")
    # In a commit of its own, with pages that the results were made without.
    (fresh.path / "README.md").write_text("another word\n")
    if shutil.which("git"):
        author = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")
        for step in (("init", "-q"), ("add", "README.md"), ("commit", "-qm", "docs")):
            subprocess.run(["git", *author, *step], cwd=fresh.path, check=True)
    assert fresh.planned() == set()


DELETED = {
    ("models/small_resnet/even/ft.safetensors",): finetuned("even")
    | compressed("ft_quant", "even")
    | evaluated("even"),
    ("subsets/random.json",): all_of("random"),
    ("provenance.json", "figures/fig4.pdf", "tables/predictors.csv"): PROVENANCE
    | drawn(4)
    | RANKED
    | PAGES,
    ("umap/coordinates.parquet",): AFTER_UMAP,
}


@pytest.mark.parametrize("names", DELETED, ids=lambda names: names[-1])
def test_a_deleted_file_rebuilds_its_own_road(finished: Checkout, names: tuple[str, ...]) -> None:
    paths = [finished.path / "results/digits" / name for name in names]
    for path in paths:
        path.rename(path.with_suffix(".kept"))
    try:
        assert finished.planned() == DELETED[names]
    finally:
        for path in paths:
            path.with_suffix(".kept").rename(path)
