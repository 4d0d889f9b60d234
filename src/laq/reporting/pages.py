"""HTML pages of tables: what the report shows, where a browser would only offer a CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from laq.analysis.claims import words
from laq.utils.columns import check_rows
from laq.utils.errors import DataError
from laq.utils.files import AGAIN

MOST_ROWS = 2000  # of a page; the CSV file has them all
FEWEST_ROWS = 3  # fewer rows have no list of common values
LONG = 40  # letters; columns of such texts are kept wide enough to read
VERDICTS = {"reproduced": "yes", "not reproduced": "no", "inconclusive": "open"}
TINY = 5e-6  # numbers below are 0 in five decimals
P_VALUES = {"p", "p_holm", "p_against", "p_against_holm", "spearman_p"}

# Columns that matter first, by table: beside its caption a page shows about eight.
FIRST = {
    "claims": "setting claim verdict effect low high n p_holm p_against_holm statement",
    "sensitivity": "setting claim icd repeat verdict changed effect low high p_holm",
    "curves": "setting variant scope mean a c spearman above crossing",
    "differences": "setting variant reference scope difference low high p_holm wins",
    "accuracy": "setting network subset variant repeat scope top1 n",
    "sweep": "network subset bits images classes repeat scope top1 n",
    "conditions": "network hypothesis verdict effect low high top1_all top1_subset p_holm n",
    "similarity": "network subset gram_similarity gram_floor subset_floor gram_distance",
    "predictors": "setting outcome predictor spearman low high p_holm n",
    "replication": "setting variant scope subset published ours low high median_icd published_icd",
    "correlations": "compared setting variant scope spearman low high p_holm n",
    "subsets": "subset median_icd mean_icd kind target duplicate_of",
    "deploy": "network subset variant recommended top1 low high bytes reason",
    "onnx": "network subset variant scope top1 top1_torch differing onnx_bytes packed_bytes",
    "memory": "network subset variant repeat ratio packed_bytes float_bytes",
}

STYLE = """\
<style>
.laq { font: 14px/1.45 system-ui, sans-serif; color: #1e293b; }
.laq table { border-collapse: collapse; margin: 0.6em 0 1.2em; width: auto; font-size: 13px; }
.laq tr { border: none; }
.laq th { text-align: left; border-bottom: 1.5px solid #475569; padding: 0.25em 0.7em; }
.laq td { border-bottom: 1px solid #e2e8f0; padding: 0.25em 0.7em; vertical-align: top; }
.laq .number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.laq .yes, .laq .no, .laq .open { white-space: nowrap; font-weight: 600; }
.laq .yes { color: #00679f; } .laq .no { color: #b04a00; } .laq .open { color: #64748b; }
.laq .remark td { border-bottom: 1px solid #e2e8f0; padding-top: 0; font-size: 12px; }
.laq tr:has(+ .remark) td { border-bottom: none; }
.laq .changed td { background: #fff4e5; }
.laq .whole { white-space: nowrap; }
.laq .long { min-width: 22em; }
.laq .sheet { border-collapse: separate; border-spacing: 0; }
.laq .sheet th { position: sticky; top: 0; background: #fff; z-index: 1; white-space: normal; }
.laq .sheet th, .laq .sheet td { padding: 0.25em 0.4em; }
.laq .sheet th:first-child, .laq .sheet td:first-child { position: sticky; left: 0; }
.laq .sheet th:first-child { z-index: 2; }
.laq .sheet tr:not(.changed) td:first-child { background: #fff; }
.laq .note { color: #475569; } .laq pre { background: #f1f5f9; color: #1e293b; padding: 0.8em; }
</style>
"""


def page(title: str, body: str) -> str:
    """A whole page around ``body``."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n</head>\n"
        f'<body style="margin: 1em">\n{STYLE}<div class="laq">\n<h2>{escape(title)}</h2>\n'
        f"{body}</div>\n</body>\n</html>\n"
    )


def sheet(rows: Sequence[Mapping[str, str]], first: Sequence[str] = ()) -> str:
    """A table of CSV rows whose columns are ordered: those of ``first`` that it has, then the rest.

    Columns with one value in all rows are listed once, above the table.
    """
    constants = _same(rows)
    order = [*(name for name in first if rows and name in rows[0]), *(rows[0] if rows else ())]
    columns = [name for name in dict.fromkeys(order) if name not in constants]
    heads = {name: f"<code>{escape(name)}</code>" for name in constants}
    facts = [
        f"{heads[name]} {escape(_shown(name, value))}" for name, value in constants.items() if value
    ]
    empty = [heads[name] for name, value in constants.items() if not value]
    note = f"In every row: {'; '.join(facts)}. " if facts else ""
    note += f"Empty in every row: {', '.join(empty)}." if empty else ""
    paragraph = f'<p class="note">{note.strip()}</p>\n' if note else ""
    return paragraph + table([{name: row[name] for name in columns} for row in rows])


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """A table of CSV rows: numbers short and to the right, verdicts in colour.

    A row whose column ``changed`` is true stands out.
    """
    if not rows:
        return '<p class="note">No rows.</p>\n'
    kinds = {name: _kind([row[name] for row in rows]) for name in rows[0]}
    # A head may break after an underscore, so that it makes no column wider than its numbers.
    heads = (cell("th", name, kinds[name]).replace("_", "_<wbr>") for name in rows[0])
    head = "".join(heads)
    lines = [f'<table class="sheet">\n<tr>{head}</tr>\n']
    for row in rows[:MOST_ROWS]:
        mark = ' class="changed"' if row.get("changed") == "True" else ""
        cells = "".join(
            cell("td", _shown(name, value), _coloured(name, value) or kinds[name])
            for name, value in row.items()
        )
        lines.append(f"<tr{mark}>{cells}</tr>\n")
    lines.append("</table>\n")
    if len(rows) > MOST_ROWS:
        lines.append(f'<p class="note">The first {MOST_ROWS:,} of {len(rows):,} rows.</p>\n')
    return "".join(lines)


def provenance(content: Mapping[str, Any]) -> str:
    """What ``provenance.json`` says, for people: short facts as tables, the rest as YAML."""
    facts = {
        "Sources": {"digest": content["sources"]["digest"], **_git(content["sources"]["git"])},
        "Seed and repeats": content["seeds"],
        "Threads": content["threads"],
        "Versions": content["versions"],
    }
    texts = {
        "From outside the study": content["outside"],
        "Machine": content["machine"],
        "Config, with all defaults": content["config"],
    }
    sections = "".join(
        f"<h3>{title}</h3>\n{table([{'what': k, 'value': str(v)} for k, v in rows.items()])}"
        for title, rows in facts.items()
    )
    return sections + "".join(
        f"<h3>{title}</h3>\n<pre>{escape(_yaml(value))}</pre>\n" for title, value in texts.items()
    )


def _git(state: Mapping[str, Any] | None) -> dict[str, str]:
    if state is None:
        return {"commit": "unknown: the sources are no git checkout"}
    status = "differ from it" if state["changed"] else "are as in it"
    return {"commit": state["commit"], "tracked files": status}


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=90)


def read_rows(
    path: str | Path, columns: Sequence[str] = (), numbers: Sequence[str] = ()
) -> list[dict[str, str]]:
    """The rows of a CSV file, every value as text.

    Raises:
        DataError: the file is missing or no text, a row has more or fewer cells than the header,
            a column is lacking, or one of ``numbers`` holds something that is no number.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: run the rule that makes it") from error
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} is not a readable table ({error}): {AGAIN}") from error
    if not text.endswith("\n"):
        raise DataError(f"{path} is empty, or its last line is cut short: {AGAIN}")
    rows = parse_rows(text, path)
    header = next(csv.reader(io.StringIO(text)))
    if missing := [name for name in (*columns, *numbers) if name not in header]:
        raise DataError(f"{path} lacks the column {', '.join(missing)}: {AGAIN}")
    check_rows(path, rows, numbers)
    return rows


def parse_rows(text: str, path: str | Path) -> list[dict[str, str]]:
    """The rows of a CSV text; ``path`` is named where they are torn."""
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise DataError(f"{path} is not a readable table ({error}): {AGAIN}") from error
    if any(None in row or None in row.values() for row in rows):
        raise DataError(f"{path} has rows of different length: {AGAIN}")
    return rows


def short(value: str) -> str:
    """A number in four digits, without a power of ten unless it is tiny; other text as it is."""
    if not value or not _is_number(value) or value.lstrip("-").isdigit():
        return value
    magnitude = abs(float(value))
    if not math.isfinite(magnitude) or 0 < magnitude < TINY:
        return f"{float(value):.2g}".replace("-", "−")
    decimals = 3 - math.floor(math.log10(magnitude)) if magnitude else 1
    return f"{float(value):,.{min(max(decimals, 0), 5)}f}".replace("-", "−")


def cell(tag: str, value: str, kind: str = "") -> str:
    """A cell of a table; ``kind`` is its class."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<{tag}{attribute}>{escape(value)}</{tag}>"


def _shown(name: str, value: str) -> str:
    """A value as its column is written; ``name`` is the column's."""
    if name in P_VALUES and _is_number(value):
        return words.p_value(float(value)) if value else ""
    return short(value)


def _coloured(name: str, value: str) -> str:
    return VERDICTS.get(value, "") if name == "verdict" else ""


def _kind(values: Sequence[str]) -> str:
    """The class of a column."""
    if all(_is_number(value) for value in values):
        return "number"
    return "long" if max(map(len, values)) > LONG else ""


def _same(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Columns that hold one value in all rows, where there are enough to tell."""
    if len(rows) < FEWEST_ROWS:
        return {}
    constants = {
        name: value for name, value in rows[0].items() if len({row[name] for row in rows}) == 1
    }
    return constants if len(constants) < len(rows[0]) else {}


def _is_number(value: str) -> bool:
    """Whether it reads as a number, or is empty."""
    try:
        return not value or not math.isnan(float(value))
    except ValueError:
        return False
