"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laq.utils import disks
from laq.utils.errors import DataError, StorageError
from laq.utils.files import (
    atomic,
    read_json,
    read_table,
    remove,
    write_csv,
    write_json,
    write_parquet,
    write_rows,
    write_text,
)

LIBRARY = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture
def umask() -> Iterator[None]:
    """An umask that is not everyone's."""
    before = os.umask(0o027)
    yield
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# atomic


def test_file_appears_under_its_name_alone(tmp_path: Path) -> None:
    with atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "a.txt").exists()
        assert temporary.stat().st_dev == tmp_path.stat().st_dev
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "new"


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("half of the ne")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


WRITER = """
import os, signal, sys
from laq.utils.files import atomic
with atomic(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print(flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    input()
"""


def writer(path: Path, end: str) -> subprocess.Popen[str]:
    """A process in the midst of writing ``path``."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, path, end],
        env={"PYTHONPATH": str(LIBRARY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    return process


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    writer(tmp_path / "a.txt", "killed").wait()
    assert len(names(tmp_path)) == 1 and not (tmp_path / "a.txt").exists()
    write_text(tmp_path / "other.txt", "")
    assert len(names(tmp_path)) == 2
    write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == ["a.txt", "other.txt"]


def test_what_another_process_is_writing_is_left_to_it(tmp_path: Path) -> None:
    other = writer(tmp_path / "a.txt", "goes on")
    remove(tmp_path / "a.txt")
    write_text(tmp_path / "a.txt", "ours")
    other.communicate("\n")
    assert other.returncode == 0
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "half"


def test_a_power_cut_finds_the_content_on_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    fsync, replace = os.fsync, Path.replace

    def flushed(handle: int) -> None:
        done.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    def moved(one: Path, other: Path) -> None:
        done.append("moved")
        replace(one, other)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", moved)
    with atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert done == [str(temporary), "moved", str(tmp_path)]


# Disks that do not take a file


@pytest.mark.parametrize("code", sorted(disks.REMEDIES | disks.IN_THE_WAY), ids=errno.errorcode.get)
def test_each_error_of_a_disk_has_its_remedy(tmp_path: Path, code: int) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(StorageError) as caught, atomic(path) as temporary:
        temporary.write_text("half")
        raise OSError(code, os.strerror(code))
    assert str(caught.value).startswith(f"{path} cannot be written ({os.strerror(code)}")
    assert (disks.REMEDIES | disks.IN_THE_WAY)[code] in str(caught.value) and "run again" in str(
        caught.value
    )
    assert names(tmp_path) == ["a.txt"] and path.read_text() == "old"


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    with atomic(tmp_path / "a.txt") as first, atomic(tmp_path / "a.txt") as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a.txt").read_text() == "first"  # its block ended last


def test_permissions_follow_the_umask(tmp_path: Path, umask: None) -> None:
    write_text(tmp_path / "a.txt", "")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640
    assert os.umask(0o027) == 0o027  # left as it was


# JSON


def test_json_comes_back_and_is_canonical(tmp_path: Path) -> None:
    path, content = tmp_path / "a.json", {"b": [1, 2.5, None], "a": {"ω": "größe", "c": True}}
    write_json(path, content)
    assert read_json(path) == content
    text = path.read_text()
    assert text.index('"a"') < text.index('"b"')
    assert text.endswith("}\n")
    assert "größe" in text
    write_json(tmp_path / "b.json", dict(reversed(content.items())))
    assert (tmp_path / "b.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe", b"{'a': 1}"])
def test_damaged_json_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.json is not valid JSON.*delete it and run again"):
        read_json(path)


# Tables

TABLE = pd.DataFrame({"name": ["a", "b,c"], "count": [1, 2], "rate": [0.1, 2 / 3]})


def test_csv_bytes(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", TABLE)
    expected = b'name,count,rate\na,1,0.1\n"b,c",2,0.6666666667\n'
    assert (tmp_path / "a.csv").read_bytes() == expected


def test_last_bits_of_a_sum_do_not_show(tmp_path: Path) -> None:
    for name, value in [("a.csv", 0.1 + 0.2), ("b.csv", 0.3)]:
        write_csv(tmp_path / name, pd.DataFrame({"x": [value]}))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_parquet_comes_back_with_its_index(tmp_path: Path) -> None:
    table = pd.DataFrame([[0.0, 2.0], [2.0, 0.0]], index=["a", "b"], columns=["a", "b"])
    write_parquet(tmp_path / "a.parquet", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "a.parquet", ["a", "b"]), table)


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    for writer, name in [(write_csv, "a.csv"), (write_parquet, "a.parquet")]:
        writer(tmp_path / name, TABLE)
        first = (tmp_path / name).read_bytes()
        writer(tmp_path / name, TABLE.copy())
        assert (tmp_path / name).read_bytes() == first


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
@pytest.mark.parametrize("content", [b"", b"PAR1\x00\x01", b'x,y\n1,"2\n', b"\xff\xfe\x00"])
def test_damaged_tables_are_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name} .*(not a readable table|lacks the column)"):
        read_table(tmp_path / name, ["top1"])


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_truncated_and_missing_tables_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(DataError, match=f"{name} does not exist: run the rule that makes it"):
        read_table(path)
    write_parquet(path, TABLE)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=f"{name} .*delete it"):
        read_table(path, ["name"])


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=8)
ROW = st.tuples(st.floats() | st.none(), st.integers(-(2**40), 2**40), TEXT, st.booleans())


@settings(deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=4))
def test_rows_are_written_as_pandas_writes_them(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    table = pd.DataFrame(rows, columns=list("abcd")).astype({"a": float})
    write_csv(folder / "pandas.csv", table)
    write_rows(folder / "rows.csv", [dict(zip("abcd", row, strict=True)) for row in rows])
    assert (folder / "rows.csv").read_bytes() == (folder / "pandas.csv").read_bytes()
