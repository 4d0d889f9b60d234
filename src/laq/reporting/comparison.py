"""The verdicts of several studies side by side: a row a conclusion, a group of columns a source.

A source is one setting of one table of claims: the published logs, a network of a study. Nothing is
judged again: numbers and verdicts are those of the tables, to the digit.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

from laq.analysis.claims import CLAIMS, words
from laq.analysis.claims.report import cell, table
from laq.reporting.pages import read_rows
from laq.reporting.summary import NEEDED, NUMBERS, check_verdicts
from laq.utils.errors import DataError

Row = Mapping[str, str]

# Columns of a source, and columns that are the same for all sources.
FINDING = ("effect", "low", "high", "n", "verdict")
RULE = ("claim", "statement", "source", "comparison", "region")

READING = """\
Each line is one conclusion, each column what one source says of it: the effect in percent points
(of the bytes saved in percent) with its interval, the number of subsets, and the verdict by the
rules of `laq/analysis/claims/rules.py`, which are the same for all and were written down before
any verdict. A dash: nothing there to judge by. Intervals and verdicts are those of each source's
own `tables/claims.csv`, whose `remark` says what is lacking."""


def sources(files: Mapping[str, str | os.PathLike[str]]) -> dict[str, dict[str, Row]]:
    """The rows of each source by claim; sources by ``label``, or ``label: setting`` of several.

    Args:
        files: a ``tables/claims.csv`` by its label.

    Raises:
        DataError: a file is no such table, lacks a conclusion, has one twice, or was judged by
            other rules than those of this version.
    """
    by_source: dict[str, dict[str, Row]] = {}
    for label, path in files.items():
        rows = read_rows(path, [*NEEDED["claims"], *RULE], NUMBERS["claims"])
        check_verdicts(path, rows)
        settings = list(dict.fromkeys(row["setting"] for row in rows))
        for setting in settings:
            group = [row for row in rows if row["setting"] == setting]
            _check(path, group)
            name = f"{label}: {setting}" if len(settings) > 1 else label
            if name in by_source:
                raise DataError(f"two sources are called {name}; give another label to one")
            by_source[name] = {row["claim"]: row for row in group}
    return by_source


def _check(path: str | os.PathLike[str], rows: Sequence[Row]) -> None:
    rules = {
        claim.id: (
            claim.statement,
            claim.source,
            "; ".join(map(str, claim.effects)),
            str(claim.region),
        )
        for claim in CLAIMS
    }
    if sorted(row["claim"] for row in rows) != sorted(rules):
        raise DataError(
            f"{path} has not each of the {len(rules)} conclusions once for every setting; run its "
            "study again with this version of the workflow"
        )
    for row in rows:
        if tuple(row[key] for key in RULE[1:]) != rules[row["claim"]]:
            raise DataError(
                f"{path} judged {row['claim']} by another rule than this version has; run its "
                "study again with this version of the workflow"
            )


def rows(found: Mapping[str, Mapping[str, Row]]) -> list[dict[str, str]]:
    """A row a conclusion; the columns of a source are called ``source: effect`` and so on."""
    first = next(iter(found.values()))
    return [
        {key: first[claim.id][key] for key in RULE}
        | {
            f"{name}: {key}": by_claim[claim.id][key]
            for name, by_claim in found.items()
            for key in FINDING
        }
        for claim in CLAIMS
    ]


def page(found: Mapping[str, Mapping[str, Row]]) -> str:
    """The same as a page of Markdown."""
    head = ["#", "Conclusion", *map(cell, found)]
    body = [
        [
            str(words.number(claim.id)),
            cell(claim.statement),
            *(_finding(by_claim[claim.id]) for by_claim in found.values()),
        ]
        for claim in CLAIMS
    ]
    return f"# Conclusions, side by side\n\n{READING}\n\n{table(head, body, right={0})}\n"


def _finding(row: Row) -> str:
    if int(row["n"]) == 0:
        return f"– ({row['verdict']})"
    effect, low, high = (float(row[key] or math.nan) for key in FINDING[:3])
    verdict = row["verdict"] if row["verdict"] == "inconclusive" else f"**{row['verdict']}**"
    return f"{words.effect(row['claim'], effect, low, high)}, n = {row['n']}: {verdict}"
