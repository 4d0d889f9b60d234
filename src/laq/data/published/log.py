"""One published log: a CSV file with a row a subset, checked cell by cell."""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from laq.utils.errors import DataError

# Parsers of one cell of a published log: a list, a distance, a rate.
#
# Each function raises a ``ValueError`` that says what is wrong and what to do. The reader adds
# file, line and column.


_Item = TypeVar("_Item", int, str)

# How numpy writes what Python writes as [1, 2]: [1 2], array([1, 2]), [np.int64(1), np.int64(2)].
_ARRAY = re.compile(r"[A-Za-z_][\w.]*\((.*?)(?:,\s*dtype=[^()]*)?\)", re.DOTALL)
_SCALAR = re.compile(r"\b[A-Za-z_][\w.]*\(([^()]*)\)")
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_WHOLE = re.compile(r"\d+(?:\.0*)?")


def indices(text: str) -> tuple[int, ...]:
    """Class indices, with or without commas between them, over several lines or not."""
    tokens = _items(_SCALAR.sub(r"\1", _inside(text)))
    for token in tokens:
        if not _WHOLE.fullmatch(token):
            raise ValueError(
                f"{_show(token)} is no class index; write whole numbers, as in [96, 33]"
            )
    return _distinct(tuple(int(token.split(".")[0]) for token in tokens))


def names(text: str) -> tuple[str, ...]:
    """Class names, quoted or not, with or without commas between them.

    Names without quotes that hold blanks need the commas.
    """
    body = _inside(text)
    if not _QUOTED.search(body):
        return _distinct(tuple(_items(body)))
    remainder = _SCALAR.sub(r"\1", _QUOTED.sub("", body))
    if remainder := re.sub(r"[\s,]", "", remainder):
        raise ValueError(
            f"{_show(remainder)} stands outside the quotes; write names as in ['sea', 'road']"
        )
    matches = (single or double for single, double in _QUOTED.findall(body))
    return _distinct(tuple(re.sub(r"\\(.)", r"\1", name) for name in matches))


def distance(text: str) -> float:
    """A distance between classes: above 0, since curves are fitted to its logarithm."""
    value = _number(text)
    if value <= 0:
        raise ValueError(f"{text} must be above 0, it has no logarithm; correct or remove the row")
    return value


def rate(text: str) -> float:
    """A share of images, from 0 to 1."""
    value = _number(text)
    if 1 < value <= 100:
        raise ValueError(f"{text} is above 1; if the log is in percent, divide its rates by 100")
    if not 0 <= value <= 1:
        raise ValueError(f"{text} is no share of images; it must lie between 0 and 1")
    return value


def _number(text: str) -> float:
    if not text:
        raise ValueError("the cell is empty; fill it in or remove the row")
    try:
        value = float(text)
    except ValueError:
        hint = ", with a decimal point" if re.fullmatch(r"-?\d+,\d+", text) else ""
        hint = ", as a share from 0 to 1" if text.rstrip().endswith("%") else hint
        raise ValueError(f"{_show(text)} is no number; write one{hint}") from None
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number; fill it in or remove the row")
    return value


def _items(inside: str) -> list[str]:
    """The items between commas, or between blanks without commas. A comma may close the list."""
    if "," not in inside:
        return inside.split()
    items = [item.strip() for item in inside.split(",")]
    items = items[:-1] if not items[-1] else items
    if "" in items:
        raise ValueError("between two commas stands nothing; write lists as in [96, 33]")
    return items


def _inside(text: str) -> str:
    """A list's text without its brackets. They are optional, but half a pair is an error."""
    text = text.strip()
    if array := _ARRAY.fullmatch(text):
        text = array[1].strip()
    for opened, closed in ("[]", "()", "{}"):
        if text.startswith(opened) != text.endswith(closed):
            raise ValueError(f"{_show(text)} is cut short; a list has both {opened} and {closed}")
        if text.startswith(opened):
            return text[1:-1].strip()
    return text


