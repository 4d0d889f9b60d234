"""Pages of tables for the report, and what is told of a study."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laq import pages, software
from laq.errors import DataError

CLAIM = {
    "setting": "net",
    "claim": "ft_best",
    "statement": "A < B & C",
    "region": "within 0.01",
    "effect": "-0.0123",
    "low": "-0.02",
    "high": "0.004",
    "n": "12",
    "p_holm": "0.00004",
    "p_against_holm": "",
    "verdict": "not reproduced",
    "remark": "",
}


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


def test_numbers_are_short_and_to_the_right() -> None:
    page = pages.table([{"x": "0.123456789", "n": "123456", "name": "-"}])
    assert Cells(page).rows[1] == ["0.1235", "123456", "-"]
    assert page.count('class="number"') == 4  # two columns, with their heads


@pytest.mark.parametrize(
    ("value", "text"),
    [("-1.5e-7", "−1.5e−07"), ("12", "12"), ("-12", "-12"), ("", ""), ("nan", "nan"), ("q3", "q3")],
)
def test_values_are_shortened_only_where_they_are_decimals(value: str, text: str) -> None:
    assert pages.short(value) == text


def test_rows_that_changed_stand_out() -> None:
    page = pages.table([{"a": "x", "changed": "True"}, {"a": "y", "changed": "False"}])
    assert page.count('class="changed"') == 1


def test_a_long_table_says_how_much_is_left_out() -> None:
    page = pages.table([{"a": str(i)} for i in range(pages.MOST_ROWS + 5)])
    assert f"first {pages.MOST_ROWS:,} of {pages.MOST_ROWS + 5:,} rows" in page
    assert len(Cells(page).rows) == 1 + pages.MOST_ROWS
    assert "No rows" in pages.table([])


def test_verdicts_are_told_in_points_with_interval_and_p() -> None:
    other = {**CLAIM, "verdict": "inconclusive", "effect": "", "low": "", "high": "", "n": "0"}
    page = pages.verdicts([CLAIM, {**other, "remark": "nothing plays the part of FT"}])
    _, first, second, remark = Cells(page).rows
    assert first == [
        "1",
        "A < B & C",
        "within 1",
        "−1.2 [−2.0, +0.4]",
        "< 0.001",
        "–",
        "12",
        "not reproduced",
    ]
    assert second[3] == "–" and second[-1] == "inconclusive"
    assert remark == ["", "nothing plays the part of FT"]
    assert "of 2 conclusions 0 reproduced, 1 not reproduced, 1 inconclusive" in page


def test_zero_has_no_minus() -> None:
    row = {"effect": "-0.00001", "low": "-0.0004", "high": "0.001"}
    assert pages.effect(row) == "+0.0 [+0.0, +0.1]"


def test_every_setting_has_verdicts_of_its_own() -> None:
    page = pages.verdicts([CLAIM, {**CLAIM, "setting": "other", "verdict": "reproduced"}])
    assert page.count("<table>") == 2
    assert "<b>other</b>: of 1 conclusions 1 reproduced" in page


def test_a_verdict_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="'maybe' is no verdict"):
        pages.verdicts([{**CLAIM, "verdict": "maybe"}])


@pytest.mark.parametrize(
    ("region", "text"),
    [("> 0", "> 0"), ("within 0.01", "within 1"), ("0 to 0.05", "0 to 5"), ("< -0.005", "< -0.5")],
)
def test_regions_are_told_in_points(region: str, text: str) -> None:
    assert pages.points(region) == text


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


def test_a_study_is_described_with_config_versions_and_seeds() -> None:
    config = {"study": "<x>", "seed": 3, "variants": {"quant": {"repeats": 2}, "ft": {}}}
    seeds = software.seeds(config)
    assert seeds == {"seed of the study": 3, "quant, repeats": 2}
    page = pages.description({"config": config, "versions": software.versions(), "seeds": seeds})
    assert "study: &lt;x&gt;" in page
    cells = Cells(page).rows
    assert ["seed of the study", "3"] in cells
    assert next(row[1] for row in cells if row[0] == "snakemake").startswith("9.")


def test_a_replay_has_a_seed_and_no_variants() -> None:
    assert software.seeds({"seed": 5}) == {"seed of the study": 5}
