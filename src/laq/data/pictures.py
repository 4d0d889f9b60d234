"""One picture of a user's own: opened, brought to its size, and what was passed over on the way.

Pixels are those that torchvision's ImageFolder hands to a training, so that a network which was
trained there sees the same here: colours without their transparency, as the file stores them and
not as the camera was held. ``transparency`` and ``orientation`` say otherwise.
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
    ``white`` and ``black`` lay the picture on such paper. orientation: ``ignored`` or ``applied``,
    what EXIF says.

    Raises ``DataError`` for pixels that would be clipped, or too many; of a damaged file whatever
    Pillow raises.
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
        seen: Image.Image = ImageOps.exif_transpose(image) if orientation == "applied" else image
        transparent = _is_transparent(seen)
        if transparent and transparency != "ignored":
            paper = Image.new("RGBA", seen.size, transparency)
            seen = Image.alpha_composite(paper, seen.convert("RGBA"))
        square = ImageOps.fit(seen.convert("RGB"), (size, size), Image.Resampling.BICUBIC)
    return np.asarray(square).transpose(2, 0, 1), Remarks(transparent, oriented, frames)


def is_picture(path: str) -> bool:
    """Whether a file is a picture by the first bytes of its content."""
    try:
        with _opened(path):
            return True
    except DataError:  # too large a one
        return True
    except Exception:  # headers of what is none raise of many kinds
        return False


def _opened(path: str) -> Any:
    """A picture that is not decoded yet; ``DataError`` for one that would fill the memory."""
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
    """Whether the file holds further pictures; those of a camera's (MPO) are previews."""
    try:
        return image.format != "MPO" and getattr(image, "n_frames", 1) > 1
    except Exception:  # damage behind the first picture, which may be whole
        return False
