"""Progress of long loops on the terminal, where tqdm is installed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

try:
    from tqdm import tqdm
except ModuleNotFoundError:  # a program that only quantizes a network may lack it

    def tqdm(iterable: Iterable[Any], **options: Any) -> Iterable[Any]:
        return iterable
