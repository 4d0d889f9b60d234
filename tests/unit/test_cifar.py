"""CIFAR-10 and CIFAR-100 out of archives in the exact format, read as torchvision reads them."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import tarfile
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision

from laq.data import sources
from laq.data.unpickling import unpickle
from laq.utils.errors import DataError
from tests import cifar

KINDS = ("cifar10", "cifar100")
TORCHVISION = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}

# The superclass of each of CIFAR-100's classes in label order, as widely published.
COARSE = """
 4  1 14  8  0  6  7  7 18  3  3 14  9 18  7 11  3  9  7 11  6 11  5 10  7  6 13 15  3 15
 0 11  1 10 12 14 16  9 11  5  5 19  8  8 15 13 14 17 18 10 16  4 17  4  2  0 17  4 18 17
10  3  2 12 12 16 12  1  9 19  2 10  0  1 16 12  9 13 15 13 16 19  2  4  6 19  5  5  8 19
18  1  2 15  6  0 17  8 14 13
"""


def settings(kind: str, path: Path, **keys: Any) -> dict[str, Any]:
    return {"kind": kind, "path": str(path), "download": False, "md5": None, **keys}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def archive(tmp_path, kind):
    """An archive of three training images a class and two test images, and its md5."""
    path = tmp_path / cifar.ARCHIVES[kind]
    return path, cifar.write_archive(path, kind, 3, 2, seed=0)


def declare_official(monkeypatch, kind: str, archive: Path, url: str = "http://nowhere/x") -> None:
    """Make the archive the official one, by torchvision's own constants."""
    known = TORCHVISION[kind]
    with tarfile.open(archive) as tar:
        md5 = {
            Path(member.name).name: hashlib.md5(tar.extractfile(member).read()).hexdigest()
            for member in tar
            if member.isfile()
        }
    monkeypatch.setattr(known, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    monkeypatch.setattr(known, "url", url)
    for name in ("train_list", "test_list"):
        listed = [[member, md5[member]] for member, _ in getattr(known, name)]
        monkeypatch.setattr(known, name, listed)
    meta = {**known.meta, "md5": md5[known.meta["filename"]]}
    monkeypatch.setattr(known, "meta", meta)


def extract(archive: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(archive.parent, filter="data")
        folder = archive.parent / tar.getnames()[0]
    archive.unlink()
    return folder


def equal(one: tuple, other: tuple) -> bool:
    return all(
        a.images.tobytes() == b.images.tobytes()
        and a.images.shape == b.images.shape
        and a.labels.tolist() == b.labels.tolist()
        and a.classes == b.classes
        for a, b in zip(one, other, strict=True)
    )


def refused(config: dict[str, Any], *says: str) -> str:
    with pytest.raises(DataError) as caught:
        sources.make(config, 0)
    for fragment in says:
        assert fragment in str(caught.value)
    return str(caught.value)


# What is read


def test_images_labels_and_names_are_those_that_torchvision_reads(archive, kind, monkeypatch):
    path, md5 = archive
    ours = sources.make(settings(kind, path, md5=md5), 0)
    declare_official(monkeypatch, kind, path)
    extract(path)
    for split, train in zip(ours, (True, False), strict=True):
        theirs = TORCHVISION[kind](path.parent, train=train)
        np.testing.assert_array_equal(split.images, theirs.data.transpose(0, 3, 1, 2))
        assert split.images.flags.c_contiguous
        assert split.labels.tolist() == theirs.targets
        assert list(split.classes) == theirs.classes == sources.class_names({"kind": kind})


def test_the_archive_its_folder_and_the_folder_of_either_are_one_data_set(
    archive, kind, monkeypatch
):
    path, _ = archive
    declare_official(monkeypatch, kind, path)
    whole = sources.make(settings(kind, path), 0)
    assert whole[0].images.shape == (3 * len(whole[0].classes), 3, 32, 32)
    assert equal(whole, sources.make(settings(kind, path.parent), 0))
    folder = extract(path)
    assert equal(whole, sources.make(settings(kind, folder), 0))
    assert equal(whole, sources.make(settings(kind, path.parent), 0))
    monkeypatch.setenv("HOME", str(path.parent))
    assert equal(whole, sources.make(settings(kind, Path("~") / folder.name), 0))


def test_reading_an_archive_leaves_nothing_beside_it(archive, kind):
    path, md5 = archive
    sources.make(settings(kind, path, md5=md5), 0)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_files_repacked_by_python_3_are_read_as_well(tmp_path, kind, protocol):
    official_form = cifar.members(kind, 2, 1, 0)
    path = tmp_path / "a.tar.gz"
    md5 = cifar.pack(path, cifar.FOLDERS[kind], official_form)
    expected = sources.make(settings(kind, path, md5=md5), 0)

    def again(content: bytes) -> bytes:
        found = {key.encode(): value for key, value in unpickle(content).items()}
        return pickle.dumps(found, protocol)

    repacked = {
        name: content if name in ("file.txt~", "readme.html") else again(content)
        for name, content in official_form.items()
    }
    md5 = cifar.pack(path, f"./{cifar.FOLDERS[kind]}", repacked)
    assert equal(expected, sources.make(settings(kind, path, md5=md5), 0))


def test_names_are_known_without_a_file_and_are_those_of_the_archive():
    found = {name: unpickle(content) for name, content in _members("cifar100", "meta", "train")}
    names = sources.class_names({"kind": "cifar100"})
    assert found["meta"]["fine_label_names"] == names
    groups = sources.superclasses({"kind": "cifar100"})
    assert found["meta"]["coarse_label_names"] == list(groups)
    assert len(groups) == 20 and {len(classes) for classes in groups.values()} == {5}
    assert sorted(chain(*groups.values())) == names == sorted(names)
    labels = (found["train"][f"{which}_labels"] for which in ("fine", "coarse"))
    for fine, coarse in zip(*labels, strict=True):
        assert names[fine] in groups[list(groups)[coarse]]
    assert sources.superclasses({"kind": "cifar10"}) == {}
    assert sources.class_names({"kind": "cifar10"})[6] == "frog"


def _members(kind: str, *names: str) -> list[tuple[str, bytes]]:
    contents = cifar.members(kind, 1, 1, 0)
    return [(name, contents[name]) for name in names]


def test_superclasses_are_the_published_ones():
    groups = list(cifar.SUPERCLASSES)
    published = [groups[int(number)] for number in COARSE.split()]
    assert len(published) == 100
    for name, group in zip(cifar.CIFAR100, published, strict=True):
        assert name in cifar.SUPERCLASSES[group], name


# What it depends on


def test_verified_files_have_no_fingerprint_and_their_place_does_not_count(archive, kind):
    path, md5 = archive
    one = settings(kind, path, md5=md5, superclasses={})
    other = {**one, "path": "~/elsewhere", "download": True, "superclasses": {"a": ["b", "c"]}}
    assert sources.fingerprint(one) == sources.fingerprint(other) == ""
    assert sources.identity(one) == sources.identity(other) == {"kind": kind, "md5": md5}
    folder = {"kind": "image_folder", "path": "x", "size": 8, "test_fraction": 0.2}
    assert sources.identity({**folder, "superclasses": {}}) == folder


# What is refused


def test_a_missing_archive_is_said_with_both_remedies(tmp_path, kind):
    known = TORCHVISION[kind]
    says = ("set dataset.download: true, or fetch", known.url)
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "none", tmp_path / "empty"):
        refused(settings(kind, path), *says, f"put it at {path / known.filename}")
    named = tmp_path / "mine.tar.gz"
    refused(settings(kind, named), *says, f"put it at {named}")


def test_an_archive_that_is_not_the_official_one_wants_its_md5_in_the_config(archive, kind):
    path, md5 = archive
    says = ("is not the official archive", TORCHVISION[kind].tgz_md5, f"set dataset.md5: {md5}")
    refused(settings(kind, path), str(path), *says, TORCHVISION[kind].url)
    sources.make(settings(kind, path, md5=md5.upper()), 0)


def test_another_md5_than_the_configs_is_refused(archive, kind):
    path, md5 = archive
    refused(settings(kind, path, md5="0" * 32), f"md5 of {path} is {md5}, and dataset.md5 says 000")


def test_an_extracted_folder_of_other_files_wants_the_md5_of_all(archive, kind, monkeypatch):
    path, _ = archive
    declare_official(monkeypatch, kind, path)
    folder = extract(path)
    known = TORCHVISION[kind]
    names = [name for name, _ in known.train_list + known.test_list] + [known.meta["filename"]]
    victim = folder / names[0]
    content = victim.read_bytes()
    victim.write_bytes(content.replace(b"batch_label", b"batch_Label"))
    # What cat of all members and md5sum give.
    md5 = hashlib.md5(b"".join((folder / name).read_bytes() for name in names)).hexdigest()
    refused(settings(kind, folder), f"{victim} is not the official file", f"dataset.md5: {md5}")
    sources.make(settings(kind, folder, md5=md5), 0)
    victim.write_bytes(content)
    refused(settings(kind, folder, md5=md5), f"dataset.md5 says {md5}")
    sources.make(settings(kind, folder), 0)


def test_a_truncated_archive_is_refused_at_any_length(archive, kind):
    path, _ = archive
    content = path.read_bytes()
    for length in (len(content) - 1, len(content) // 2, 10, 1, 0):
        path.write_bytes(content[:length])
        refused(settings(kind, path), str(path), "cut short or damaged, delete it and fetch")
    # Named by its md5, it is still no archive.
    path.write_bytes(content[: len(content) // 2])
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    refused(settings(kind, path, md5=md5), f"{path} is no readable tar archive")


@pytest.mark.parametrize("content", [b"", b"not an archive" * 100, b"\x1f\x8b\x08" + b"\0" * 99])
def test_what_is_no_archive_is_refused_even_with_its_md5(tmp_path, kind, content):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    md5 = hashlib.md5(content).hexdigest()
    refused(settings(kind, path, md5=md5), f"{path} is no readable tar archive")


def test_missing_members_are_named(tmp_path, kind):
    known = TORCHVISION[kind]
    gone = [known.test_list[0][0], known.meta["filename"]]
    contents = cifar.members(kind, 1, 1, 0)
    for name in gone:
        del contents[name]
    path = tmp_path / "a.tar.gz"
    md5 = cifar.pack(path, cifar.FOLDERS[kind], contents)
    folder = cifar.FOLDERS[kind]
    refused(settings(kind, path, md5=md5), f"{path} has no {folder}/{gone[0]}, {gone[1]}")
    extract(path)
    refused(settings(kind, tmp_path), f"{tmp_path / folder} lacks {gone[0]}, {gone[1]}")
    other = cifar.pack(path, "another-folder", cifar.members(kind, 1, 1, 0))
    refused(settings(kind, path, md5=other), f"has no {folder}/{known.train_list[0][0]}")


def test_links_and_paths_that_leave_the_folder_are_no_members(tmp_path):
    path = tmp_path / "a.tar.gz"
    contents = cifar.members("cifar100", 1, 1, 0)
    contents["../cifar-100-python/../train"] = contents.pop("train")
    md5 = cifar.pack(path, "cifar-100-python", contents)
    refused(settings("cifar100", path, md5=md5), "has no cifar-100-python/train")


def altered(
    path: Path, kind: str, member: str, change: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    """Settings of an archive one of whose members holds something else."""
    contents = cifar.members(kind, 2, 1, 0)
    found = unpickle(contents[member])
    contents[member] = cifar.python2_pickle(change(found) or found)
    return settings(kind, path, md5=cifar.pack(path, cifar.FOLDERS[kind], contents))


def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(found: dict[str, Any]) -> None:
        found[key] = value(found[key]) if callable(value) else value

    return change


FORMAT = {
    "data of floats": ("train", put("data", lambda d: d.astype(np.float32)), "is float32 (200"),
    "data of another width": ("train", put("data", lambda d: d[:, 1:]), "(200, 3071); expected"),
    "flat data": ("train", put("data", lambda d: d.ravel()), "expected uint8 (n, 3072)"),
    "data that are a list": ("train", put("data", [1, 2]), "data in train of", "is list"),
    "a label too few": ("train", put("fine_labels", lambda x: x[1:]), "not 200 whole numbers"),
    "a label too many": ("test", put("fine_labels", lambda x: [*x, 0]), "not 100 whole numbers"),
    "label 100": ("test", put("fine_labels", lambda x: [100, *x[1:]]), "from 0 to 99"),
    "label -1": ("test", put("fine_labels", lambda x: [-1, *x[1:]]), "from 0 to 99"),
    "labels of floats": ("test", put("fine_labels", lambda x: [*map(float, x)]), "whole numbers"),
    "a label that is NaN": ("test", put("fine_labels", lambda x: [np.nan, *x[1:]]), "whole"),
    "labels of text": ("test", put("fine_labels", lambda x: [*map(str, x)]), "whole numbers"),
    "ragged labels": ("test", put("fine_labels", lambda x: [[1, 2], *x[1:]]), "whole numbers"),
    "no labels": ("test", lambda found: found.pop("fine_labels") and None, "lacks fine_labels"),
    "another superclass": ("test", put("coarse_labels", lambda x: x[::-1]), "but of superclass"),
    "a class without images": (
        "test",
        lambda found: {**found, "fine_labels": [0] * 100, "coarse_labels": [4] * 100},
        "hold no image of 99 classes: aquarium_fish, baby",
    ),
    "other names": (
        "meta",
        put("fine_label_names", lambda x: x[::-1]),
        "the 100 names of cifar100",
    ),
    "a name too few": ("meta", put("fine_label_names", lambda x: x[:-1]), "the 100 names"),
    "names that are a number": ("meta", put("fine_label_names", 7), "the 100 names"),
    "other superclasses": ("meta", put("coarse_label_names", lambda x: x[::-1]), "the 20 names"),
    "no mapping": ("meta", lambda found: [1], "meta of", "is no mapping"),
}


@pytest.mark.parametrize("case", FORMAT)
def test_contents_that_are_not_the_format_are_refused(tmp_path, case):
    member, change, *says = FORMAT[case]
    config = altered(tmp_path / "a.tar.gz", "cifar100", member, change)
    refused(config, *says, "take the official files")


def test_cifar_10s_five_batches_are_read_in_their_order_and_each_is_checked(tmp_path):
    path = tmp_path / "a.tar.gz"
    config = altered(path, "cifar10", "data_batch_4", put("labels", lambda x: [10, *x[1:]]))
    refused(config, "labels in data_batch_4 of", "from 0 to 9")
    refused(altered(path, "cifar10", "data_batch_2", put("data", lambda d: d[:0])), "data_batch_2")


class Trap:
    def __init__(self, target: Path):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


def test_a_program_in_a_member_is_refused_and_not_run(tmp_path):
    contents = cifar.members("cifar100", 1, 1, 0)
    contents["train"] = pickle.dumps({"data": Trap(tmp_path / "ran")}, 2)
    path = tmp_path / "a.tar.gz"
    md5 = cifar.pack(path, "cifar-100-python", contents)
    config = settings("cifar100", path, md5=md5)
    refused(config, f"train of {path}: its pickle names", "mkdir", "nothing of it was run")
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_may_not_be_read_is_named(archive, kind):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    path, md5 = archive
    path.chmod(0)
    assert re.search("cannot be read or written", refused(settings(kind, path, md5=md5), str(path)))
