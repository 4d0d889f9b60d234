"""Image folders: layouts, reading, and every way in which a folder can be wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from laq import data
from laq.data import sources
from laq.utils.errors import DataError

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
        sources.make(config(root, **more), 0)
    return str(caught.value)


def test_flat_layout_is_split_and_complete(flat):
    train, test = sources.make(config(flat, test_fraction=0.3), 0)
    assert list(train.classes) == list(test.classes) == sources.class_names(config(flat)) == NAMES
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
    one, _ = sources.make(config(flat), 1)
    same, _ = sources.make(config(copy), 1)
    other, _ = sources.make(config(flat), 2)
    assert one.images.tobytes() == same.images.tobytes()
    assert one.images.tobytes() != other.images.tobytes()


def test_train_and_test_folders_are_kept(flat, tmp_path):
    root = tmp_path / "split"
    shutil.copytree(flat, root / "train")
    for label, name in enumerate(NAMES):
        picture(root / "test" / name / "x.jpg", colour(label, 20))
    train, test = sources.make(config(root), 0)
    assert np.bincount(train.labels).tolist() == [10] * 4
    assert test.labels.tolist() == [0, 1, 2, 3]
    assert sources.class_names(config(root)) == NAMES
    expected = np.array([colour(label, 20) for label in range(4)])
    np.testing.assert_allclose(test.images[:, :, 4, 4], expected, atol=4)  # JPEG


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
    train, _ = sources.make(config(tmp_path, size=4), 0)
    centre = np.asarray(wide.resize((16, 4), Image.Resampling.BICUBIC))[:, 6:10]
    assert (centre[:, 1:3] == (0, 255, 0)).all()
    np.testing.assert_array_equal(train.images[0].transpose(2, 1, 0), centre)
    np.testing.assert_array_equal(train.images[1].transpose(1, 2, 0), centre)


def icon(size: int = 16) -> Image.Image:
    """A red disc on transparent green."""
    image = Image.new("RGBA", (size, size), (0, 255, 0, 0))
    ImageDraw.Draw(image).ellipse([3, 3, size - 4, size - 4], fill=(255, 0, 0, 255))
    return image


def turned() -> tuple[Image.Image, Image.Exif]:
    """White above black, which EXIF says to turn upside down."""
    image = Image.new("RGB", (16, 16), "black")
    image.paste((255, 255, 255), (0, 0, 16, 8))
    exif = image.getexif()
    exif[0x0112] = 3
    return image, exif


def of_one_class(root: Path, **more) -> list[np.ndarray]:
    """The images of a split folder's first class, by their names: uint8 (8, 8, 3)."""
    train, _ = sources.make(config(root, **more), 0)
    return [image.transpose(1, 2, 0) for image in data.of_classes(train, [0])[0]]


