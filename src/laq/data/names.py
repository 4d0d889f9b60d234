"""Names of class folders: their Unicode form, and the order of the classes.

A letter such as ä may be one character (NFC) or two (NFD, as macOS writes names of files). Class
names are NFC throughout, so that folders of either form and the config's names are the same class.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from laq.utils.errors import DataError


def composed(name: str) -> str:
    """The name in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", name)


def natural_key(name: str) -> list[Any]:
    """The key by which timm sorts class folders (``timm.utils.natural_key``).

    Numbers are sorted by value, letters without regard to capitals.
    """
    tokens = re.split(r"(\d+)", name.lower())
    return [int(token) if index % 2 else token for index, token in enumerate(tokens)]


# torchvision's ImageFolder sorts by code points.
ORDERS = {"alphabetical": lambda name: name, "natural": natural_key}


def in_order(names: Iterable[str], order: str) -> list[str]:
    """Names of folders as the disk has them, sorted; ``order``: one of ``ORDERS``."""
    # Two names may have one natural key: Cat and cat.
    return sorted(names, key=lambda name: (ORDERS[order](name), name))


def check_folders(names: Iterable[str], where: str) -> None:
    """Raise ``DataError`` for names of folders that are no text, or that are the same class."""
    groups = defaultdict(list)
    for name in names:
        groups[composed(name)].append(name)
    if unreadable := [shown(name) for name in groups if not _is_text(name)]:
        raise DataError(
            f"names of class folders in {where} are not UTF-8: {', '.join(unreadable)}; "
            "rename them, or convert all of them, such as with convmv -f latin1 -t utf8"
        )
    for name, spellings in groups.items():
        if len(spellings) > 1:
            raise DataError(
                f"{where} holds {len(spellings)} folders called {name!r}, whose letters are "
                "composed in one and decomposed in the other (Unicode NFC, NFD): merge them"
            )


def shown(name: str) -> str:
    """A file's name that can be printed and encoded. Bytes that are no text are escaped."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
