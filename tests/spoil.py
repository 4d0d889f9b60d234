"""Ways to spoil a file: each is ``change(path)`` and puts another file in its place."""

from __future__ import annotations

import csv
import io
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Change = Callable[[Path], None]


def replace(path: Path, content: bytes) -> None:
    """Write a new file: the old one may have other names, which are to stay as they are."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    replace(path, b"")


def half(path: Path) -> None:
    content = path.read_bytes()
    replace(path, content[: len(content) // 2])


def last_line(path: Path) -> None:
    """The last line is lost, and nothing of the one before it."""
    replace(path, b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def content(new: bytes | str) -> Change:
    return lambda path: replace(path, new.encode() if isinstance(new, str) else new)


def copy_of(other: str) -> Change:
    """In place of the file another one of the same folder, or of one near by."""

    def change(path: Path) -> None:
        path.unlink()
        shutil.copyfile(path.parent / other, path)

    return change


def flip(place: float) -> Change:
    """One bit, at a share of the file's length, is another."""

    def change(path: Path) -> None:
        whole = bytearray(path.read_bytes())
        whole[int(place * (len(whole) - 1))] ^= 1
        replace(path, bytes(whole))

    return change


class _Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, (self.target,)


def program(path: Path) -> None:
    """A pickle that would run something."""
    replace(path, pickle.dumps({"weight": _Trap(str(path.with_name("ran")))}))


# Tables.


def rows(edit: Callable[[list[list[str]]], Any]) -> Change:
    """A CSV file after ``edit`` of its rows, header first, in place."""

    def change(path: Path) -> None:
        table = list(csv.reader(io.StringIO(path.read_text(), newline="")))
        edit(table)
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(table)
        replace(path, text.getvalue().encode())

    return change


def cell(column: str, value: str, row: int = 1) -> Change:
    def edit(table: list[list[str]]) -> None:
        table[row][table[0].index(column)] = value

    return rows(edit)


def without(column: str) -> Change:
    def edit(table: list[list[str]]) -> None:
        place = table[0].index(column)
        for row in table:
            del row[place]

    return rows(edit)


def twice(table: list[list[str]]) -> None:
    """The second row again at the end."""
    table.append(table[2])


def frame(edit: Callable[[Any], Any]) -> Change:
    """A Parquet table after ``edit``, which returns a data frame."""

    def change(path: Path) -> None:
        import pandas as pd

        table = edit(pd.read_parquet(path))
        path.unlink()
        table.to_parquet(path)

    return change


def at(table: Any, row: int, column: str, value: Any) -> Any:
    table = table.copy()
    table.loc[table.index[row], column] = value
    return table


# JSON, npz and checkpoints.


def parsed(edit: Callable[[Any], Any]) -> Change:
    """A JSON file after ``edit``; what it returns takes the content's place, unless it is None."""

    def change(path: Path) -> None:
        found = json.loads(path.read_text())
        result = edit(found)
        replace(path, json.dumps(found if result is None else result).encode())

    return change


def put(**values: Any) -> Change:
    return parsed(lambda found: found.update(values))


def arrays(edit: Callable[[dict[str, np.ndarray]], Any], compressed: bool = False) -> Change:
    """An npz file after ``edit`` of its arrays, in place."""

    def change(path: Path) -> None:
        with np.load(path, allow_pickle=False) as archive:
            found = dict(archive)
        edit(found)
        path.unlink()
        save = np.savez_compressed if compressed else np.savez
        with path.open("wb") as file:
            save(file, **found)

    return change


def checkpoint(edit: Callable[[dict[str, Any], dict[str, Any]], Any]) -> Change:
    """A checkpoint after ``edit`` of its tensors and metadata, with a digest that is right."""

    def change(path: Path) -> None:
        from safetensors import safe_open
        from safetensors.torch import save_file

        from laq.checkpoints import packing

        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            described = json.loads(file.metadata()["laq"])
        edit(tensors, described)
        described["digest"] = packing._digest(described, tensors)
        path.unlink()
        save_file(tensors, path, metadata={"laq": json.dumps(described)})

    return change


def tensor(name: str, edit: Callable[[Any], Any]) -> Change:
    def change(tensors: dict[str, Any], _: dict[str, Any]) -> None:
        tensors[name] = edit(tensors[name].clone())

    return checkpoint(change)


def said(**values: Any) -> Change:
    return checkpoint(lambda _, described: described.update(values))
