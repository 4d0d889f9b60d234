"""A study on a disk that takes no file: what is said, and that the run goes on after the remedy."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.mounts import mounted
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.long

DATASET = "results/digits/dataset"


@pytest.fixture
def fresh(tmp_path: Path) -> Checkout:
    return Checkout.create(tmp_path / "laq")


def assert_same_dataset(one: Checkout, other: Checkout) -> None:
    files = [path for path in (one.path / DATASET).rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"train.npz", "test.npz", "classes.json", "origin.json"}
    for path in files:
        assert path.read_bytes() == (other.path / DATASET / path.name).read_bytes()


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(
    fresh: Checkout, finished: Checkout
) -> None:
    results = fresh.path / "results"
    results.mkdir()
    with mounted(results, "-t", "tmpfs", "-o", "size=96k", "tmpfs"):
        done = fresh.snakemake(f"{DATASET}/train.npz")
        printed = done.stdout + done.stderr
        assert done.returncode == 1
        assert f"error in make_dataset: {DATASET}/" in printed
        assert "cannot be written (No space left on device" in printed and "free space" in printed
        assert "Traceback" not in printed
        assert not list((fresh.path / DATASET).rglob("*"))
        subprocess.run(["mount", "-o", "remount,size=16m", results], check=True)
        fresh.run(f"{DATASET}/train.npz")
        assert_same_dataset(fresh, finished)


def test_a_project_that_cannot_be_written_is_refused_before_snakemake_tries(
    fresh: Checkout,
) -> None:
    with mounted(fresh.path, "--bind", str(fresh.path)):
        subprocess.run(["mount", "-o", "remount,ro,bind", fresh.path], check=True)
        done = fresh.snakemake("-n")
    printed = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"no file can be made in {fresh.path} (Read-only file system)" in printed
    assert "Traceback" not in printed


def test_a_full_disk_under_snakemake_s_own_notes_loses_nothing(
    fresh: Checkout, finished: Checkout
) -> None:
    notes = fresh.path / ".snakemake"
    notes.mkdir()
    with mounted(notes, "-t", "tmpfs", "-o", "size=256k", "tmpfs"):
        filler = notes / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"x" * 4096)
        done = fresh.snakemake(f"{DATASET}/train.npz")
        assert done.returncode == 1
        # Among many words of Snakemake's, whose log has no room either.
        said = f"no file can be made in {notes} (No space left on device): free space"
        assert said in done.stdout + done.stderr
        filler.unlink()
        fresh.run("--unlock")
        fresh.run(f"{DATASET}/train.npz")
        assert_same_dataset(fresh, finished)
