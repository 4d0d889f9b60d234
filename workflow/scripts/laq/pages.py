"""HTML pages of tables: what the report shows, where a browser would only offer a CSV file."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from laq.errors import DataError

MOST_ROWS = 2000  # of a page; the CSV file has them all
VERDICTS = {"reproduced": "yes", "not reproduced": "no", "inconclusive": "open"}

_STYLE = """\
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
.laq .note { color: #475569; } .laq pre { background: #f1f5f9; color: #1e293b; padding: 0.8em; }
</style>
"""


def page(title: str, body: str) -> str:
    """A whole page around ``body``."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n</head>\n"
        f'<body style="margin: 1.5em">\n{_STYLE}<div class="laq">\n<h2>{escape(title)}</h2>\n'
        f"{body}</div>\n</body>\n</html>\n"
    )


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """A table of CSV rows: numbers short and to the right, verdicts in colour.

    A row whose column ``changed`` is true stands out.
    """
    if not rows:
        return '<p class="note">No rows.</p>\n'
    numeric = {name for name in rows[0] if all(_is_number(row[name]) for row in rows)}
    head = "".join(_cell("th", name, name in numeric) for name in rows[0])
    lines = [f"<table>\n<tr>{head}</tr>\n"]
    for row in rows[:MOST_ROWS]:
        mark = ' class="changed"' if row.get("changed") == "True" else ""
        cells = "".join(_cell("td", short(value), name in numeric) for name, value in row.items())
        lines.append(f"<tr{mark}>{cells}</tr>\n")
    lines.append("</table>\n")
    if len(rows) > MOST_ROWS:
        lines.append(f'<p class="note">The first {MOST_ROWS:,} of {len(rows):,} rows.</p>\n')
    return "".join(lines)


def verdicts(rows: Sequence[Mapping[str, str]]) -> str:
    """The verdicts of ``claims.csv`` as a fragment: a table a setting, and their number in words.

    Raises:
        DataError: a row has a verdict that is none.
    """
    parts = ['<meta charset="utf-8">\n', _STYLE, '<div class="laq">\n']
    for setting in dict.fromkeys(row["setting"] for row in rows):
        own = [row for row in rows if row["setting"] == setting]
        counts = ", ".join(
            f"{sum(row['verdict'] == verdict for row in own)} {verdict}" for verdict in VERDICTS
        )
        parts.append(f"<p><b>{escape(setting)}</b>: of {len(own)} conclusions {counts}.</p>\n")
        heads = (
            "#",
            "Conclusion",
            "Region",
            "Effect, points",
            "p for",
            "p against",
            "n",
            "Verdict",
        )
        right = {0, 3, 4, 5, 6}
        head = "".join(_cell("th", name, i in right) for i, name in enumerate(heads))
        parts.append(f"<table>\n<tr>{head}</tr>\n")
        for number, row in enumerate(own, 1):
            cells = (str(number), row["statement"], points(row["region"]), effect(row))
            cells += (p_text(row["p_holm"]), p_text(row["p_against_holm"]), row["n"])
            line = "".join(_cell("td", value, i in right) for i, value in enumerate(cells))
            parts.append(f"<tr>{line}{_verdict(row['verdict'])}</tr>\n")
            if row["remark"]:
                remark = f'<td></td><td colspan="7" class="note">{escape(row["remark"])}</td>'
                parts.append(f'<tr class="remark">{remark}</tr>\n')
        parts.append("</table>\n")
    return "".join([*parts, "</div>\n"])


def description(study: Mapping[str, Any]) -> str:
    """What ``tables/study.json`` says: seed, versions, and the whole config as YAML."""
    import yaml

    versions = [{"package": name, "version": v} for name, v in study["versions"].items()]
    config = yaml.safe_dump(study["config"], sort_keys=False, allow_unicode=True, width=90)
    seeds = table([{"what": k, "value": str(v)} for k, v in study["seeds"].items()])
    return (
        f"<h3>Seeds</h3>\n{seeds}<h3>Versions</h3>\n{table(versions)}"
        f"<h3>Config, with all defaults</h3>\n<pre>{escape(config)}</pre>\n"
    )


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """The rows of a CSV file, every value as text.

    Raises:
        DataError: a row has more or fewer cells than the header.
    """
    return parse_rows(Path(path).read_text(encoding="utf-8"), path)


def parse_rows(text: str, path: str | Path) -> list[dict[str, str]]:
    """The rows of a CSV text; ``path`` is named where they are torn."""
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    if any(None in row or None in row.values() for row in rows):
        raise DataError(f"{path} has rows of different length: delete it and run again")
    return rows


def short(value: str) -> str:
    """A number in four digits, anything else as it is."""
    if not value or not _is_number(value) or value.lstrip("-").isdigit():
        return value
    return f"{float(value):.4g}".replace("-", "−")


def effect(row: Mapping[str, str]) -> str:
    """An effect and its interval in percent points."""
    value, low, high = (
        f"{round(100 * float(row[name]), 1) + 0.0:+.1f}".replace("-", "−") if row[name] else ""
        for name in ("effect", "low", "high")
    )
    return f"{value or '–'} [{low}, {high}]" if low and high else value or "–"


def points(region: str) -> str:
    """A region in percent points: ``within 0.01`` → ``within 1``."""
    return re.sub(r"-?\d[\d.]*", lambda found: f"{100 * float(found[0]):g}", region)


def p_text(p: str) -> str:
    """A p value as people write it."""
    if not p:
        return "–"
    return "< 0.001" if float(p) < 0.001 else f"{float(p):.2g}"


def _verdict(verdict: str) -> str:
    if verdict not in VERDICTS:
        raise DataError(f"{verdict!r} is no verdict; there are: {', '.join(VERDICTS)}")
    return f'<td class="{VERDICTS[verdict]}">{verdict}</td>'


def _cell(tag: str, value: str, number: bool) -> str:
    kind = ' class="number"' if number else ""
    return f"<{tag}{kind}>{escape(value)}</{tag}>"


def _is_number(value: str) -> bool:
    """Whether it reads as a number, or is empty."""
    try:
        return not value or not math.isnan(float(value))
    except ValueError:
        return False
