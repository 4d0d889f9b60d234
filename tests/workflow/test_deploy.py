"""Deploying what the digits study made: ONNX files, the table of variants, and docs/deploy.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import yaml

from laq.checkpoints import packing
from tests.recommended import recommended
from tests.workflow.conftest import CONFIG, PROJECT, Checkout

pytestmark = pytest.mark.long

TEXT = (PROJECT / "docs/deploy.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
ROOT = "results/digits"
VARIANTS = ["quant", "ft_quant"]


def blocks(language: str) -> list[str]:
    return [code for found, code in BLOCKS if found == language]


@pytest.fixture(scope="module")
def before(finished: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the finished study, whose config has the lines of the docs added."""
    path = tmp_path_factory.mktemp("deploy") / "laq"
    shutil.copytree(finished.path, path)
    (added,) = blocks("yaml")
    config = path / CONFIG
    config.write_text(config.read_text() + "\n" + added)
    return Checkout(path)


@pytest.fixture(scope="module")
def printed(before: Checkout) -> str:
    """What was printed when the study had run again."""
    return before.run()


@pytest.fixture(scope="module")
def deployed(before: Checkout, printed: str) -> Path:
    return before.path / ROOT


def jobs(printed: str) -> dict[str, int]:
    table = printed.split("Job stats:")[1].split("total")[0]
    rows = [line.split() for line in table.splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def test_nothing_that_exists_is_made_anew(printed: str) -> None:
    assert jobs(printed) == {
        "export_onnx": 2,
        "evaluate_onnx": 2,
        "collect_onnx": 1,
        "choose_variants": 1,
        "record_provenance": 1,  # the config is part of it
        "write_pages": 1,
        "all": 1,
    }
    assert "77072 in int4" in printed, "the export says nothing of the weights"


def test_onnx_runtime_is_as_accurate_as_the_evaluation_says(deployed: Path) -> None:
    table = pd.read_csv(deployed / "tables/onnx.csv")
    accuracy = pd.read_csv(deployed / "accuracy.csv")
    keys = ["network", "subset", "variant", "repeat", "scope"]
    both = table.merge(accuracy, on=keys, suffixes=("", "_evaluated"), validate="1:1")
    assert list(zip(both["variant"], both["scope"], strict=True)) == [
        (variant, scope) for variant in VARIANTS for scope in ("all", "subset")
    ]
    assert (both["n"] == both["n_evaluated"]).all()
    np.testing.assert_allclose(both["top1_torch"], both["top1_evaluated"], rtol=1e-9)
    assert ((both["top1"] - both["top1_evaluated"]).abs() <= 0.002).all()
    assert (table["differing"] == 0).all() and (table["largest_difference"] < 1e-4).all()
    for variant, rows in table.groupby("variant"):
        onnx = deployed / f"onnx/small_resnet/even/{variant}.onnx"
        checkpoint = deployed / f"models/small_resnet/even/{variant}.safetensors"
        assert (rows["onnx_bytes"] == onnx.stat().st_size).all()
        assert (rows["packed_bytes"] == checkpoint.stat().st_size).all()
        weights = sum(run.codes.numel() for (run,) in packing.read(checkpoint).packed.values())
        assert (rows["int4"] == weights).all()
        assert (rows["onnx_bytes"] < 1.3 * rows["packed_bytes"]).all()
        assert (rows["onnx_bytes"] < 0.25 * rows["float_bytes"]).all()


def test_the_table_recommends_one_variant_a_subset(deployed: Path) -> None:
    table = pd.read_csv(deployed / "tables/deploy.csv")
    memory = pd.read_csv(deployed / "tables/memory.csv")
    assert len(table) == 6 * 4
    assert (table.groupby("subset")["recommended"].sum() == 1).all()
    for _, rows in table.groupby("subset"):
        (chosen,) = rows[rows["recommended"]].to_dict("records")
        assert chosen["variant"] == recommended(rows.to_dict("records"), 0.01)
    assert table["reason"].notna().all()
    sizes = memory[memory["repeat"] == 1].set_index(["subset", "variant"])["packed_bytes"]
    quant = table[table["variant"] == "quant"].set_index("subset")["bytes"]
    assert (quant == sizes.xs("quant", level="variant")[quant.index]).all()


def test_both_tables_are_pages_of_the_report(deployed: Path) -> None:
    for table in ("deploy", "onnx"):
        assert "quant" in (deployed / f"report/{table}.html").read_text(encoding="utf-8")


def test_every_block_of_the_docs_is_of_a_kind_that_is_run_here() -> None:
    assert {language for language, _ in BLOCKS} == {"yaml", "sh", "python"}
    (added,) = blocks("yaml")
    assert yaml.safe_load(added)["deploy"]["variants"] == VARIANTS
    assert len(blocks("sh")) == 2 and len(blocks("python")) == 4


def test_what_the_docs_install_runs_what_they_show(
    before: Checkout, deployed: Path, tmp_path: Path
) -> None:
    """All blocks in their order, word for word, in the study's folder."""
    clone = before.path / "path/to/clone"
    shutil.copytree(PROJECT / "src", clone / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(PROJECT / name, clone / name)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        # Nothing is fetched: what is needed is installed here.
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_TARGET": str(tmp_path),
        "PIP_UPGRADE": "1",
        "PYTHONPATH": str(tmp_path),
    }

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=before.path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for block in blocks("sh"):
        run("bash", "-ec", block)
    assert (tmp_path / "laq/checkpoints/packing.py").is_file()
    three_lines, classes, exporting, onnx = blocks("python")
    assert len([line for line in three_lines.splitlines() if line]) == 3
    images = "import torch; images = torch.rand(2, 1, 8, 8)\n"
    run(sys.executable, "-c", images + three_lines + "assert logits.shape == (2, 10)")
    names = run(sys.executable, "-c", classes + "print(names)")
    written = run(sys.executable, "-c", exporting)
    assert written == f"{(before.path / 'quant.onnx').stat().st_size} bytes {{'int4': 77072}}\n"
    assert (before.path / "quant.onnx").read_bytes() == (
        deployed / "onnx/small_resnet/even/quant.onnx"
    ).read_bytes()
    found = run(sys.executable, "-c", onnx + "\nimport sys; assert 'torch' not in sys.modules")
    first = yaml.safe_load(found)
    assert first == yaml.safe_load(names)[:10]
    assert set(first) <= {"0", "2", "4", "6", "8"}
    assert onnxruntime.InferenceSession(before.path / "quant.onnx").get_inputs()[0].name == "images"
