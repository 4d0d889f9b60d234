"""Which files are images by their names: those that Pillow decodes, and those without a suffix.

Nothing is opened here: the workflow asks at every plan. The table is our own and not Pillow's
registry, so that the same folder is the same data set whatever plug-ins are installed, and so that
planning need not import Pillow.
"""

from __future__ import annotations

import re

# Pillow's formats and their suffixes, without those that it hands to other programs (EPS, WMF,
# GRIB, BUFR, HDF5), only recognises (MPEG) or only writes (PDF, PALM). The order is that in which
# a file's content is tried: TGA has no mark to know it by.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "QOI": (".qoi",),
    "PSD": (".psd",),
    "ICO": (".ico",),
    "ICNS": (".icns",),
    "BLP": (".blp",),
    "CUR": (".cur",),
    "DCX": (".dcx",),
    "DDS": (".dds",),
    "DIB": (".dib",),
    "FITS": (".fit", ".fits"),
    "FLI": (".fli", ".flc"),
    "FTEX": (".ftc", ".ftu"),
    "GBR": (".gbr",),
    "IM": (".im",),
    "IPTC": (".iim",),
    "MSP": (".msp",),
    "PCD": (".pcd",),
    "PCX": (".pcx",),
    "PIXAR": (".pxr",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "SUN": (".ras",),
    "XBM": (".xbm",),
    "XPM": (".xpm",),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
}
# Formats that a file without a suffix may have: each begins with a mark that no text has.
MARKED = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "JPEG2000", "TIFF", "BMP", "PPM", "QOI", "PSD")

SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)


_SUFFIX = re.compile(r"\.\w*[^\W\d_]\w*")


def suffix(name: str) -> str:
    """The suffix of a file's name in lower case, such as ``.jpg``; "" where it has none.

    What follows the last dot is one where it is a word with a letter in it: not in
    ``at 10.15.32``, ``photo.jpg.1`` or ``photo.jpg?width=100``.
    """
    ending = f".{name.rpartition('.')[2].lower()}" if "." in name else ""
    return ending if ending in SUFFIXES or _SUFFIX.fullmatch(ending) else ""


def may_be_image(name: str) -> bool:
    """Whether a file's name is an image's, or leaves it to the content."""
    ending = suffix(name)
    return not ending or ending in SUFFIXES
