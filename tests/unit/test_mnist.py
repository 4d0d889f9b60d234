"""MNIST and Fashion-MNIST out of files in the exact format, read as torchvision reads them."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import struct
import threading
from collections.abc import Callable, Iterator
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
KNOWN = torchvision.datasets
TORCHVISION = {"mnist": KNOWN.MNIST, "fashion_mnist": KNOWN.FashionMNIST}
ARRAYS = idx.arrays(3, 2, seed=0)
CONTENTS = {name: idx.encode(array) for name, array in ARRAYS.items()}
IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = idx.NAMES


def settings(path: Path, kind: str = "mnist", **keys: Any) -> dict[str, Any]:
    return {"kind": kind, "path": str(path), "download": False, "md5": None, **keys}


def declare_official(monkeypatch, folder: Path, kind: str = "mnist", *mirrors: str) -> None:
    """Make gzipped files the official ones, by torchvision's own constants."""
    known = TORCHVISION[kind]
    names = [f"{name}.gz" for name in idx.NAMES]
    sums = [hashlib.md5((folder / name).read_bytes()).hexdigest() for name in names]
    monkeypatch.setattr(known, "resources", list(zip(names, sums, strict=True)))
    monkeypatch.setattr(known, "mirrors", list(mirrors) or ["http://nowhere/"])


def refused(config: dict[str, Any], *says: str) -> str:
    with pytest.raises(DataError) as caught:
        sources.make(config, 0)
    for fragment in says:
        assert fragment in str(caught.value)
    return str(caught.value)


# What is read


@pytest.mark.parametrize("kind", TORCHVISION)
def test_images_and_labels_are_those_that_torchvision_reads(tmp_path, kind):
    known = TORCHVISION[kind]
    md5 = idx.write(tmp_path / known.__name__ / "raw", CONTENTS, packed=False)
    ours = sources.make(settings(tmp_path, kind, md5=md5), 0)
    for split, train in zip(ours, (True, False), strict=True):
        theirs = known(tmp_path, train=train)
        np.testing.assert_array_equal(split.images[:, 0], theirs.data)
        assert split.images.flags.writeable and split.images.flags.c_contiguous
        assert split.labels.tolist() == theirs.targets.tolist()
        assert list(split.classes) == sources.class_names({"kind": kind})
    named = [name.split(" - ")[0] for name in known.classes]
    assert sources.class_names({"kind": kind}) == named


def test_packed_or_not_under_any_name_and_place_the_files_are_one_data_set(tmp_path, monkeypatch):
    md5 = idx.write(tmp_path / "plain", CONTENTS, packed=False)
    assert idx.write(tmp_path / "home/MNIST/raw", CONTENTS, packed=True) == md5
    dotted = {name: name.replace("-idx", ".idx") for name in idx.NAMES}
    (tmp_path / "dotted").mkdir()
    for name, own in dotted.items():
        (tmp_path / "dotted" / own).write_bytes(CONTENTS[name])
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    made = [
        sources.make(settings(place, md5=md5.upper()), 0)
        for place in (tmp_path / "plain", Path("~"), tmp_path / "home/MNIST", tmp_path / "dotted")
    ]
    for train, test in made:
        np.testing.assert_array_equal(train.images[:, 0], ARRAYS[IMAGES])
        np.testing.assert_array_equal(test.labels, ARRAYS[TEST_LABELS])


def test_official_files_need_no_md5_packed_by_theirs_or_unpacked_by_their_content(
    tmp_path, monkeypatch
):
    idx.write(tmp_path, CONTENTS, packed=True)
    declare_official(monkeypatch, tmp_path)
    sources.make(settings(tmp_path), 0)
    known = {("mnist", n): hashlib.sha256(c).hexdigest() for n, c in CONTENTS.items()}
    monkeypatch.setattr(mnist, "_UNPACKED", known)
    idx.write(tmp_path / "plain", CONTENTS, packed=False)
    sources.make(settings(tmp_path / "plain"), 0)
    swapped = {**CONTENTS, TEST_LABELS: CONTENTS[LABELS], TEST_IMAGES: CONTENTS[IMAGES]}
    md5 = idx.write(tmp_path / "swapped", swapped, packed=False)
    says = f"{tmp_path / 'swapped' / TEST_IMAGES} is not the official file"
    refused(settings(tmp_path / "swapped"), says, f"set dataset.md5: {md5}")


def test_what_it_came_from_are_the_four_files(tmp_path):
    md5 = idx.write(tmp_path, CONTENTS, packed=True)
    found = sources.origin(settings(tmp_path, md5=md5))
    assert found == [downloads.of_file(tmp_path / f"{name}.gz") for name in idx.NAMES]


def test_verified_files_have_no_fingerprint_and_their_place_does_not_count(tmp_path):
    one = settings(tmp_path, md5="0" * 32, superclasses={})
    assert sources.fingerprint(one) == ""
    assert sources.identity(one) == {"kind": "mnist", "md5": "0" * 32}


# What is refused


def test_files_that_are_not_the_official_ones_want_their_md5_in_the_config(tmp_path):
    md5 = idx.write(tmp_path, CONTENTS, packed=True)
    url = "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz"
    refused(settings(tmp_path), "train-images-idx3-ubyte.gz is not the official", url, md5)
    refused(settings(tmp_path, md5="0" * 32), md5, "dataset.md5 says 000", "write the former")


