"""What moves a quantized network's answers into the subset: conditions, hypotheses and verdicts.

The published network keeps its accuracy over all classes although it loses within the subset: its
answers have moved into the subset. A condition is a setting of the calibration that may do that. It
is present at one level and absent at another, and its effect is the share of answers inside with it
less that without it, all other settings alike. The table and the margin were written before any of
the verdicts was computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from laq.analysis import collected, observations
from laq.analysis.claims.rules import Region
from laq.analysis.observations import DECIMALS, Source
from laq.analysis.partial.evidence import Effect
from laq.analysis.partial.hypotheses import Hypothesis, judge

if TYPE_CHECKING:
    import pandas as pd

# A condition moves answers where the share inside grows by more than five points.
MOVES = Region(low=0.05)
# A ridge up to this re-fits codes as no ridge does. It only rounds the weights of silent inputs.
TINY = 1e-3

COLUMNS = (
    *("network", "subset", "bits", "scale", "images", "ridge", "layers", "classes", "repeat"),
    *("scope", "n", "correct", "top1", "in_subset"),
)
VERDICT = ("network", "hypothesis", "effect", "low", "high", "verdict")
SETTINGS = ("bits", "scale", "images", "ridge", "layers", "classes")


@dataclass(frozen=True)
class Condition:
    """A setting that may move answers into the subset.

    key: of the setting. ends: from its levels, the one without the condition and the one with it;
    None where the levels have no such pair.
    """

    id: str
    statement: str
    key: str
    ends: Callable[[Sequence[Any]], tuple[Any, Any] | None]


def _ends(levels: Sequence[Any], without: Any, present: Any) -> tuple[Any, Any] | None:
    has_both = {without, present} <= set(levels) and without != present
    return (without, present) if has_both else None


def _falling(levels: Sequence[Any]) -> tuple[Any, Any] | None:
    return _ends(levels, max(levels), min(levels))


def _refitting(levels: Sequence[float]) -> tuple[float, float] | None:
    positive = [level for level in levels if level > 0]
    return _ends(positive, max(positive), min(positive)) if positive else None


def _silent(levels: Sequence[float]) -> tuple[float, float] | None:
    tiny = [level for level in levels if 0 < level <= TINY]
    return _ends(levels, min(tiny), 0) if tiny else None


CONDITIONS = (
    Condition("rounding", "Rounding to few levels moves answers.", "bits", _falling),
    Condition("clipping", "Clipping large weights (a small radius) does.", "scale", _falling),
    Condition("few_images", "Few calibration images do.", "images", _falling),
    Condition("refitting", "Re-fitting without a ridge does.", "ridge", _refitting),
    Condition("silent_inputs", "Weights of silent inputs set to 0 do.", "ridge", _silent),
    Condition(
        *("head", "Quantizing the head does.", "layers"),
        partial(_ends, without="without_head", present="all"),
    ),
    Condition(
        *("depth", "Quantizing the second half of the layers does.", "layers"),
        partial(_ends, without="first_half", present="all"),
    ),
    Condition(
        *("label_aware", "Calibrating on the subset's classes does.", "classes"),
        partial(_ends, without="all", present="subset"),
    ),
)


MEASURES = ("in_subset", "top1_all", "top1_subset")


def read(accuracy: Source, subsets: Source, trials: Source) -> pd.DataFrame:
    """``changes`` of the tables ``accuracy.csv``, ``tables/subsets.csv`` and ``conditions.csv``.

    Raises:
        DataError: a file that is no table, lacks a column or rows, or holds what cannot be true.
    """
    table = observations.read(accuracy, subsets)
    return changes(
        collected.read(trials, COLUMNS), table[table["variant"] == observations.ORIGINAL]
    )


def changes(table: pd.DataFrame, original: pd.DataFrame) -> pd.DataFrame:
    """By trial, repeats averaged, what it changes from the original network on the same subset.

    Columns: network, subset, ``SETTINGS``, and ``MEASURES`` as shares: answers inside the subset,
    top-1 over all classes, top-1 over the subset's.

    Args:
        table: rows of the sweep, with ``COLUMNS``.
        original: the original networks' rows as ``laq.analysis.observations.read`` gives them.
    """
    trials = _measured(table, ["network", "subset", *SETTINGS])
    reference = _measured(original.assign(network=original["setting"]), ["network", "subset"])
    return (trials - reference).dropna().reset_index()


def _measured(rows: pd.DataFrame, place: list[str]) -> pd.DataFrame:
    import pandas as pd

    rows = rows.assign(in_subset=rows["in_subset"] / rows["n"])
    scopes = (
        rows.groupby([*place, "scope"], sort=False)[["top1", "in_subset"]].mean().unstack("scope")
    )
    measures = {"in_subset": scopes["in_subset", "all"]}
    measures |= {f"top1_{scope}": scopes["top1", scope] for scope in ("all", "subset")}
    return pd.DataFrame(measures, columns=list(MEASURES)).round(DECIMALS)


def effect(
    own: pd.DataFrame, condition: Condition, ends: tuple[Any, Any], measure: str
) -> pd.Series:
    """``measure`` with the condition less that without it, all else alike: the mean by subset.

    own: the changes of a network. Only label-aware trials count, except for the condition of the
    classes.
    """
    if condition.key != "classes":
        own = own[own["classes"] == "subset"]
    keys = ["subset", *(name for name in SETTINGS if name != condition.key)]
    table = own.set_index([*keys, condition.key])[measure].unstack(condition.key)
    absent, present = ends
    return (table[present] - table[absent]).dropna().groupby("subset", sort=False).mean()


def at(own: pd.DataFrame, settings: Mapping[str, Any], measure: str) -> pd.Series:
    """``measure`` of the trial with these settings, by subset."""
    for key, value in settings.items():
        own = own[own[key] == value]
    return own.set_index("subset")[measure]


def judged(found: pd.DataFrame, base: Mapping[str, Any], confidence: float) -> pd.DataFrame:
    """A row a network and hypothesis, as ``laq.analysis.partial.hypotheses.judge`` has them.

    Beside the conditions there is a row for the settings of ``base``, label-aware, against the
    original network. Columns ``top1_all`` and ``top1_subset`` are the same differences of top-1,
    which no verdict is about.

    Args:
        found: by ``changes``.
        base: the settings from which the sweep departs, by key.

    Raises:
        ConfigError: the confidence is not between 0 and 1.
    """
    effects = {"as_published": partial(at, settings={**base, "classes": "subset"})}
    hypotheses = [
        Hypothesis(
            "as_published",
            "The settings that all others depart from move answers into the subset.",
            "share of answers inside: label-aware − original network",
            MOVES,
            partial(_numbers, measure_of=effects["as_published"]),
        )
    ]
    for condition in CONDITIONS:
        if (levels := condition.ends(list(dict.fromkeys(found[condition.key])))) is None:
            continue
        effects[condition.id] = partial(effect, condition=condition, ends=levels)
        absent, present = levels
        hypotheses.append(
            Hypothesis(
                condition.id,
                condition.statement,
                f"share of answers inside: {condition.key} {present} − {absent}",
                MOVES,
                partial(_numbers, measure_of=effects[condition.id]),
            )
        )
    table = judge(found, confidence, tuple(hypotheses))
    networks = dict(list(found.groupby("network", sort=False)))
    for measure in ("top1_all", "top1_subset"):
        table[measure] = [
            effects[row["hypothesis"]](networks[row["network"]], measure=measure).mean()
            for row in table.to_dict("records")
        ]
    return table


def _numbers(own: pd.DataFrame, measure_of: Callable[..., pd.Series]) -> list[Effect]:
    return [Effect("in_subset", [measure_of(own, measure="in_subset").to_numpy()], 0.0)]
