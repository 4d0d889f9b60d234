"""Every writer on a disk that is full: the file and the remedy named, nothing left half-written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from laq.checkpoints import packing
from laq.data import Dataset, archives
from laq.distances import features
from laq.ptq import activation_cache
from laq.training.resume import Keeper
from laq.utils import disks, files
from laq.utils.errors import LaqError, StorageError
from tests.mounts import mounted

VALUES = np.random.default_rng(0).random(100_000)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 64 KiB."""
    with mounted(tmp_path, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        yield tmp_path


def npz(path: Path) -> None:
    images = np.zeros((100, 1, 32, 32), np.uint8)
    archives.save(Dataset(images, np.zeros(100, np.int64), ("a",)), path)


def checkpoint(path: Path) -> None:
    packing.save(path, {"weight": torch.from_numpy(VALUES)}, {"network": {}})


def parquet_in_batches(path: Path) -> None:
    batches = (VALUES[:50_000].reshape(100, 500) for _ in range(4))
    features.write(path, batches, np.zeros(400, np.int64))


def figure(path: Path) -> None:
    from matplotlib import pyplot as plt

    from laq.figures.style import save

    drawn, axes = plt.subplots()
    axes.imshow(VALUES.reshape(250, 400))
    save(drawn, path)


WRITERS = {
    "a.npz": npz,
    "a.safetensors": checkpoint,
    "table.parquet": lambda path: files.write_parquet(path, pd.DataFrame({"x": VALUES})),
    "features.parquet": parquet_in_batches,
    "table.csv": lambda path: files.write_csv(path, pd.DataFrame({"x": VALUES})),
    "rows.csv": lambda path: files.write_rows(path, [{"x": value} for value in VALUES]),
    "a.json": lambda path: files.write_json(path, VALUES.tolist()),
    "a.pdf": figure,
    "a.png": figure,
}


@pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS)
def test_a_full_disk_is_named_and_nothing_half_written(
    full: Path, name: str, write: Callable[[Path], None]
) -> None:
    (full / name).write_text("old")
    with pytest.raises(StorageError) as caught:
        write(full / name)
    said = str(caught.value)
    assert said.startswith(f"{full / name} cannot be written (No space left on device, 0.1 MiB")
    assert "free space" in said and "config key root" in said
    assert list(full.iterdir()) == [full / name]
    assert (full / name).read_text() == "old"


def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    with mounted(tmp_path, "-t", "tmpfs", "-o", "ro", "tmpfs"):
        with pytest.raises(StorageError, match=r"a/b\.txt cannot be written \(Read-only"):
            files.write_text(tmp_path / "a/b.txt", "new")
        with pytest.raises(StorageError, match=r"Read-only.*mounted for writing"):
            disks.check(tmp_path / "not/there", "go elsewhere")
    disks.check(tmp_path / "not/there", "go elsewhere")


@pytest.mark.parametrize("what", ["results", "results/logs", "results/benchmarks", "temporary"])
def test_a_study_without_a_folder_it_needs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    root, full = tmp_path / "results", tmp_path / what
    (tmp_path / "temporary").mkdir()
    full.mkdir(exist_ok=True, parents=True)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    disks.check_study(str(root))
    with mounted(full, "-t", "tmpfs", "-o", "size=4k", "tmpfs"):
        remedy = "set TMPDIR" if what == "temporary" else "config key root"
        with pytest.raises(StorageError, match=rf"in {full} \(No space.*free space.*{remedy}"):
            disks.check_study(str(root))
        assert not list(full.iterdir())


def test_a_training_goes_on_without_a_state_where_the_disk_is_full(
    full: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(full / ".original.state", b"x" * 32)
    keeper.save(lambda: {"weight": torch.from_numpy(VALUES)})
    assert "the training goes on without its state" in caplog.text
    assert "No space left" in caplog.text
    assert list(full.iterdir()) == []


def test_activations_that_do_not_fit_say_which_folder_is_full(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(full))
    with activation_cache.Activations(0) as held, pytest.raises(LaqError, match="set TMPDIR"):
        held.put({"x": torch.from_numpy(VALUES)})
    assert list(full.iterdir()) == []
