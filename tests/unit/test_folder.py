"""Image folders: layouts, reading, and every way in which a folder can be wrong."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from laq import datasets
from laq.errors import DataError

# Sorted by code point. Names are the user's own: nothing in them is special.
NAMES = ['12" disk; new', "Äpfel", "ключ", "猫 cat"]


def picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def colour(label: int, index: int) -> tuple[int, int, int]:
    return (20 + 50 * label, 10 * index, 7 * (label + index))


@pytest.fixture
def flat(tmp_path):
    root = tmp_path / "flat"
    for label, name in enumerate(NAMES):
        for index in range(10):
            picture(root / name / f"{index:02d}.png", colour(label, index))
    return root


def config(root: Path, **more) -> dict:
    return {"kind": "image_folder", "path": str(root), "size": 8, "test_fraction": 0.2, **more}


def failure(root: Path, **more) -> str:
    with pytest.raises(DataError) as caught:
        datasets.make(config(root, **more), 0)
    return str(caught.value)


def test_flat_layout_is_split_and_complete(flat):
    train, test = datasets.make(config(flat, test_fraction=0.3), 0)
    assert list(train.classes) == list(test.classes) == datasets.class_names(config(flat)) == NAMES
    assert np.bincount(train.labels).tolist() == [7] * 4
    assert np.bincount(test.labels).tolist() == [3] * 4
    assert train.images.shape == (28, 3, 8, 8)
    found = sorted(
        (int(label), tuple(int(value) for value in image[:, 4, 4]))
        for part in (train, test)
        for image, label in zip(part.images, part.labels, strict=True)
    )
    assert found == sorted((label, colour(label, i)) for label in range(4) for i in range(10))


def test_split_depends_on_the_seed_alone(flat, tmp_path):
    copy = tmp_path / "copy"
    for name in reversed(NAMES):  # another order on the disk
        shutil.copytree(flat / name, copy / name)
    one, _ = datasets.make(config(flat), 1)
    same, _ = datasets.make(config(copy), 1)
    other, _ = datasets.make(config(flat), 2)
    assert one.images.tobytes() == same.images.tobytes()
    assert one.images.tobytes() != other.images.tobytes()


def test_train_and_test_folders_are_kept(flat, tmp_path):
    root = tmp_path / "split"
    shutil.copytree(flat, root / "train")
    for label, name in enumerate(NAMES):
        picture(root / "test" / name / "x.jpg", colour(label, 20))
    train, test = datasets.make(config(root), 0)
    assert np.bincount(train.labels).tolist() == [10] * 4
    assert test.labels.tolist() == [0, 1, 2, 3]
    assert datasets.class_names(config(root)) == NAMES
    expected = np.array([colour(label, 20) for label in range(4)])
    np.testing.assert_allclose(test.images[:, :, 4, 4], expected, atol=4)  # JPEG


def test_hidden_and_foreign_files_are_left_out(flat):
    before = datasets.fingerprint(config(flat))
    (flat / NAMES[0] / ".thumbnail.png").write_bytes(b"no image")
    (flat / NAMES[0] / "notes.txt").write_text("no image")
    (flat / NAMES[0] / ".cache").mkdir()
    (flat / ".git").mkdir()
    (flat / "README.md").write_text("no class")
    train, test = datasets.make(config(flat), 0)
    assert len(train.labels) + len(test.labels) == 40
    assert list(train.classes) == NAMES
    assert datasets.fingerprint(config(flat)) == before


def test_shorter_side_is_fitted_and_the_centre_kept(tmp_path):
    stripes = np.zeros((16, 64, 3), dtype=np.uint8)
    stripes[:, :24] = (255, 0, 0)
    stripes[:, 24:40] = (0, 255, 0)
    stripes[:, 40:] = (0, 0, 255)
    wide = Image.fromarray(stripes)
    tall = wide.transpose(Image.Transpose.TRANSPOSE)
    for name, image in (("tall", tall), ("wide", wide)):
        for index in range(2):
            (tmp_path / name).mkdir(exist_ok=True)
            image.save(tmp_path / name / f"{index}.png")
    train, _ = datasets.make(config(tmp_path, size=4), 0)
    centre = np.asarray(wide.resize((16, 4), Image.Resampling.BICUBIC))[:, 6:10]
    assert (centre[:, 1:3] == (0, 255, 0)).all()
    np.testing.assert_array_equal(train.images[0].transpose(2, 1, 0), centre)
    np.testing.assert_array_equal(train.images[1].transpose(1, 2, 0), centre)


def test_shrinking_is_antialiased(flat):
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    for name in NAMES:
        for index in range(10):
            Image.fromarray(board.astype(np.uint8)).save(flat / name / f"{index:02d}.png")
    train, _ = datasets.make(config(flat), 0)
    assert np.abs(train.images.astype(int) - 127).max() <= 3


def test_pictures_are_read_as_they_are_seen(flat):
    half = Image.new("RGB", (16, 16), "white")
    half.paste((0, 0, 0), (0, 0, 16, 8))  # black above
    exif = half.getexif()
    exif[0x0112] = 3  # held upside down
    half.save(flat / NAMES[0] / "00.png", exif=exif)
    Image.new("RGBA", (16, 16), (0, 0, 0, 0)).save(flat / NAMES[0] / "01.png")
    Image.new("L", (16, 16), 90).save(flat / NAMES[0] / "02.png")
    Image.new("P", (16, 16)).save(flat / NAMES[0] / "03.gif")
    train, test = datasets.make(config(flat), 0)
    images = [
        tuple(image[:, row, 4].tolist())
        for part in (train, test)
        for image in datasets.of_classes(part, [0])[0]
        for row in (0, 7)
    ]
    pairs = set(zip(map(tuple, images[::2]), map(tuple, images[1::2]), strict=True))
    white, black, grey = (255,) * 3, (0,) * 3, (90,) * 3
    assert {(white, black), (white, white), (grey, grey), (black, black)} <= pairs


def test_fingerprint_follows_names_and_sizes(flat, tmp_path):
    before = datasets.fingerprint(config(flat))
    shutil.copytree(flat, tmp_path / "copy")  # times are kept
    assert datasets.fingerprint(config(tmp_path / "copy")) == before
    seen = {before}
    picture(flat / NAMES[1] / "new.png", (1, 2, 3))
    seen.add(datasets.fingerprint(config(flat)))
    (flat / NAMES[1] / "new.png").rename(flat / NAMES[2] / "new.png")
    seen.add(datasets.fingerprint(config(flat)))
    picture(flat / NAMES[2] / "new.png", (1, 2, 3), size=(400, 300))
    seen.add(datasets.fingerprint(config(flat)))
    assert len(seen) == 4


def test_fingerprint_tells_a_replaced_image_of_equal_size(flat):
    path = flat / NAMES[1] / "new.bmp"
    picture(path, (1, 2, 3))
    before, size = datasets.fingerprint(config(flat)), path.stat().st_size
    written = path.stat().st_mtime_ns
    picture(path, (3, 2, 1))
    # Two writings may fall into one tick of the file system's clock.
    os.utime(path, ns=(written, written + 1))
    assert path.stat().st_size == size
    assert datasets.fingerprint(config(flat)) != before


def test_missing_folder(tmp_path):
    assert f"{tmp_path / 'nowhere'} does not exist" in failure(tmp_path / "nowhere")


def test_relative_paths_are_shown_with_the_absolute_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"birds ({tmp_path / 'birds'}) does not exist" in failure(Path("birds"))
    Path("birds").write_bytes(b"")
    assert f"birds ({tmp_path / 'birds'}) is not a folder" in failure(Path("birds"))
    Path("empty").mkdir()
    assert f"empty ({tmp_path / 'empty'}) has 0 class folders" in failure(Path("empty"))
    for part in ("train", "test"):
        Path("split", part).mkdir(parents=True)
    absolute = tmp_path / "split" / "train"
    assert f"split/train ({absolute}) has 0 class folders" in failure(Path("split"))


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "images.zip").write_bytes(b"")
    assert "images.zip is not a folder" in failure(tmp_path / "images.zip")


def test_no_classes(tmp_path):
    picture(tmp_path / "loose.png", (0, 0, 0))
    message = failure(tmp_path)
    assert "0 class folders" in message
    assert "<path>/<class>/*" in message


def test_a_single_class(tmp_path):
    picture(tmp_path / "only" / "a.png", (0, 0, 0))
    assert "1 class folders ['only']" in failure(tmp_path)


def test_empty_classes_are_named(flat):
    (flat / "empty").mkdir()
    (flat / "text only").mkdir()
    (flat / "text only" / "notes.txt").write_text("no image")
    message = failure(flat)
    assert message.startswith("2 class folders hold no image")
    assert str(flat / "empty") in message
    assert str(flat / "text only") in message


def test_folders_inside_a_class_are_refused(flat):
    picture(flat / NAMES[2] / "deeper" / "a.png", (0, 0, 0))
    message = failure(flat)
    assert str(flat / NAMES[2]) in message
    assert "'deeper'" in message


def test_train_without_test_is_not_taken_for_a_class(flat, tmp_path):
    for part in ("train", "validation"):
        shutil.copytree(flat, tmp_path / "root" / part)
    message = failure(tmp_path / "root")
    assert "<path>/train/<class>/* and <path>/test/<class>/*" in message


def test_train_and_test_of_different_classes(flat, tmp_path):
    root = tmp_path / "split"
    for part in ("train", "test"):
        shutil.copytree(flat, root / part)
    shutil.rmtree(root / "test" / NAMES[1])
    picture(root / "test" / "extra" / "a.png", (0, 0, 0))
    message = failure(root)
    assert f"{[NAMES[1]]} only in train" in message
    assert "['extra'] only in test" in message


def test_a_class_with_one_image_cannot_be_split(flat):
    picture(flat / "lonely" / "a.png", (0, 0, 0))
    assert "['lonely']" in failure(flat)


def test_a_broken_link(flat):
    (flat / NAMES[0] / "link.png").symlink_to(flat / "nowhere.png")
    assert f"{flat / NAMES[0] / 'link.png'} is a broken link" in failure(flat)


def test_files_that_cannot_be_read_are_named_together(flat):
    whole = (flat / NAMES[0] / "00.png").read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(flat / NAMES[3] / "00.jpg")
    jpeg = (flat / NAMES[3] / "00.jpg").read_bytes()
    damage = {
        flat / NAMES[0] / "empty.png": b"",
        flat / NAMES[1] / "text.jpg": b"this is no image",
        flat / NAMES[2] / "cut.png": whole[: len(whole) // 2],
        flat / NAMES[3] / "cut.jpg": jpeg[: len(jpeg) // 2],
        flat / NAMES[3] / "altered.png": whole.replace(b"IDAT", b"IDOT"),
    }
    for path, content in damage.items():
        path.write_bytes(content)
    message = failure(flat)
    assert message.startswith("5 of 46 images cannot be read")
    for path in damage:
        assert str(path) in message
    assert "empty.png: the file is empty" in message


def test_a_long_list_is_cut_after_ten(flat):
    for index in range(13):
        (flat / NAMES[0] / f"bad{index:02d}.png").write_bytes(b"")
    message = failure(flat)
    assert message.startswith("13 of 53")
    assert "bad09.png" in message
    assert "bad10.png" not in message
    assert "… and 3 more" in message


def test_sixteen_bit_pixels_are_refused_rather_than_clipped(flat):
    Image.fromarray(np.full((9, 9), 40000, dtype=np.uint16)).save(flat / NAMES[0] / "deep.png")
    message = failure(flat)
    assert "deep.png: pixels of mode I;16" in message
    assert "8 bits" in message
