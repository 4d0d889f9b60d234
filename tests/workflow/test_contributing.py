"""The recipes of docs/extend.md and extend-data.md, word for word in copies of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from laq.checkpoints import packing
from tests.workflow.conftest import PROJECT, Checkout

pytestmark = pytest.mark.long

RECIPES = [
    recipe
    for name in ("extend.md", "extend-data.md")
    for recipe in re.split(r"^## ", (PROJECT / "docs" / name).read_text("utf-8"), flags=re.M)[1:]
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
CODE = r"(?:``(.+?)``|`(.+?)`)"
# What a paragraph that ends in a colon asks to do with the block after it.
WAYS = {
    "new": re.compile(rf"New file {CODE}:"),
    "end": re.compile(rf"At the end of {CODE}:"),
    **{
        way: re.compile(rf"In {CODE},\s{words}\s{CODE}:", re.S)
        for way, words in {"after": "after", "before": "before", "over": "in place of"}.items()
    },
}


def follow(recipe: str, folder: Path) -> None:
    """Do to the files in ``folder`` what the recipe says, then run its commands."""
    for match in BLOCK.finditer(recipe):
        kind, block = match.groups()
        if kind == "sh":
            _run(block, folder)
            continue
        asked = recipe[: match.start()].rstrip().rsplit("\n\n", 1)[-1]
        way, found = next(
            ((way, found) for way, form in WAYS.items() if (found := form.fullmatch(asked))),
            (None, None),
        )
        assert way, f"nothing says what to do with this block: {asked!r}\n{block}"
        name, *anchor = [text for text in found.groups() if text]
        _apply(way, folder / name, block, *anchor)


def _apply(way: str, path: Path, block: str, anchor: str = "") -> None:
    if way == "new":
        assert not path.exists()
        path.write_text(block, encoding="utf-8")
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    at = [number for number, line in enumerate(lines) if anchor in line]
    if way == "end":
        at = [len(lines)]
    assert len(at) == 1, f"{path.name}: {anchor!r} is in {len(at)} lines"
    start, stop = {"after": (1, 1), "before": (0, 0), "over": (0, 1), "end": (0, 0)}[way]
    lines[at[0] + start : at[0] + stop] = [block]
    path.write_text("".join(lines), encoding="utf-8")


def _run(commands: str, folder: Path) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        text=True,
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def copy(finished: Checkout, tmp_path: Path) -> Path:
    """A copy of the project in which the digits study has run, with ``snakemake`` to call."""
    folder = finished.copy(tmp_path / "laq").path
    (folder / "docs").mkdir()
    shutil.copy(PROJECT / "docs/artifacts.yaml", folder / "docs")
    (folder / "bin").mkdir()
    script = folder / "bin/snakemake"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m snakemake "$@"\n')
    script.chmod(0o755)
    return folder


def recipe(title: str) -> str:
    (found,) = [text for text in RECIPES if text.startswith(f"{title}\n")]
    return found


def test_every_recipe_is_followed_here() -> None:
    titles = [text.partition("\n")[0] for text in RECIPES]
    assert titles == ["A variant", "A method", "A network", "A kind of data set", "A figure"]


def test_a_variant(copy: Path) -> None:
    follow(recipe("A variant"), copy)
    report = pd.read_csv(copy / "results/digits/layers/small_resnet/even/quant3.csv")
    assert (report["bits"] == 3).all()


def test_a_method(copy: Path) -> None:
    follow(recipe("A method"), copy)
    layers = copy / "results/digits/layers/small_resnet/even"
    truncated, greedy = (pd.read_csv(layers / f"{name}.csv") for name in ("truncated", "quant"))
    assert (truncated["error"] > greedy["error"]).all()


def test_a_network(copy: Path) -> None:
    follow(recipe("A network"), copy)
    described = packing.describe(copy / "results/digits/models/plain/original.safetensors")
    assert described["network"]["name"] == "plain"
    accuracy = pd.read_csv(copy / "results/digits/models/plain/training.csv")
    assert len(accuracy) == 2


def test_a_kind_of_data_set(copy: Path) -> None:
    follow(recipe("A kind of data set"), copy)
    with np.load(copy / "results/stripes/dataset/train.npz", allow_pickle=False) as split:
        assert split["images"].shape == (160, 1, 16, 16)
    _run("snakemake -n --cores 2 --quiet all --configfile config/stripes.yaml", copy)


def test_a_figure(copy: Path) -> None:
    follow(recipe("A figure"), copy)
    assert (copy / "results/digits/figures/fig10.pdf").read_bytes().startswith(b"%PDF")
    assert (copy / "docs/artifacts.yaml").read_text().count("fig10") == 2
