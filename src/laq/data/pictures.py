"""One picture of a user's own: its pixels in the data set's size, and remarks about it.

By default pixels are those that torchvision's ImageFolder gives to a training, so that a network
that was trained there sees the same here. Colours are taken without their transparency, and pixels
as the file stores them, not as the camera was held. ``transparency`` and ``orientation`` change
that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from laq.data.folder_tree import FORMATS, MARKED, suffix
from laq.utils.errors import DataError

_ORIENTATION = 0x0112  # EXIF's tag; 1 is upright


class Remarks(NamedTuple):
    """What a picture has that its pixels in the data set may not show.

    transparent: a pixel is not opaque. oriented: EXIF says to turn or mirror it. frames: it is the
    first of several pictures in the file.
    """

    transparent: bool
    oriented: bool
    frames: bool


def read(path: str, size: int, transparency: str, orientation: str) -> tuple[np.ndarray, Remarks]:
    """Read one picture: uint8 (3, size, size), the shorter side resized and the centre cut out.

    transparency: ``ignored`` takes colours as they are stored, under transparent pixels too;
    ``white`` and ``black`` put the picture on such a background. orientation: ``ignored``, or
    ``applied``: as EXIF says.

    Raises ``DataError`` for pixels that would be clipped, or too many. For a damaged file it raises
    whatever Pillow raises.
    """
    from PIL import Image, ImageOps

    if Path(path).stat().st_size == 0:
        raise DataError("the file is empty")
    with _opened(path) as image:
        if image.mode.startswith(("I", "F")):
            # Pillow would clip such pixels to 255, most often to plain white.
            raise DataError(f"pixels of mode {image.mode}, convert the image to 8 bits a channel")
        frames = _has_frames(image)
        image.load()
        oriented = image.getexif().get(_ORIENTATION, 1) in range(2, 9)
        picture: Image.Image = ImageOps.exif_transpose(image) if orientation == "applied" else image
        transparent = _is_transparent(picture)
        if transparent and transparency != "ignored":
            background = Image.new("RGBA", picture.size, transparency)
            picture = Image.alpha_composite(background, picture.convert("RGBA"))
        square = ImageOps.fit(picture.convert("RGB"), (size, size), Image.Resampling.BICUBIC)
    return np.asarray(square).transpose(2, 0, 1), Remarks(transparent, oriented, frames)


def is_picture(path: str) -> bool:
    """Whether a file is a picture by the first bytes of its content."""
    try:
        with _opened(path):
            return True
    except DataError:  # it is too large
        return True
    except Exception:  # headers of other files raise errors of many kinds
        return False


def _opened(path: str) -> Any:
    """A picture that is not decoded yet. ``DataError`` for one that would fill the memory."""
    from PIL import Image

    try:
        return Image.open(path, formats=tuple(FORMATS) if suffix(path) else MARKED)
    except Image.DecompressionBombError as error:
        size = 2 * Image.MAX_IMAGE_PIXELS
        raise DataError(f"it claims more than {size:,} pixels: shrink it") from error


def _is_transparent(image: Any) -> bool:
    if not image.has_transparency_data:
        return False
    return image.convert("RGBA").getchannel("A").getextrema()[0] < 255


def _has_frames(image: Any) -> bool:
    """Whether the file holds further pictures. A camera's (MPO) are previews, and do not count."""
    try:
        return image.format != "MPO" and getattr(image, "n_frames", 1) > 1
    except Exception:  # damage behind the first picture, which may be intact
        return False
