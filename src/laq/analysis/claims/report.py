"""The verdicts as a page of Markdown."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from laq.analysis.claims import words

READING = """\
Each line is one conclusion. Its effect is a difference of top-1 in percent points, the mean over
the subsets, or a curve fitted over them, with its {confidence:g} % bootstrap interval; of the
bytes saved, a share of the file with its range. What would count as reproducing it was written
down before any verdict was computed, and stands below the table. A conclusion is **reproduced**
where the data rule out that its effect lies outside that region (*p for* below {alpha:g}), **not
reproduced** where they rule out that it lies inside (*p against* below {alpha:g}), and
inconclusive otherwise. Both p are one-sided and corrected by Holm over the conclusions of the
table; intervals are two-sided and of each conclusion by itself, so the two may disagree. n counts
subsets. The tests take subsets for a random draw from those that could have been chosen: where
these share classes, they are rather too sure. They say nothing about another network or another
data set."""

PUBLISHED = """\
The data are published logs. Their means had been read before the regions were written down, so
a verdict here checks the statistics behind a known conclusion; it is no independent repetition."""


def render(
    study: str,
    verdicts: pd.DataFrame,
    sensitivity: pd.DataFrame,
    confidence: float,
    published: bool = False,
) -> str:
    """The page: how to read it, and for each setting the verdicts, the rules, other readings.

    ``verdicts`` is the table of ``judge``, ``sensitivity`` that of ``read_otherwise``.
    ``published``: the data are published logs.
    """
    intro = READING.format(confidence=100 * confidence, alpha=round(1 - confidence, 6))
    sections = [f"# Verdicts: {cell(study)}", intro, *([PUBLISHED] if published else [])]
    for setting, rows in verdicts.groupby("setting", sort=False):
        sections += [f"## {setting}", _verdicts(rows)]
        sections += [f"What each asks, and what was found on the way ({setting}):", _rules(rows)]
        sections += [
            f"### Other readings of the same data ({setting})",
            _readings(rows, sensitivity[sensitivity["setting"] == setting]),
        ]
    return "\n\n".join(sections) + "\n"


def _verdicts(rows: pd.DataFrame) -> str:
    head = ["#", "Conclusion", "Effect, points", "p for", "p against", "n", "Verdict"]
    body = [
        [
            str(words.number(row.claim)),
            cell(row.statement),
            _effect(row),
            words.p_value(row.p_holm),
            words.p_value(row.p_against_holm),
            str(row.n),
            _verdict(row.verdict),
        ]
        for row in rows.itertuples()
    ]
    return table(head, body, right={0, 3, 4, 5})


def _rules(rows: pd.DataFrame) -> str:
    lines = []
    for row in rows.itertuples():
        rule = f"{row.comparison}; region: {words.region(row.claim)}"
        line = f"{words.number(row.claim)}. `{row.claim}`: {rule}."
        lines.append(line + (f" *{_sentence(row.remark)}*" if row.remark else ""))
    return "\n".join(lines)


def _readings(main: pd.DataFrame, sensitivity: pd.DataFrame) -> str:
    """A table with a row per reading and the verdicts that it changes."""
    verdicts = dict(zip(main["claim"], main["verdict"], strict=True))
    body = []
    for (icd, repeat), rows in sensitivity.groupby(["icd", "repeat"], sort=False):
        if (icd, repeat) == ("median", "mean"):
            continue
        name = "mean ICD in place of median ICD" if icd == "mean" else f"repeat {repeat} alone"
        changes = [
            f"{words.number(row.claim)} ({verdicts[row.claim]} → {row.verdict}: {_effect(row)})"
            for row in rows[rows["changed"]].itertuples()
        ]
        body.append([name, ", ".join(changes) or "none"])
    if not body:
        return "There is one repeat of everything, and no mean ICD: nothing else to read."
    note = "Of what was made fewer times than a repeat's number, that reading takes the first."
    return table(["Reading", "Verdicts that change"], body) + f"\n\n{note}"


def _effect(row: object) -> str:
    return words.effect(row.claim, row.effect, row.low, row.high)


def _verdict(verdict: str) -> str:
    return verdict if verdict == "inconclusive" else f"**{verdict}**"


def _sentence(remark: str) -> str:
    return remark[0].upper() + remark[1:] + "."


def cell(text: str) -> str:
    """The user's text, escaped for a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: list[str], body: list[list[str]], right: Collection[int] = ()) -> str:
    """A Markdown table; ``right``: indices of the right-aligned columns."""
    rule = ["---:" if column in right else "---" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *body])
