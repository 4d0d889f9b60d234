"""The report's first page: what was measured, what it answers, and every verdict, as a fragment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from laq.analysis.claims import words
from laq.config.recipes import STEPS
from laq.config.recipes import of as step_of
from laq.reporting.pages import STYLE, VERDICTS, cell
from laq.utils.errors import DataError

Row = Mapping[str, str]

# The reader's questions, by the claim that answers each: reproduced is yes.
QUESTIONS = {
    "original_wins_low": "Does Quant lose to Original, on All, where classes are close?",
    "quant_wins_high": "Does Quant beat Original, on All, where classes are far apart?",
    "label_aware": "Does calibrating on the subset's classes beat calibrating on all?",
    "survives_images": "Does it still, with many more calibration images?",
    "rounding": "Without rounding, at 32 bits, is accuracy as it was?",
}
ANSWERS = {"reproduced": "yes", "not reproduced": "no", "inconclusive": "not decided"}
HEADS = ("#", "Conclusion", "Region", "Effect, points", "p for", "p against", "n", "Verdict")
KINDS = ("number", "", "whole", "number", "number", "number", "number", "")
FOUR = ("original", "quant", "ft", "ft_quant")
PUBLISHED = {
    "mnist_like": "10 digits in MNIST's form",
    "mnist": "10 digits of MNIST",
    "fashion_mnist": "10 classes of Fashion-MNIST",
    "cifar10": "10 classes of CIFAR-10",
    "cifar100": "100 classes of CIFAR-100",
}


# Columns that the page takes, by table: all of them, and those that are numbers.
NEEDED = {
    "claims": ["setting", "claim", "statement", "verdict", "remark", "n"],
    "subsets": ["duplicate_of", "classes"],
    "logs": ["setting", "network", "dataset"],
}
NUMBERS = {
    "claims": ["effect", "low", "high", "p_holm", "p_against_holm"],
    "subsets": ["median_icd"],
}


def check_verdicts(path: str | os.PathLike[str], claims: Sequence[Row]) -> None:
    """Raise ``DataError`` that names ``path`` for a row of it whose verdict is none."""
    for row in claims:
        if row["verdict"] not in VERDICTS:
            raise DataError(
                f"{path}: {row['verdict']!r} is no verdict; there are: {', '.join(VERDICTS)}: "
                "delete it and run again"
            )


def fragment(
    config: Mapping[str, Any], claims: Sequence[Row], tables: Mapping[str, list[Row]]
) -> str:
    """The whole fragment; ``tables`` are CSV rows by table: subsets, and in a replay logs.

    Raises:
        DataError: a row of ``claims`` has a verdict that is none.
    """
    if config["kind"] == "replay":
        summary = of_replay(config, tables["logs"], tables["subsets"])
    else:
        summary = of_study(config, tables["subsets"])
    fragments = [
        '<meta charset="utf-8">\n',
        STYLE,
        '<div class="laq">\n',
        f"<p>{escape(summary)}</p>\n",
    ]
    for setting in dict.fromkeys(row["setting"] for row in claims):
        rows = [row for row in claims if row["setting"] == setting]
        fragments += [answers(setting, rows), verdicts(rows)]
    return "".join([*fragments, "</div>\n"])


def of_study(config: Mapping[str, Any], subsets: Sequence[Row]) -> str:
    """In words: data, networks, subsets, and what was made for each."""
    several = len(config["networks"]) > 1
    network = "the networks were" if several else "the network was"
    steps = _made(config["variants"])
    sentence = f"For each subset {network} {steps}. " if steps else ""
    note = "" if "quantized" in steps else "Nothing was rounded to fewer bits here. "
    return (
        f"This study: {_data(config['dataset'])}; {_listed(list(config['networks']), 'network')}, "
        f"trained on all classes; {_subsets(subsets)}. {sentence}{note}"
        "All was tested on images of the subset's classes that no training saw."
    )


def of_replay(config: Mapping[str, Any], logs: Sequence[Row], subsets: Sequence[Row]) -> str:
    """In words: whose measurements these are, of which networks and data sets."""
    networks, datasets = (
        sorted({log[name] for log in logs} - {""}) for name in ("network", "dataset")
    )
    network_names = " and ".join(networks) or "a network"
    data = f" trained on {' and '.join(datasets)}" if datasets else " trained on many classes"
    log_names = ", ".join(log["setting"] for log in logs)
    arms = [config["claims"][role] for role in FOUR if role in config["claims"]]
    main = " and ".join(dict.fromkeys(arm.split("/")[0] for arm in arms))
    return (
        "These are the published logs of the original experiment, read as they stand; nothing was "
        f"trained, quantized or tested here. They tell of {network_names}{data}, and of "
        f"{_subsets(subsets)}. Logs: {log_names}; the conclusions about Original, Quant, FT and "
        f"FT + Quant come from {main}."
    )


def answers(setting: str, claims: Sequence[Row]) -> str:
    """What the verdicts of one setting answer, a line a question, and how many there are."""
    counts = ", ".join(f"{sum(r['verdict'] == v for r in claims)} {v}" for v in VERDICTS)
    lines = [f"<p><b>{escape(setting)}</b>: of {len(claims)} conclusions {counts}.</p>\n<ul>\n"]
    by_claim = {row["claim"]: row for row in claims}
    for claim, question in QUESTIONS.items():
        if claim in by_claim:
            answer, kind, reason = _answer(by_claim[claim])
            lines.append(
                f'<li>{question} <span class="{kind}">{answer}</span>{escape(reason)}</li>\n'
            )
    return "".join([*lines, "</ul>\n"])


def verdicts(claims: Sequence[Row]) -> str:
    """The table of one setting's verdicts."""
    head = "".join(_cell("th", name, column) for column, name in enumerate(HEADS))
    lines = [f"<table>\n<tr>{head}</tr>\n"]
    for row in claims:
        region = words.region(row["claim"])
        cells = (str(words.number(row["claim"])), row["statement"], region, effect(row))
        p = (words.p_value(_number(row[name])) for name in ("p_holm", "p_against_holm"))
        cells += (*p, row["n"])
        line = "".join(_cell("td", value, column) for column, value in enumerate(cells))
        lines.append(f"<tr>{line}{cell('td', row['verdict'], _kind(row))}</tr>\n")
        if row["remark"]:
            remark = f'<td></td><td colspan="7" class="note">{escape(row["remark"])}</td>'
            lines.append(f'<tr class="remark">{remark}</tr>\n')
    return "".join([*lines, "</table>\n"])