def _distinct(items: tuple[_Item, ...]) -> tuple[_Item, ...]:
    repeated = dict.fromkeys(str(item) for item in items if items.count(item) > 1)
    if repeated:
        raise ValueError(f"holds {', '.join(repeated)} more than once; correct or remove the row")
    if len(items) < 2:
        raise ValueError("holds fewer than two classes; there is no distance between them")
    return items


def _show(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


# Variants and scopes by their names in a study, with those in the columns of logs.
VARIANTS = {
    "original": "Original",
    "quant": "Quantized",
    "ft": "Fine-Tuned",
    "ft_quant": "Quant+FT",
}
SCOPES = {"all": "", "subset": " (Pick Sub)"}

INDICES, CLASSES = "Subset_Inds", "Subset_Classes"
DISTANCES = {"median": "Median_KL", "mean": "Avg_KL", "min": "Min_KL", "max": "Max_KL"}


def rate_column(variant: str, scope: str, top: int) -> str:
    """The column of a top-1 or top-5 accuracy."""
    return f"{VARIANTS[variant]} Top{top} Accuracy{SCOPES[scope]}"


TOP1 = tuple(rate_column(variant, scope, 1) for variant in VARIANTS for scope in SCOPES)
TOP5 = tuple(rate_column(variant, scope, 5) for variant in VARIANTS for scope in SCOPES)

# The columns that a replay needs. Others are read where a log has them.
REQUIRED = (INDICES, CLASSES, DISTANCES["median"], *TOP1)

_PARSERS: dict[str, Callable[[str], Any]] = {
    INDICES: indices,
    CLASSES: names,
    **dict.fromkeys(DISTANCES.values(), distance),
    **dict.fromkeys([*TOP1, *TOP5], rate),
}

_FAULTS_SHOWN = 5


@dataclass(frozen=True)
class Row:
    """One row of a log.

    ``number``: its place among the file's rows, ``line``: where it starts in the file, both from 1
    on. ``values``: each column read by its meaning (class indices and names as tuples, distances
    and rates as floats); columns that the log lacks are not in it. ``texts``: all columns as they
    were written.
    """

    number: int
    line: int
    values: Mapping[str, Any]
    texts: Mapping[str, str]


@dataclass(frozen=True)
class Log:
    """A log's rows, without copies of a row; ``copies`` has pairs of lines (copy, first)."""

    path: str
    sha256: str
    rows: tuple[Row, ...]
    copies: tuple[tuple[int, int], ...]


def read_log(path: str | os.PathLike[str]) -> Log:
    """Read a published log.

    Columns are found by name, in any order. Other columns are ignored. Commas, semicolons or tabs
    may separate cells. A byte order mark, any line ends, blank lines and repeated headers are
    allowed. A row that agrees with an earlier one in every column is a copy and is left out. It is
    not another measurement, since four networks on two scopes do not agree to the last digit by
    chance.

    Raises:
        DataError: the file is no such log; names the file, the lines and columns and the remedy.
    """
    content = _content(path)
    records = _records(path, content)
    _, header = next(records, (0, None))
    if header is None:
        raise DataError(f"{path} is empty; give a log with a header and a row a subset")
    _check_header(path, header)
    rows, faults = [], []
    for number, (line, record) in enumerate(records, 1):
        try:
            rows.append(_row(number, line, header, record))
        except ValueError as error:
            faults.append(f"line {line}{error}")
    if faults:
        hidden = len(faults) - _FAULTS_SHOWN
        lines = [*faults[:_FAULTS_SHOWN], *([f"and {hidden} more rows"] if hidden > 0 else [])]
        raise DataError("\n  ".join([f"{path} cannot be read:", *lines]))
    if not rows:
        raise DataError(f"{path} has a header and no rows; give a log with a row a subset")
    unique, copies = _without_copies(rows)
    return Log(str(path), hashlib.sha256(content).hexdigest(), unique, copies)


def _content(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _records(path: str | os.PathLike[str], content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each record, header first, blank records and repeated headers left out."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text; save it as CSV in UTF-8") from error
    lines = io.StringIO(text.lstrip("\r\n"), newline="")
    skipped = len(text.splitlines()) - len(text.lstrip("\r\n").splitlines())
    reader = csv.reader(lines, delimiter=_delimiter(text), strict=True)
    header = None
    while True:
        line = skipped + reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{path}, line {line}: {error}; is a quotation mark missing, or the file cut short?"
            ) from error
        if record is None:
            return
        record = [cell.strip() for cell in record]
        if any(record) and record != header:
            header = header or record
            yield line, record


def _delimiter(text: str) -> str:
    """The separator of the header's cells: the one that gives most columns of a log."""
    header = next(iter(text.lstrip("\r\n").splitlines()), "")

    def known(delimiter: str) -> int:
        return len(_PARSERS.keys() & {cell.strip(' "') for cell in header.split(delimiter)})

    return max(",;\t", key=known)


def _check_header(path: str | os.PathLike[str], header: list[str]) -> None:
    if repeated := sorted({name for name in header if name in _PARSERS and header.count(name) > 1}):
        raise DataError(
            f"{path} has more than one column {', '.join(repeated)}; remove one of each"
        )
    missing = [name for name in REQUIRED if name not in header]
    if not missing:
        return
    if len(missing) == len(REQUIRED):
        text = ", ".join(map(repr, header[:5])) + (", …" if len(header) > 5 else "")
        raise DataError(
            f"{path} is no log of the published format: its first line holds none of the columns "
            f"needed but {text}; needed are {', '.join(REQUIRED)}"
        )
    lines = [f"{path} lacks columns that a replay needs; rename or add them:"]
    lines += [name + like(name, header) for name in missing]
    raise DataError("\n  ".join(lines))


def like(name: str, header: list[str]) -> str:
    """A hint at the column that may be meant by ``name``. Known columns are no candidates."""
    lowercase = {column.lower(): column for column in header if column not in _PARSERS}
    matches = difflib.get_close_matches(name.lower(), lowercase, 1, cutoff=0.7)
    return f" (is it {lowercase[matches[0]]!r}?)" if matches else ""


def _row(number: int, line: int, header: list[str], record: list[str]) -> Row:
    """The record by column. The text of a ``ValueError`` goes on after the number of the line."""
    if len(record) > len(header) and not any(record[len(header) :]):
        record = record[: len(header)]
    if len(record) != len(header):
        raise ValueError(
            f" has {len(record)} cells, the header {len(header)}; "
            "lists must stand in quotation marks, and no row be cut short"
        )
    texts = dict(zip(header, record, strict=True))
    values = {}
    for column, parse in _PARSERS.items():
        # An empty cell is no fault in a column that is not required.
        if column in texts and (texts[column] or column in REQUIRED):
            try:
                values[column] = parse(texts[column])
            except ValueError as error:
                raise ValueError(f", column {column}: {error}") from None
    counts = len(values[INDICES]), len(values[CLASSES])
    if counts[0] != counts[1]:
        raise ValueError(
            f": {counts[0]} classes in {INDICES} and {counts[1]} in {CLASSES}; "
            "correct or remove the row"
        )
    return Row(number, line, values, texts)


def _without_copies(rows: list[Row]) -> tuple[tuple[Row, ...], tuple[tuple[int, int], ...]]:
    unique: dict[Any, Row] = {}
    copies = []
    for row in rows:
        # A column without a name is the row's number, as pandas writes it.
        content = {c: row.values.get(c, _plain(text)) for c, text in row.texts.items() if c}
        earlier = unique.setdefault(tuple(content.items()), row)
        if earlier is not row:
            copies.append((row.line, earlier.line))
    return tuple(unique.values()), tuple(copies)


def _plain(text: str) -> float | str:
    """A text that is a number as that number, so that 2 and 2.0 are alike."""
    try:
        return float(text)
    except ValueError:
        return text
