"""MNIST and Fashion-MNIST out of small files whose checksums are declared the published ones."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
import yaml

from laq.config.load import checked
from laq.data import mnist, sources
from laq.utils import downloads
from laq.utils.errors import DataError
from tests import idx

ROOT = Path(__file__).parents[2]
TORCHVISION = {
    "mnist": torchvision.datasets.MNIST,
    "fashion_mnist": torchvision.datasets.FashionMNIST,
}
ARRAYS = idx.arrays(3, 2, seed=0)
CONTENTS = {name: idx.encode(array) for name, array in ARRAYS.items()}
IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = idx.NAMES


def settings(path: Path, kind: str = "mnist", **keys: Any) -> dict[str, Any]:
    return {"kind": kind, "path": str(path), "download": False, **keys}


@pytest.fixture(autouse=True)
def published(monkeypatch):
    """The md5 of ``CONTENTS``, gzipped or not, are the published ones."""
    plain = {name: hashlib.md5(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setattr(mnist, "_UNPACKED", plain)
    gzipped = [
        (f"{name}.gz", hashlib.md5(gzip.compress(content, mtime=0)).hexdigest())
        for name, content in CONTENTS.items()
    ]
    for known in TORCHVISION.values():
        monkeypatch.setattr(known, "resources", gzipped)


def refused(config: dict[str, Any], *says: str) -> str:
    with pytest.raises(DataError) as caught:
        sources.make(config, 0)
    for fragment in says:
        assert fragment in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", TORCHVISION)
def test_images_labels_and_names_are_those_of_the_files(tmp_path, kind):
    idx.write(tmp_path, CONTENTS, packed=True)
    train, test = sources.make(settings(tmp_path, kind), 0)
    for split, part in ((train, "train"), (test, "t10k")):
        np.testing.assert_array_equal(split.images[:, 0], ARRAYS[f"{part}-images-idx3-ubyte"])
        np.testing.assert_array_equal(split.labels, ARRAYS[f"{part}-labels-idx1-ubyte"])
        assert split.images.flags.writeable and split.images.flags.c_contiguous
        assert list(split.classes) == sources.class_names({"kind": kind})
    named = [name.split(" - ")[0] for name in TORCHVISION[kind].classes]
    assert sources.class_names({"kind": kind}) == named


def test_gzipped_or_not_and_below_torchvisions_root_the_files_are_one_data_set(
    tmp_path, monkeypatch
):
    idx.write(tmp_path / "plain", CONTENTS, packed=False)
    idx.write(tmp_path / "home/MNIST/raw", CONTENTS, packed=True)
    idx.write(tmp_path / "mixed", {IMAGES: CONTENTS[IMAGES]}, packed=True)
    idx.write(tmp_path / "mixed", CONTENTS, packed=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for place in (tmp_path / "plain", Path("~"), tmp_path / "mixed"):
        train, test = sources.make(settings(place), 0)
        np.testing.assert_array_equal(train.images[:, 0], ARRAYS[IMAGES])
        np.testing.assert_array_equal(test.labels, ARRAYS[TEST_LABELS])


def test_what_it_came_from_are_the_four_files(tmp_path):
    idx.write(tmp_path, CONTENTS, packed=True)
    found = sources.origin(settings(tmp_path))
    assert found == [downloads.of_file(tmp_path / f"{name}.gz") for name in idx.NAMES]


def test_verified_files_have_no_fingerprint_and_their_place_does_not_count(tmp_path):
    one = settings(tmp_path, superclasses={}, otherwise=None)
    assert sources.fingerprint(one) == "" and sources.identity(one) == {"kind": "mnist"}


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c[:-1] + b"?", lambda c: b""])
def test_a_file_of_another_checksum_is_named_with_the_remedy(tmp_path, packed, change):
    idx.write(tmp_path, CONTENTS, packed)
    path = tmp_path / (f"{TEST_LABELS}.gz" if packed else TEST_LABELS)
    path.write_bytes(change(path.read_bytes()))
    says = (f"{path} is not the published file", "dataset.download: true", "kind: image_folder")
    refused(settings(tmp_path), *says, torchvision.datasets.MNIST.mirrors[0])


def test_unpacked_files_of_fashion_mnist_have_no_published_checksum(tmp_path):
    idx.write(tmp_path, CONTENTS, packed=False)
    refused(settings(tmp_path, "fashion_mnist"), f"{tmp_path} lacks {IMAGES}.gz")


@pytest.mark.parametrize("missing", [list(idx.NAMES), [TEST_LABELS]])
def test_missing_files_are_named_with_both_remedies_and_fetched_alone(
    tmp_path, monkeypatch, missing
):
    served, target = tmp_path / "served", tmp_path / "data"
    idx.write(served, CONTENTS, packed=True)
    fetched = []

    def copy(url: str, root: str, filename: str, md5: str) -> None:
        assert url == f"{torchvision.datasets.MNIST.mirrors[0]}{filename}"
        fetched.append(filename)
        shutil.copy(served / filename, root)

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", copy)
    present = {name: content for name, content in CONTENTS.items() if name not in missing}
    idx.write(target, present, packed=False)
    said = refused(settings(target), f"{target} lacks", "set dataset.download: true, or fetch")
    assert [name in said for name in idx.NAMES] == [name in missing for name in idx.NAMES]
    train, _ = sources.make(settings(target, download=True), 0)
    np.testing.assert_array_equal(train.images[:, 0], ARRAYS[IMAGES])
    assert fetched == [f"{name}.gz" for name in missing]


def test_where_the_files_are_not_there_others_may_take_their_place(tmp_path):
    config = yaml.safe_load((ROOT / "config/mnist.yaml").read_text())
    config["dataset"]["path"] = str(tmp_path)
    completed, said, survey = checked(config, ROOT / "workflow/schemas")
    assert completed["dataset"]["kind"] == "mnist_like" and len(survey.classes) == 10
    assert [line for line in said if f"the files of mnist are not in {tmp_path}" in line]
    idx.write(tmp_path, CONTENTS, packed=False)
    completed, said, _ = checked(config, ROOT / "workflow/schemas")
    assert completed["dataset"]["kind"] == "mnist"
    assert not [line for line in said if "mnist_like" in line]
    (tmp_path / IMAGES).unlink()
    config["dataset"] |= {"otherwise": None}
    assert checked(config, ROOT / "workflow/schemas")[0]["dataset"]["kind"] == "mnist"
    refused(settings(tmp_path), "set dataset.download: true")
