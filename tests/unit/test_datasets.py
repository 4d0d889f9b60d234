"""Data sets: the container, its files, selection, splitting, and the scanned digits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laq import data as datasets
from laq.data import Dataset, sources
from laq.data.splits import stratified_split
from laq.utils.errors import DataError
from laq.utils.files import write_json

DIGITS = {"kind": "digits", "test_fraction": 0.3}


def small(n: int = 12, classes: int = 3) -> Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 3, 4, 5), dtype=np.uint8)
    names = tuple(f"class {index}" for index in range(classes))
    return Dataset(images, np.arange(n, dtype=np.int64) % classes, names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((12, 3, 4, 5), np.float32)}, "images are float32"),
        ({"images": np.zeros((12, 4, 5), np.uint8)}, r"images are uint8 \(12, 4, 5\)"),
        ({"images": np.zeros((0, 3, 4, 5), np.uint8)}, "non-empty"),
        ({"labels": np.zeros(12, np.int32)}, "labels are int32"),
        ({"labels": np.zeros(11, np.int64)}, r"labels are int64 \(11,\)"),
        ({"labels": np.full(12, 3)}, "labels run from 3 to 3, but there are 3 classes"),
        ({"labels": np.full(12, -1)}, "labels run from -1"),
        ({"classes": ("a", "b", "a")}, r"more than once: \['a'\]"),
    ],
)
def test_inconsistent_datasets_are_refused(change, message):
    whole = small()
    fields = {"images": whole.images, "labels": whole.labels, "classes": whole.classes}
    with pytest.raises(DataError, match=message):
        Dataset(**(fields | change))


@pytest.mark.parametrize("kind", sources.KINDS)
def test_class_names_import_nothing_heavy(kind, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(b"never opened")
    program = (
        "import sys; from laq.data import sources\n"
        f"config = {{'kind': {kind!r}, 'classes': 5, 'path': {str(tmp_path)!r}}}\n"
        "assert len(sources.class_names(config)) >= 2; sources.fingerprint(config)\n"
        "heavy = {'PIL', 'matplotlib', 'sklearn', 'scipy', 'torch', 'pandas', 'tqdm'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    library = Path(datasets.__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(library)}, capture_output=True
    )
    assert run.returncode == 0, run.stderr.decode()


@given(chosen=st.sets(st.integers(0, 4), min_size=1), seed=st.integers(0, 9))
def test_of_classes_selects_whole_classes_in_order(chosen, seed):
    labels = np.random.default_rng(seed).integers(0, 5, 40)
    images = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1)
    whole = Dataset(images, labels, tuple("abcde"))
    selected, kept = datasets.of_classes(whole, sorted(chosen))
    expected = [index for index in range(40) if labels[index] in chosen]
    assert selected.ravel().tolist() == expected
    assert kept.tolist() == [labels[index] for index in expected]


@given(
    counts=st.lists(st.integers(2, 30), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 1000),
)
def test_stratified_split_takes_its_share_of_every_class(counts, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    names = [str(index) for index in range(len(counts))]
    test = stratified_split(labels, names, fraction, seed)
    again = stratified_split(labels, names, fraction, seed)
    np.testing.assert_array_equal(test, again)
    for label, count in enumerate(counts):
        taken = int(test[labels == label].sum())
        assert 1 <= taken <= count - 1
        assert abs(taken - count * fraction) <= 1


def test_stratified_split_depends_on_the_seed():
    labels = np.repeat(np.arange(2), 50)
    one, other = (stratified_split(labels, ["a", "b"], 0.5, seed) for seed in (0, 1))
    assert (one != other).any()


@pytest.fixture
def saved(tmp_path):
    whole = small()
    datasets.save(whole, tmp_path / "train.npz")
    write_json(tmp_path / "classes.json", list(whole.classes))
    return tmp_path


def test_save_and_load_give_back_the_same(saved):
    loaded = datasets.load(saved / "train.npz", saved / "classes.json")
    whole = small()
    np.testing.assert_array_equal(loaded.images, whole.images)
    np.testing.assert_array_equal(loaded.labels, whole.labels)
    assert loaded.classes == whole.classes


def refused(folder: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        datasets.load(folder / "train.npz", folder / "classes.json")
    assert str(folder / name) in str(caught.value)
    assert "delete it and run again" in str(caught.value)


@settings(max_examples=200)
@given(data=st.data())
def test_damaged_files_are_refused_or_whole(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    whole = small()
    path = folder / "train.npz"
    datasets.save(whole, path)
    write_json(folder / "classes.json", list(whole.classes))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(content[:place])
        refused(folder, "train.npz")
        return
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        loaded = datasets.load(path, folder / "classes.json")
    except DataError as error:
        assert str(path) in str(error)
    else:  # a byte that nobody reads, such as a date
        np.testing.assert_array_equal(loaded.images, whole.images)
        np.testing.assert_array_equal(loaded.labels, whole.labels)


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    train, test = sources.make(DIGITS, 0)
    original = load_digits()
    expected = sorted(
        (int(label), tuple(image.ravel().astype(int)))
        for label, image in zip(original.target, original.images, strict=True)
    )
    grey = [np.rint(part.images / 255 * 16).astype(int) for part in (train, test)]
    found = sorted(
        (int(label), tuple(image.ravel()))
        for part, images in zip((train, test), grey, strict=True)
        for label, image in zip(part.labels, images, strict=True)
    )
    assert found == expected
    assert train.images.shape[1:] == (1, 8, 8)
    assert train.images.max() == 255
    assert train.classes == test.classes == tuple("0123456789")
    assert sources.class_names(DIGITS) == list(train.classes)


def test_digits_split_every_class_alike_and_by_seed():
    quarter = DIGITS | {"test_fraction": 0.25}
    train, test = sources.make(quarter, 5)
    share = np.bincount(test.labels) / (np.bincount(test.labels) + np.bincount(train.labels))
    np.testing.assert_allclose(share, 0.25, atol=0.005)
    same, _ = sources.make(quarter, 5)
    other, _ = sources.make(quarter, 6)
    assert same.images.tobytes() == train.images.tobytes()
    assert other.images.tobytes() != train.images.tobytes()