def effect(row: Row) -> str:
    """A claim's effect and interval."""
    return words.effect(row["claim"], *(_number(row[name]) for name in ("effect", "low", "high")))


def _answer(row: Row) -> tuple[str, str, str]:
    """The answer in a word, its CSS class, and the number behind it or why there is none."""
    kind = _kind(row)
    if not row["effect"]:
        return "No data", "open", f": {row['remark']}." if row["remark"] else "."
    return ANSWERS[row["verdict"]].capitalize(), kind, f": {effect(row)} points of top-1."


def _kind(row: Row) -> str:
    if row["verdict"] not in VERDICTS:
        raise DataError(f"{row['verdict']!r} is no verdict; there are: {', '.join(VERDICTS)}")
    return VERDICTS[row["verdict"]]


def _data(dataset: Mapping[str, Any]) -> str:
    if dataset["kind"] == "glyphs":
        images = (
            f"{dataset['train_per_class']} training and {dataset['test_per_class']} test images"
        )
        return f"{dataset['classes']} classes of drawn characters (glyphs), {images} each"
    if dataset["kind"] == "digits":
        return "scans of the 10 digits"
    if dataset["kind"] in PUBLISHED:
        return f"the {PUBLISHED[dataset['kind']]}"
    if "path" in dataset:
        return f"the classes of images in {dataset['path']}"
    return f"the data set {dataset['kind']}"


def _subsets(rows: Sequence[Row]) -> str:
    """How many, of how many classes, between which median ICDs; the same classes count once."""
    rows = [row for row in rows if not row["duplicate_of"]]
    sizes = sorted({len(row["classes"].split(";")) for row in rows})
    classes = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else f"{sizes[0]}"
    medians = sorted(float(row["median_icd"]) for row in rows)
    icd_range = f"from {words.distance(medians[0])} to {words.distance(medians[-1])}"
    if len(rows) == 1:
        return f"one subset of {classes} classes, with a median ICD of {words.distance(medians[0])}"
    return f"{len(rows)} subsets of {classes} classes, with median ICDs {icd_range}"


def _made(variants: Mapping[str, Any]) -> str:
    """The variants' steps, with the config's names: ``fine-tuned (ft), quantized (quant)``."""
    routes: dict[str, list[str]] = {}
    for name in variants:
        steps, variant = [], name
        while variant != "original":
            steps.append(STEPS[step_of(variants[variant])].made)
            variant = variants[variant]["parent"]
        if steps:
            routes.setdefault(" and then ".join(reversed(steps)), []).append(name)
    return "; ".join(f"{route} ({', '.join(names)})" for route, names in routes.items())


def _listed(names: Sequence[str], what: str) -> str:
    if len(names) == 1:
        return f"one {what}, {names[0]}"
    return f"{len(names)} {what}s, {', '.join(names[:-1])} and {names[-1]}"


def _cell(tag: str, value: str, place: int) -> str:
    return cell(tag, value, KINDS[place])


def _number(value: str) -> float:
    return float(value) if value else float("nan")
