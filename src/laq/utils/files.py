"""Files that appear whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import unicodedata
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laq.utils import disks
from laq.utils.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

AGAIN = "delete it and run again"


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with ``~`` expanded, or unchanged where there is no such user.

    Letters such as ä are taken composed or decomposed (NFC, NFD), as the disk has them.
    """
    try:
        target = Path(path).expanduser()
    except RuntimeError:
        target = Path(path)
    if str(target).isascii():
        return target
    forms = (Path(unicodedata.normalize(form, str(target))) for form in ("NFC", "NFD"))
    return next((candidate for candidate in (target, *forms) if _exists(candidate)), target)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # the system does not allow such a name
        return False


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether the path is a file that can be reached. A name that no system allows is none."""
    try:
        return expanded(path).is_file()
    except (OSError, ValueError):
        return False


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path near ``path``; move it into place if the block succeeds.

    It has the name of ``path`` in a hidden folder beside it. The move is therefore one rename,
    writers that look at the suffix work, and what they put beside their file goes with the folder.
    When the block raises, the folder is removed and ``path`` is left as it was. What a killed
    process left is removed by the next one that writes ``path``.

    File and folder are flushed to the disk before and after the move. After a power cut, too,
    ``path`` is the old file or the new one, complete.

    Raises:
        StorageError: the disk does not take the file.
    """
    target = Path(path)
    with disks.writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with disks.writing(target), disks.folder(target.parent, f".{target.name}") as folder:
        temporary = folder / target.name
        yield temporary
        # Some writers make private files; artifacts are ordinary ones.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        _flush(temporary)
        temporary.replace(target)
        _flush(target.parent)


def remove(path: str | os.PathLike[str]) -> None:
    """Remove ``path``, if it is there, and what killed writers of it left."""
    target = Path(path)
    target.unlink(missing_ok=True)
    disks.sweep(target.parent, f".{target.name}")


def _flush(path: Path) -> None:
    """Flush a file's content, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network disks cannot flush folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(handle)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write ``content`` as indented JSON with sorted keys, atomically."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file; raise ``DataError`` that names it if it is missing or does not parse."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: run the rule that makes it") from error
    except (ValueError, RecursionError, OSError) as error:
        disks.check_reading(error, path)
        raise DataError(f"{path} is not valid JSON ({error}): {AGAIN}") from error


def write_csv(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    """Write ``table`` as CSV without its index, atomically.

    Floats are written with 10 significant digits: enough for every rate and distance
    here, few enough that the last bits of a sum do not show.
    """
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.10g", lineterminator="\n")


def write_rows(path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys as ``write_csv`` would, without the import of pandas (0.4 s a job).

    None and NaN become empty cells.
    """
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.10g}"


def write_parquet(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    """Write ``table`` as Parquet with its index and checksums of its pages, atomically."""
    with atomic(path) as temporary:
        table.to_parquet(temporary, engine="pyarrow", compression="zstd", write_page_checksum=True)


def read_table(
    path: str | os.PathLike[str],
    columns: Sequence[str] | None = None,
    unsaid: Container[str] = (),
) -> pd.DataFrame:
    """Read a CSV or Parquet table, checking that it has ``columns`` and what they hold.

    ``unsaid``: those of ``columns`` that may be empty in this table, though not in others.

    Raises:
        DataError: the file is of neither kind, does not parse, has no rows, lacks a column, or a
            cell of ``columns`` holds what ``laq.utils.columns`` does not allow.
    """
    import pandas as pd

    from laq.utils.columns import check

    try:
        if Path(path).suffix == ".parquet":
            table = pd.read_parquet(path, page_checksum_verification=True)
        else:
            # Only an empty cell counts as missing: a variant may be called nan, or inf.
            ids = dict.fromkeys(["setting", "network", "subset", "variant", "scope", "layer"], str)
            text = io.StringIO(_whole_text(path))
            table = pd.read_csv(text, keep_default_na=False, na_values=[""], dtype=ids)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: run the rule that makes it") from error
    # Damaged Parquet raises many kinds: pyarrow's own, ValueError, OSError, KeyError, …
    except Exception as error:
        disks.check_reading(error, path)
        raise DataError(f"{path} is not a readable table ({error}): {AGAIN}") from error
    if missing := [name for name in columns or () if name not in table.columns]:
        raise DataError(
            f"{path} lacks the column {', '.join(missing)} (it has "
            f"{', '.join(map(str, table.columns))}): {AGAIN}"
        )
    if not len(table):
        raise DataError(f"{path} has no rows: {AGAIN}")
    check(path, table, columns or (), unsaid)
    return table


def _whole_text(path: str | os.PathLike[str]) -> str:
    """A CSV file's text. Raises ``ValueError`` where it is cut short, or rows are of other length.

    pandas would pad a short row, and take the first cell of long rows for an index.
    """
    text = Path(path).read_text(encoding="utf-8")
    if not text.endswith("\n"):
        raise ValueError("its last line is cut short")
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        raise ValueError(f"it has more than one column {', '.join(repeated)}")
    for number, row in enumerate(rows, 1):
        if row and len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells, the header {len(header)}")
    return text
