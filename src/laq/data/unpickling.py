"""Plain data and NumPy arrays out of a pickle, which may otherwise run any program.

For data sets that are published as pickles. This module lists what a pickle may name. Another name
is refused before it is imported.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from laq.utils.errors import DataError

_Maker = Callable[..., Any]


def _encode(text: str, encoding: str) -> bytes:
    """The function that protocol 2 names for bytes written by Python 3."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _arrays() -> dict[tuple[str, str], _Maker]:
    """The names in pickled arrays, under NumPy 1 and 2: ``_frombuffer`` from protocol 5 on."""
    makers: dict[tuple[str, str], _Maker] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _encode,
    }
    reconstruct = np.empty(0).__reduce__()[0]
    frombuffer = np.empty(1).__reduce_ex__(5)[0]
    for package in ("numpy.core", "numpy._core"):
        makers[f"{package}.multiarray", "_reconstruct"] = reconstruct
        makers[f"{package}.numeric", "_frombuffer"] = frombuffer
    return makers


class _Unpickler(pickle.Unpickler):
    _known = _arrays()

    def find_class(self, module: str, name: str) -> _Maker:
        if (module, name) not in self._known:
            raise DataError(
                f"its pickle names {module}.{name}, which no such data set needs: nothing of it "
                "was run; take a file from a source you trust"
            )
        return self._known[module, name]


def unpickle(content: bytes) -> Any:
    """The content of a pickle of arrays, text, bytes, numbers, lists, tuples and mappings.

    Text written by Python 2 is read as Latin-1, as its arrays need.

    Raises:
        DataError: it names anything else, or is no pickle.
    """
    try:
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except DataError:
        raise
    # Damaged pickles raise nearly anything: KeyError, struct.error, UnicodeDecodeError, …
    except Exception as error:
        raise DataError(f"it is no readable pickle ({error})") from error
