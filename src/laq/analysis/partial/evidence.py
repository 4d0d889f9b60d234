"""What hypotheses are judged on: for each effect numbers by stratum, one a repeat.

A repeat is what chance draws anew: the order of images and what training makes of it. Numbers of
one stratum are of trainings that nothing else tells apart. Bit widths are strata of their own
where their numbers have no training in common; where they have, as a control or a rival, a
repeat's numbers are averaged first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from laq.analysis.partial import table as runs
from laq.analysis.partial.curve import Array

if TYPE_CHECKING:
    import pandas as pd

# Files that differ by less count as equal, as in the table of what to deploy and the zoo's figure.
LARGER = 1.02
# The drop up to which layers count as allowed.
TOLERANCE = 0.01
# Fewer single layers make no slope.
FEWEST_LAYERS = 3


@dataclass(frozen=True, eq=False)
class Effect:
    """Numbers of one effect by stratum, none where the arms are not there, as the remark says.

    resolution: one image, of those top-1 is a rate of, or one layer.
    """

    name: str
    strata: list[Array]
    resolution: float
    remark: str = ""


def _lacking(name: str, what: str) -> list[Effect]:
    return [Effect(name, [], 0.0, what)]


def _image(rows: pd.DataFrame) -> float:
    return 1 / float(rows["n"].min())


def early_against_last(own: pd.DataFrame) -> list[Effect]:
    """Drop of the first layers less that of the last, mean over the bytes that both files can take.

    Both go from the float network's bytes to those of the whole network quantized; between the
    arms that were run, drops are taken for straight lines.
    """
    name = "first − last"
    everything = runs.on_everything(own)
    arms = runs.drops(everything)
    curves = runs.curves(arms, ("first", "last"))
    before = runs.controls(everything).groupby("repeat")["bytes"].mean()
    strata = []
    for _, rows in curves.groupby("width", sort=False):
        differences = []
        for repeat, drawn in rows.groupby("repeat"):
            ends = {
                position: _over_bytes(part, float(before[repeat]))
                for position, part in drawn.groupby("position")
            }
            if len(ends) == 2:
                differences.append(_between(ends["first"], ends["last"]))
        if differences:
            strata.append(np.array(differences))
    if not strata:
        return _lacking(name, "no bit width has arms of the first layers and of the last")
    return [Effect(name, strata, _image(curves))]


def _over_bytes(rows: pd.DataFrame, before: float) -> tuple[Array, Array]:
    """Bytes, rising, and drops of a curve, with the float network, which loses nothing."""
    sizes = np.append(rows["bytes"].to_numpy(float), before)
    drops = np.append(rows["drop"].to_numpy(float), 0.0)
    order = np.argsort(sizes, kind="stable")
    return sizes[order], drops[order]


def _between(one: tuple[Array, Array], other: tuple[Array, Array]) -> float:
    """Mean of the difference of two curves over the range of both, each piecewise straight."""
    low = max(one[0][0], other[0][0])
    high = min(one[0][-1], other[0][-1])
    at = np.unique(np.clip(np.concatenate([one[0], other[0]]), low, high))
    difference = np.interp(at, *one) - np.interp(at, *other)
    return float(np.trapezoid(difference, at) / (high - low))


def attention_against_others(own: pd.DataFrame) -> list[Effect]:
    """Drop of all attention layers less that of the MLPs, and of the head, by width."""
    arms = runs.drops(runs.on_everything(own))
    groups = arms[arms["position"].isin(["named", "single"]) & (arms["method"] == "qat")]
    if "attention" not in set(groups["arm"]):
        return _lacking("attention", "the network has no arm called attention")
    found = []
    shares = groups.groupby("arm")["weights_share"].mean()
    for other in ("mlp", "head"):
        name = f"attention − {other}"
        if other not in shares:
            found += _lacking(name, f"the network has no arm called {other}")
            continue
        pairs = _paired(groups, "attention", other)
        said = (
            f"attention has {shares['attention']:.0%} of the weights, {other} {shares[other]:.0%}"
        )
        found.append(Effect(name, pairs, _image(groups), said))
    return found


def _paired(groups: pd.DataFrame, one: str, other: str) -> list[Array]:
    strata = []
    for _, rows in groups.groupby("width", sort=False):
        drops = rows.pivot_table(index="repeat", columns="arm", values="drop")
        if {one, other} <= set(drops):
            strata.append((drops[one] - drops[other]).dropna().to_numpy(float))
    return [stratum for stratum in strata if len(stratum)]


def partial_against_whole(own: pd.DataFrame) -> list[Effect]:
    """Top-1 of partial training less that of each method for the whole network, at equal bytes.

    For every file of a method the best partial arm that is no larger, chosen on the other repeats,
    so that it is not best by chance on the one that it is measured on. A repeat's number is the
    mean over the method's files.
    """
    everything = runs.on_everything(own)
    partial = everything[(everything["method"] == "qat") & (everything["position"] != "whole")]
    whole = everything[everything["position"] == "whole"]
    if whole.empty:
        return _lacking("rivals", "no method for the whole network was run")
    arm = ["position", "arm", "width"]
    top1 = partial.pivot_table(index=arm, columns="repeat", values="top1")
    sizes = partial.groupby(arm)["bytes"].mean()
    found = []
    for kind, rows in whole.groupby(whole["arm"].map(kind_of), sort=False):
        differences, without = [], 0
        for _, rival in rows.groupby(arm, sort=False):
            fits = sizes.index[sizes <= LARGER * rival["bytes"].mean()]
            if len(fits):
                differences.append(_against(top1.loc[fits], rival.set_index("repeat")["top1"]))
            else:
                without += 1
        name = f"partial − {kind}"
        if differences:
            together = np.array(differences)
            pooled = together[:, np.isfinite(together).all(axis=0)].mean(axis=0)
            said = f"{without} of its files smaller than any partial one" if without else ""
            found.append(Effect(name, [pooled] if len(pooled) else [], _image(rows), said))
    if not found:
        return _lacking("rivals", "every file of a rival is smaller than any partial one")
    return found


def _against(top1: pd.DataFrame, rival: pd.Series) -> Array:
    """By repeat, the best arm of ``top1`` (arms × repeats) on the other repeats less the rival."""
    differences = []
    for repeat in top1.columns:
        others = top1.drop(columns=repeat)
        if others.shape[1] == 0 or repeat not in rival.index:
            differences.append(np.nan)
            continue
        best = others.mean(axis=1).idxmax()
        differences.append(top1.loc[best, repeat] - rival.loc[repeat])
    return np.array(differences, float)


def kind_of(arm: str) -> str:
    """The method of a whole network's arm: its name without the bits, ``gpfq`` of ``gpfq_4``."""
    stem, _, bits = arm.rpartition("_")
    return stem if stem and bits.replace(".", "").isdigit() else arm


