"""Every writer on a disk that is full: the file and the remedy named, nothing left half-written."""

from __future__ import annotations

import errno
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from laq.checkpoints import packing
from laq.data import Dataset, archives, sources
from laq.distances import features
from laq.ptq import activation_cache
from laq.training import resume
from laq.training.resume import Keeper
from laq.utils import disks, files
from laq.utils.errors import LaqError, StorageError
from tests import cifar
from tests.mounts import mounted
from train_network import train_network

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


def test_a_disk_that_takes_no_more_files_is_told_as_such(tmp_path: Path) -> None:
    with mounted(tmp_path, "-t", "tmpfs", "-o", "size=1m,nr_inodes=2", "tmpfs"):
        (tmp_path / "last").write_text("")
        with pytest.raises(StorageError, match="too many files on the disk of"):
            files.write_text(tmp_path / "a.txt", "new")


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


def test_a_training_is_kept_where_snakemake_has_no_room_to_note_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (8, 1, 8, 8), dtype=np.uint8)
    archives.save(Dataset(images, np.arange(8) % 2, ("a", "b")), "train.npz")
    files.write_json("classes.json", ["a", "b"])
    made = Path("models/original.safetensors")
    call = partial(
        train_network,
        train="train.npz",
        test="train.npz",
        classes="classes.json",
        published=[],
        checkpoint=str(made),
        history="models/training.csv",
        entry="tiny",
        network={"name": "small_resnet", "widths": [4]},
        weights=None,
        training={"epochs": 2, "batch_size": 4},
        seed=0,
        device="cpu",
        config={},
    )
    Path(".snakemake").mkdir()
    with mounted(tmp_path / ".snakemake", "-t", "tmpfs", "-o", "size=4k", "tmpfs"):
        with pytest.raises(StorageError, match=r"\.snakemake \(No space"):
            call()
        assert resume.beside(made).exists()
    call()
    assert {path.name for path in made.parent.iterdir()} == {made.name, "training.csv"}


def test_activations_that_do_not_fit_say_which_folder_is_full(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(full))
    with activation_cache.Activations(0) as held, pytest.raises(LaqError, match="set TMPDIR"):
        held.put({"x": torch.from_numpy(VALUES)})
    assert list(full.iterdir()) == []


def test_an_archive_that_does_not_fit_says_which_folder_is_full(
    full: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("data")
    for name, value in cifar.write_archive(folder, "cifar100", 1, 1, seed=0).items():
        monkeypatch.setattr(cifar.TORCHVISION["cifar100"], name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(full))
    with pytest.raises(StorageError, match=rf"{full}/laq-data.* cannot be written \(No space"):
        sources.make({"kind": "cifar100", "path": str(folder), "download": False}, 0)
    assert list(full.iterdir()) == []


def test_a_folder_without_rights_is_told() -> None:
    told = disks.explained(PermissionError(errno.EACCES, "no", "/study/results"))
    assert "/study/results cannot be opened or written (Permission denied)" in str(told)
    assert "chmod" in str(told)


def test_work_in_a_library_of_another_language_is_known_by_its_number() -> None:
    raised = subprocess.SubprocessError(
        "serializing: I/O error: Disk quota exceeded (os error 122)"
    )
    assert "quota" in str(disks.explained(raised, "a.safetensors"))