@pytest.mark.parametrize("missing", [list(idx.NAMES), [TEST_LABELS]])
def test_missing_files_are_named_with_both_remedies(tmp_path, missing):
    idx.write(tmp_path, CONTENTS, packed=True)
    for name in missing:
        (tmp_path / f"{name}.gz").unlink()
    said = refused(settings(tmp_path), f"{tmp_path} lacks", "set dataset.download: true, or fetch")
    assert [name in said for name in idx.NAMES] == [name in missing for name in idx.NAMES]
    refused(settings(tmp_path, download=True, md5="0" * 32), "leave dataset.md5 out")


def test_a_file_is_no_folder_of_four(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    refused(settings(tmp_path / "x"), "is a file: dataset.path is the folder")
    refused(settings(Path("~nobody-is-called-so")), "cannot be read or written")


def short(array: np.ndarray) -> bytes:
    return idx.encode(array[:-1])


FORMAT: dict[str, tuple[str, Callable[[bytes], bytes], tuple[str, ...]]] = {
    "cut short": (IMAGES, lambda c: c[:-1], ("30 × 28 × 28 values, and has 23,519", "fetch it")),
    "with more behind": (TEST_LABELS, lambda c: c + b"\0", ("20 values, and has 21", "altered")),
    "cut in the header": (IMAGES, lambda c: c[:9], ("cut short in its header", "fetch it anew")),
    "empty": (IMAGES, lambda c: b"", ("begins with nothing", "fetch it anew")),
    "of text": (LABELS, lambda c: b"<html>", ("begins with 3c68746d", "00000801", "delete it")),
    "of labels": (IMAGES, lambda c: CONTENTS[LABELS], ("it holds labels; give each file its own",)),
    "of images": (LABELS, lambda c: CONTENTS[IMAGES], ("00000803", "it holds images; give")),
    "of floats": (IMAGES, lambda c: b"\0\0\x0d\x03" + c[4:], ("begins with 00000d03",)),
    "a label too few": (
        LABELS,
        lambda c: short(ARRAYS[LABELS]),
        ("29 labels for the 30 images of", IMAGES, "fetch both anew"),
    ),
    "label 10": (LABELS, lambda c: c[:-1] + b"\x0a", ("label 10, and labels run from 0 to 9",)),
    "one class": (LABELS, lambda c: c[:8] + bytes(30), ("holds no label 1, 2, 3",)),
    "other pixels": (
        TEST_IMAGES,
        lambda c: c[:4] + struct.pack(">3I", 20, 14, 56) + c[16:],
        ("14 × 56 pixels, not 28 × 28", "image_folder"),
    ),
    "a bomb of lengths": (IMAGES, lambda c: c[:4] + b"\xff" * 12, ("4,294,967,295 ×",)),
}


@pytest.mark.parametrize("case", FORMAT)
@pytest.mark.parametrize("packed", [True, False])
def test_content_that_is_not_the_format_is_refused(tmp_path, case, packed):
    name, change, says = FORMAT[case]
    md5 = idx.write(tmp_path, {**CONTENTS, name: change(CONTENTS[name])}, packed)
    file = tmp_path / (f"{name}.gz" if packed else name)
    refused(settings(tmp_path, md5=md5), str(file), *says)


@pytest.mark.parametrize("spoiled", ["cut", "flipped", "unpacks to too much"])
def test_damaged_gzip_files_are_refused(tmp_path, monkeypatch, spoiled):
    md5 = idx.write(tmp_path, CONTENTS, packed=True)
    path = tmp_path / f"{IMAGES}.gz"
    content = path.read_bytes()
    says = "is cut short or damaged"
    if spoiled == "cut":
        path.write_bytes(content[:-30])
    elif spoiled == "flipped":
        path.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])  # its checksum
    else:
        monkeypatch.setattr(mnist, "LARGEST", 10_000)
        says = "holds more than 10,000 bytes"
    refused(settings(tmp_path, md5=md5), f"{path} {says}")


# Downloads


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that is served, and its address."""
    served = tmp_path / "served"
    idx.write(served, CONTENTS, packed=True)
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: Quiet(*a, directory=str(served))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield served, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_only_what_is_missing_is_fetched_from_the_first_mirror_that_has_it(
    tmp_path, monkeypatch, host
):
    served, url = host
    declare_official(monkeypatch, served, "mnist", "http://127.0.0.1:9/", url)
    target = tmp_path / "data"
    refused(settings(target), "set dataset.download: true")
    assert not target.exists()
    made = sources.make(settings(target, download=True), 0)
    np.testing.assert_array_equal(made[0].images[:, 0], ARRAYS[IMAGES])
    assert sorted(p.name for p in target.iterdir()) == sorted(f"{n}.gz" for n in idx.NAMES)
    (served / f"{IMAGES}.gz").write_bytes(b"not this one again")
    (target / f"{TEST_LABELS}.gz").unlink()
    sources.make(settings(target, download=True), 0)


def test_a_file_that_comes_altered_is_not_taken(tmp_path, monkeypatch, host):
    served, url = host
    declare_official(monkeypatch, served, "mnist", url)
    good = (served / f"{LABELS}.gz").read_bytes()
    (served / f"{LABELS}.gz").write_bytes(gzip.compress(b"another"))
    target = tmp_path / "data"
    says = (f"what came from {url}{LABELS}.gz", "was cut short or altered", f"put it at {target}")
    refused(settings(target, download=True), *says)
    assert [p.name for p in target.iterdir()] == [f"{IMAGES}.gz"]
    (served / f"{LABELS}.gz").write_bytes(good)
    sources.make(settings(target, download=True), 0)


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