@pytest.fixture
def kinds(tmp_path):
    """A split folder whose training class "a" has an image of every mode that files have."""
    root = tmp_path / "kinds"
    rng = np.random.default_rng(0)
    for name in ("train/b", "test/a", "test/b"):
        picture(root / name / "x.png", tuple(int(value) for value in rng.integers(0, 255, 3)))
    place = root / "train/a"
    place.mkdir()
    image, exif = turned()
    noise = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    image.save(place / "00 turned.jpg", exif=exif)
    image.save(place / "12 turned.tif", exif=exif)  # Pillow itself turns it
    icon().save(place / "01 icon.png")
    icon().save(place / "02 icon.webp", lossless=True, exact=True)
    icon().convert("LA").save(place / "03 grey icon.png")
    icon().quantize(8).save(place / "04 palette.png")
    palette = noise.convert("P")
    palette.save(place / "05 key.png", transparency=palette.getpixel((0, 0)))
    noise.save(place / "06 key.png", transparency=noise.getpixel((0, 0)))
    noise.convert("CMYK").save(place / "07 cmyk.jpg")
    noise.convert("1").save(place / "08 bits.tif")
    frames = [noise, noise.rotate(90)]
    frames[0].save(place / "09 moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(place / "10 pages.tiff", save_all=True, append_images=frames[1:])
    frames[0].save(place / "11 moving.png", save_all=True, append_images=frames[1:])
    return root


def test_pixels_are_those_of_torchvision_s_image_folder(kinds):
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import functional

    theirs = ImageFolder(kinds / "train", is_valid_file=lambda path: True)
    for (image, label), ours in zip(theirs, of_one_class(kinds), strict=False):
        assert label == 0
        size = functional.resize(image, 8, functional.InterpolationMode.BICUBIC)
        np.testing.assert_allclose(ours.astype(int), np.asarray(size), atol=1)


def test_transparent_pixels_keep_their_colour_or_come_on_paper(kinds):
    for rule, corner in (
        ("ignored", (0, 255, 0)),
        ("white", (255, 255, 255)),
        ("black", (0, 0, 0)),
    ):
        for image in of_one_class(kinds, transparency=rule)[1:3]:
            assert tuple(image[0, 0]) == corner
            assert tuple(image[4, 4]) == (255, 0, 0)


def test_images_are_turned_where_that_is_asked_for(kinds):
    stored, upright = (of_one_class(kinds, orientation=rule)[0] for rule in ("ignored", "applied"))
    assert stored[0].min() > 200 and stored[7].max() < 50
    np.testing.assert_array_equal(upright, stored[::-1, ::-1])


def test_everything_that_pillow_reads_is_read(flat):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8))
    names = {
        "1.jfif": "JPEG",
        "2.jpe": "JPEG",
        "3.avif": "AVIF",
        "4.jp2": "JPEG2000",
        "5.JPG": "JPEG",
        "6.WebP": "WEBP",
        "7.mpo": "JPEG",
        "8.tga": "TGA",
        "no suffix": "PNG",
        "shot at 10.15.32": "JPEG",
        "photo.jpg.1": "JPEG",
        "photo.jpg?width=100": "JPEG",
    }
    for name, form in names.items():
        image.save(flat / NAMES[2] / name, format=form)
    train, test, (origin,) = sources.made(config(flat), 0)
    counts = np.bincount(np.concatenate([train.labels, test.labels]))
    assert counts.tolist() == [10, 10, 22, 10]
    assert (origin["files"], origin["left_out"]) == (52, {})


def test_files_that_other_programs_would_draw_are_not_opened(flat):
    (flat / NAMES[0] / "drawn.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    )
    assert "drawn.png: cannot identify" in failure(flat)


def test_fingerprint_follows_names_and_sizes(flat, tmp_path):
    before = sources.fingerprint(config(flat))
    shutil.copytree(flat, tmp_path / "copy")  # times are kept
    assert sources.fingerprint(config(tmp_path / "copy")) == before
    seen = {before}
    picture(flat / NAMES[1] / "new.png", (1, 2, 3))
    seen.add(sources.fingerprint(config(flat)))
    (flat / NAMES[1] / "new.png").rename(flat / NAMES[2] / "new.png")
    seen.add(sources.fingerprint(config(flat)))
    picture(flat / NAMES[2] / "new.png", (1, 2, 3), size=(400, 300))
    seen.add(sources.fingerprint(config(flat)))
    assert len(seen) == 4


def test_missing_folder(tmp_path):
    assert f"{tmp_path / 'nowhere'} does not exist" in failure(tmp_path / "nowhere")


def test_empty_classes_are_named(flat):
    (flat / "empty").mkdir()
    (flat / "text only").mkdir()
    (flat / "text only" / "notes.txt").write_text("no image")
    message = failure(flat)
    assert message.startswith("2 class folders hold no image")
    assert str(flat / "empty") in message
    assert str(flat / "text only") in message


def test_train_and_test_of_different_classes(flat, tmp_path):
    root = tmp_path / "split"
    for part in ("train", "test"):
        shutil.copytree(flat, root / part)
    shutil.rmtree(root / "test" / NAMES[1])
    picture(root / "test" / "extra" / "a.png", (0, 0, 0))
    message = failure(root)
    assert f"{[NAMES[1]]} only in train" in message
    assert "['extra'] only in test" in message


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
