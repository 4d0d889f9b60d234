"""A study stays where it was put: no connection, and no file but below its root."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.workflow.conftest import PROJECT, SOURCES, Checkout
from tests.workflow.watched import Watch

# What libraries keep for their next start, in folders that are there for that.
CACHES = (".cache/matplotlib/", ".config/matplotlib/", ".cache/snakemake/", ".cache/fontconfig/")


def test_a_connection_would_be_seen(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    asking = "import urllib.request; urllib.request.urlopen('http://example.org')"
    with watch.over():
        done = subprocess.run(
            [sys.executable, "-c", asking], capture_output=True, text=True, check=False
        )
    assert done.returncode == 1 and "no connection to example.org" in done.stderr
    assert watch.connections == ["example.org"]


def test_a_study_asks_no_host(finished: Checkout) -> None:
    assert Watch(finished.path.parent / "watch").connections == []


def test_a_study_leaves_files_below_its_root_alone(finished: Checkout) -> None:
    there = {
        path.relative_to(finished.path).as_posix()
        for path in finished.path.rglob("*")
        if not path.is_dir() and "__pycache__" not in path.parts  # Python's and Numba's own
    }
    sources = {
        path.relative_to(PROJECT).as_posix()
        for name in SOURCES
        for path in (PROJECT / name, *(PROJECT / name).rglob("*"))
    }
    beside = {name for name in there - sources if not name.startswith(".snakemake/")}
    assert beside and all(name.startswith("results/digits/") for name in beside)


def test_home_and_temporary_folder_hold_caches_of_libraries_alone(finished: Checkout) -> None:
    watch = Watch(finished.path.parent / "watch")
    assert [name for name in watch.left("home") if not name.startswith(CACHES)] == []
    assert watch.left("tmp") == []
