"""Pages of tables for the report, and what is told of a study."""

from __future__ import annotations

import csv
import io
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laq.analysis.claims import verdicts
from laq.reporting import pages
from laq.utils import environment
from laq.utils.errors import DataError


class Cells(HTMLParser):
    """The cells of a page's tables, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.open = True

    def handle_endtag(self, tag: str) -> None:
        self.open = self.open and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.open:
            self.rows[-1][-1] += data


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12).filter(
    lambda text: not pages._is_number(text)
)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=5))
def test_a_page_holds_every_cell_whatever_is_in_it(rows: list[tuple[str, str]]) -> None:
    page = pages.page("t", pages.table([{"a": a, "b": b} for a, b in rows]))
    assert Cells(page).rows == [["a", "b"], *([a, b] for a, b in rows)]


CURVE = {"setting": "net", "empty": "", "scope": "all", "mean": "0.5", "p": "0.00004"}


def test_a_sheet_begins_with_what_matters_and_says_once_what_is_the_same() -> None:
    rows = [
        {**CURVE, "scope": scope, "p": p} for scope, p in (("a", "0.5"), ("b", "0.04"), ("c", ""))
    ]
    page = pages.sheet(rows, ("p", "setting", "scope", "nowhere"))
    assert Cells(page).rows == [["p", "scope"], ["0.50", "a"], ["0.0400", "b"], ["", "c"]]
    above = page.split("<table", 1)[0]
    assert "<code>setting</code> net; <code>mean</code> 0.5000" in above
    assert "Empty in every row: <code>empty</code>" in above


@given(st.lists(st.fixed_dictionaries({"a": words, "b": words, "c": words}), max_size=5))
def test_a_sheet_loses_no_value(rows: list[dict[str, str]]) -> None:
    page = pages.sheet(rows, ("c",))
    above, *below = page.split("<table", 1)
    cells = Cells("<table" + below[0]).rows if below else []
    for row, shown in zip(rows, cells[1:], strict=True):
        for name, value in row.items():
            assert value in shown or not value or escape(value) in above, name


def test_the_columns_that_come_first_are_columns_of_the_tables() -> None:
    assert set(pages.FIRST["sensitivity"].split()) <= {*verdicts.COLUMNS, "verdict", "changed"}
    assert pages.FIRST["claims"].split()[:4] == ["setting", "claim", "verdict", "effect"]


def test_a_torn_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(DataError, match=r"t\.csv has rows of different length"):
        pages.read_rows(tmp_path / "t.csv")


@given(st.lists(st.fixed_dictionaries({"a": words, "b": words}), max_size=4))
def test_rows_are_read_as_they_were_written(rows: list[dict[str, str]]) -> None:
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, ["a", "b"])
    writer.writeheader()
    writer.writerows(rows)
    assert pages.parse_rows(written.getvalue(), "t.csv") == rows


def test_provenance_is_told_whole() -> None:
    config = {"study": "<x>", "seed": 3, "variants": {"quant": {"repeats": 2}, "ft": {}}}
    seeds = environment.seeds(config)
    assert seeds == {"seed of the study": 3, "times that quant is made for each subset": 2}
    git = {"commit": "abc", "changed": True}
    content = {
        "sources": {"digest": "0f", "git": git},
        "outside": {"logs": [{"name": "a<b.csv", "bytes": 7, "sha256": "ff"}]},
        "seeds": seeds,
        "threads": environment.threads({"threads": 2}),
        "versions": environment.versions(),
        "machine": {"processor": "x86_64"},
        "config": config,
    }
    page = pages.provenance(content)
    assert "study: &lt;x&gt;" in page and "name: a&lt;b.csv" in page and "x86_64" in page
    cells = Cells(page).rows
    assert ["commit", "abc"] in cells and ["tracked files", "differ from it"] in cells
    assert ["training, features", "2"] in cells and ["all else", "1"] in cells
    bare = pages.provenance({**content, "sources": {"digest": "0f", "git": None}})
    assert "the sources are no git checkout" in bare
    assert ["seed of the study", "3"] in cells
    assert next(row[1] for row in cells if row[0] == "snakemake").startswith("9.")


def test_a_replay_has_a_seed_and_no_variants() -> None:
    assert environment.threads({"seed": 5}) == {"all else": 1}
    assert environment.seeds({"seed": 5}) == {"seed of the study": 5}
