"""CIFAR-10 and CIFAR-100 out of small archives that torchvision is told are the published ones."""

from __future__ import annotations

import os
import pickle
import shutil
import tarfile
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision

from laq.data import sources
from laq.utils.errors import DataError
from tests import cifar
from tests.cifar import TORCHVISION

# The superclass of each of CIFAR-100's classes in label order, as widely published.
COARSE = """
 4  1 14  8  0  6  7  7 18  3  3 14  9 18  7 11  3  9  7 11  6 11  5 10  7  6 13 15  3 15
 0 11  1 10 12 14 16  9 11  5  5 19  8  8 15 13 14 17 18 10 16  4 17  4  2  0 17  4 18 17
10  3  2 12 12 16 12  1  9 19  2 10  0  1 16 12  9 13 15 13 16 19  2  4  6 19  5  5  8 19
18  1  2 15  6  0 17  8 14 13
"""


def settings(kind: str, path: Path, **keys: Any) -> dict[str, Any]:
    return {"kind": kind, "path": str(path), "download": False, **keys}


@pytest.fixture(params=TORCHVISION)
def kind(request):
    return request.param


@pytest.fixture
def archive(tmp_path, kind, monkeypatch):
    """An archive of three training images a class and two test images, the published one."""
    for name, value in cifar.write_archive(tmp_path, kind, 3, 2, seed=0).items():
        monkeypatch.setattr(TORCHVISION[kind], name, value)
    return tmp_path / TORCHVISION[kind].filename


def extract(archive: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(archive.parent, filter="data")
        folder = archive.parent / tar.getnames()[0].split("/")[0]
    archive.unlink()
    return folder


def refused(config: dict[str, Any], *says: str) -> None:
    with pytest.raises(DataError) as caught:
        sources.make(config, 0)
    for fragment in says:
        assert fragment in str(caught.value)


def content(splits: tuple) -> list[tuple]:
    return [(split.images.tobytes(), split.labels.tolist(), split.classes) for split in splits]


def test_images_labels_and_names_are_those_of_the_members(archive, kind):
    splits = sources.make(settings(kind, archive), 0)
    members = cifar.members(kind, 3, 2, 0)
    known = TORCHVISION[kind]
    for split, listed in zip(splits, (known.train_list, known.test_list), strict=True):
        batches = [pickle.loads(members[name], encoding="latin1") for name, _ in listed]
        images = np.concatenate([batch["data"] for batch in batches])
        labels = [batch.get("labels", batch.get("fine_labels")) for batch in batches]
        np.testing.assert_array_equal(split.images, images.reshape(-1, 3, 32, 32))
        assert split.images.flags.c_contiguous and split.labels.tolist() == [*chain(*labels)]
    names = pickle.loads(members[known.meta["filename"]])[known.meta["key"]]
    assert names == list(splits[0].classes) == sources.class_names({"kind": kind})


def test_the_archive_its_folder_and_the_folder_of_either_are_one_data_set(
    archive, kind, monkeypatch
):
    whole = content(sources.make(settings(kind, archive), 0))
    assert whole == content(sources.make(settings(kind, archive.parent), 0))
    assert list(archive.parent.iterdir()) == [archive]  # nothing is extracted beside it
    folder = extract(archive)
    assert whole == content(sources.make(settings(kind, folder), 0))
    monkeypatch.setenv("HOME", str(archive.parent))
    assert whole == content(sources.make(settings(kind, Path("~")), 0))


def test_class_names_and_superclasses_are_the_published_ones():
    names, groups = (of({"kind": "cifar100"}) for of in (sources.class_names, sources.superclasses))
    assert len(groups) == 20 and {len(classes) for classes in groups.values()} == {5}
    assert sorted(chain(*groups.values())) == names == sorted(names)
    for name, number in zip(names, COARSE.split(), strict=True):
        assert name in list(groups.values())[int(number)]
    assert sources.superclasses({"kind": "cifar10"}) == {}
    assert sources.class_names({"kind": "cifar10"})[6] == "frog"


def test_verified_files_have_no_fingerprint_and_their_place_does_not_count(tmp_path, kind):
    one = settings(kind, tmp_path, superclasses={"a": ["b", "c"]}, download=True)
    assert sources.fingerprint(one) == "" and sources.identity(one) == {"kind": kind}
    folder = {"kind": "image_folder", "path": "x", "size": 8, "test_fraction": 0.2}
    assert sources.identity({**folder, "superclasses": {}}) == folder


def test_an_archive_is_fetched_where_the_config_asks_for_it(tmp_path, archive, kind, monkeypatch):
    def copy(url: str, root: str, filename: str, md5: str) -> None:
        assert (url, md5) == (TORCHVISION[kind].url, TORCHVISION[kind].tgz_md5)
        shutil.copy(archive, Path(root, filename))

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", copy)
    place = tmp_path / "not" / "yet"
    says = ("set dataset.download: true, or fetch", TORCHVISION[kind].url)
    refused(settings(kind, place), str(place / archive.name), *says)
    fetched = sources.make(settings(kind, place, download=True), 0)
    assert content(fetched) == content(sources.make(settings(kind, archive), 0))
    assert [path.name for path in place.iterdir()] == [archive.name]


@pytest.mark.parametrize("download", [False, True])
def test_an_archive_of_another_checksum_is_refused_and_stays(archive, kind, download):
    whole = archive.read_bytes()
    for other in (whole[:-1], whole[: len(whole) // 2], b"", b"no archive"):
        archive.write_bytes(other)
        says = (f"{archive} is not the published archive", "delete it and fetch", "image_folder")
        refused(settings(kind, archive, download=download), *says, TORCHVISION[kind].url)
        assert archive.read_bytes() == other


class Trap:
    def __init__(self, target: Path):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


def test_a_changed_pickle_is_refused_before_it_is_loaded(archive, kind, tmp_path):
    folder, known = extract(archive), TORCHVISION[kind]
    for name in (known.train_list[0][0], known.test_list[0][0], known.meta["filename"]):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(pickle.dumps({"data": Trap(tmp_path / "ran")}, 2))
        says = (
            f"{folder} has no {name} of the published checksum, and others are not",
            "take the folder away",
        )
        refused(settings(kind, folder), *says, known.url)
        (folder / name).unlink()
        refused(settings(kind, folder), *says)
        (folder / name).write_bytes(whole)
    assert not (tmp_path / "ran").exists()
    sources.make(settings(kind, folder), 0)