def slope_over_depth(own: pd.DataFrame) -> list[Effect]:
    """By width and repeat, the slope of the drop over the depth of a single layer, 0 to 1."""
    name = "slope"
    arms = runs.drops(runs.on_everything(own))
    single = arms[(arms["position"] == "single") & (arms["method"] == "qat")]
    strata = []
    for _, rows in single.groupby("width", sort=False):
        slopes = [
            np.polyfit(_depth(drawn["k"], single["k"]), drawn["drop"], 1)[0]
            for _, drawn in rows.groupby("repeat")
            if drawn["k"].nunique() >= FEWEST_LAYERS
        ]
        if slopes:
            strata.append(np.array(slopes))
    if not strata:
        return _lacking(name, f"fewer than {FEWEST_LAYERS} layers were quantized alone")
    return [Effect(name, strata, _image(single))]


def _depth(place: pd.Series, among: pd.Series) -> Array:
    return ((place - among.min()) / (among.max() - among.min())).to_numpy(float)


def layers_allowed(own: pd.DataFrame) -> list[Effect]:
    """Share of layers allowed by ``TOLERANCE``: trained on a subset less trained on all classes.

    Both on the subset's test images and among its classes, each against the float control that was
    trained on the same images. A repeat's number is the mean over subsets, positions and widths.
    """
    name = "subset − all classes"
    scoped = own[(own["scope"] == "subset") & (own["tested"] != runs.ALL)]
    if scoped.empty or (scoped["classes"] == runs.ALL).all():
        return _lacking(name, "no arm was trained on a subset's classes")
    arms = runs.curves(runs.drops(scoped))
    arms = arms.assign(aware=arms["classes"] != runs.ALL)
    allowed = (
        arms.groupby(["tested", "position", "width", "repeat", "aware"])
        .apply(_allowed, include_groups=False)
        .unstack("aware")
    )
    if not {True, False} <= set(allowed):
        return _lacking(name, "no subset has arms trained on it and on all classes")
    differences = (allowed[True] - allowed[False]).dropna().groupby("repeat").mean()
    if differences.empty:
        return _lacking(name, "no arm was trained both on a subset and on all classes")
    most = allowed.mean().to_dict()
    said = f"{most[True]:.0%} of the layers on the subset, {most[False]:.0%} on all classes"
    layers = float(arms["k"].max())
    return [Effect(name, [differences.to_numpy(float)], 1 / layers, said)]


def _allowed(rows: pd.DataFrame) -> float:
    """The largest share of layers that it and all smaller ones lose no more than ``TOLERANCE``."""
    ordered = rows.sort_values("share")
    within = ordered["drop"].to_numpy(float) <= TOLERANCE
    count = len(within) if within.all() else int(within.argmin())
    return float(ordered["share"].iloc[count - 1]) if count else 0.0
