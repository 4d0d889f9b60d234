"""Files from outside: told by content, whatever folder they lie in."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from laq.data import sources
from laq.distances import features
from laq.utils import downloads
from laq.utils.errors import DataError
from tests import cifar


def test_a_file_is_its_name_bytes_and_sum(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"abc")
    expected = {"name": file.name, "bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    assert downloads.of_file(file) == expected
    with pytest.raises(DataError, match=r"nowhere cannot be read .*name another file"):
        downloads.of_file(tmp_path / "nowhere")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("train/b", "train/a Ж", "test/b", "test/a Ж"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, suffix in enumerate(("png", "PNG", "bmp")):
            grey = Image.new("L", (8, 8), number * 40 + len(name))
            grey.save(tmp_path / "photos" / name / f"{number}.{suffix}")
        (tmp_path / "photos" / name / "notes.txt").write_text("no image")
    return tmp_path / "photos"


def folder_settings(path: Path) -> dict[str, object]:
    return {"kind": "image_folder", "path": str(path), "size": 8, "test_fraction": 0.5}


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_a_folder_is_the_sum_of_the_sums_of_its_images(photos: Path) -> None:
    (found,) = sources.origin(folder_settings(photos))
    script = "find * -type f ! -name notes.txt -print0 | LC_ALL=C sort -z | xargs -0 sha256sum"
    command = ["bash", "-c", f"({script}) | sha256sum"]
    summed = subprocess.run(command, cwd=photos, capture_output=True, text=True, check=True)
    assert found["sha256"] == summed.stdout.split()[0]
    images = [path for path in photos.rglob("*") if path.suffix.lower() in (".png", ".bmp")]
    sizes = sum(path.stat().st_size for path in images)
    assert (found["name"], found["files"], found["bytes"]) == ("photos", 12, sizes)


def test_a_folder_s_sum_is_of_names_and_contents_and_not_of_times_or_place(photos: Path) -> None:
    before = sources.origin(folder_settings(photos))
    shutil.copytree(photos, photos.parent / "elsewhere/photos", copy_function=shutil.copy)
    assert sources.origin(folder_settings(photos.parent / "elsewhere/photos")) == before
    (photos / "train/b/notes.txt").write_text("another word")
    assert sources.origin(folder_settings(photos)) == before
    (photos / "train/b/0.png").rename(photos / "train/b/00.png")
    renamed = sources.origin(folder_settings(photos))
    assert renamed != before and renamed[0]["bytes"] == before[0]["bytes"]


@pytest.mark.parametrize("extracted", [False, True])
def test_cifar_is_its_archive_or_the_members_of_its_folder(tmp_path: Path, extracted: bool) -> None:
    cifar.write_archive(tmp_path, "cifar10", 2, 1, seed=0)
    archive = tmp_path / "cifar-10-python.tar.gz"
    settings = {"kind": "cifar10", "path": str(tmp_path)}
    if extracted:
        shutil.unpack_archive(archive, tmp_path, filter="data")
        archive.unlink()
    found = sources.origin(settings)
    assert len(found) == (7 if extracted else 1)
    for file in found:
        (path,) = tmp_path.rglob(file["name"])
        assert file == downloads.of_file(path)


def test_what_is_drawn_came_from_nowhere() -> None:
    assert sources.origin({"kind": "glyphs"}) == sources.origin({"kind": "digits"}) == []


def test_features_say_whose_weights_made_them(tmp_path: Path) -> None:
    batch, labels = np.ones((2, 3), np.float32), np.array([0, 1])
    said = {"source": "torchvision", "file": "größe.pth", "sha256": "0" * 64}
    for origin in (None, said):
        features.write(tmp_path / "f.parquet", iter([batch]), labels, origin)
        assert features.origin(tmp_path / "f.parquet") == origin
        np.testing.assert_array_equal(features.read(tmp_path / "f.parquet")[0], batch)
    (tmp_path / "f.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"f\.parquet is not a feature table"):
        features.origin(tmp_path / "f.parquet")
