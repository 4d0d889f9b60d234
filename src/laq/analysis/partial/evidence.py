"""The data of hypotheses: for each effect numbers by stratum, one per repeat.

Repeats differ in what is random: the order of images and what training makes of it. Trainings of
one stratum differ in nothing else. Bit widths are strata of their own where their numbers share no
training. Where they share one, such as a control or a rival, a repeat's numbers are averaged
first.
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
    """Numbers of one effect by stratum; empty where arms are missing, as the remark says.

    resolution: the share of one image in the test images, or of one layer in the layers.
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

    Both curves go from the float network's bytes to those of the whole network quantized. Drops
    are interpolated linearly between the arms that were run.
    """
    name = "first − last"
    all_classes = runs.on_everything(own)
    arms = runs.drops(all_classes)
    curves = runs.curves(arms, ("first", "last"))
    float_bytes = runs.controls(all_classes).groupby("repeat")["bytes"].mean()
    strata = []
    for _, rows in curves.groupby("width", sort=False):
        differences = []
        for repeat, group in rows.groupby("repeat"):
            profiles = {
                position: _over_bytes(points, float(float_bytes[repeat]))
                for position, points in group.groupby("position")
            }
            if len(profiles) == 2:
                differences.append(_between(profiles["first"], profiles["last"]))
        if differences:
            strata.append(np.array(differences))
    if not strata:
        return _lacking(name, "no bit width has arms of the first layers and of the last")
    return [Effect(name, strata, _image(curves))]


def _over_bytes(rows: pd.DataFrame, before: float) -> tuple[Array, Array]:
    """Bytes, ascending, and drops of a curve, including the float network with a drop of 0."""
    sizes = np.append(rows["bytes"].to_numpy(float), before)
    drops = np.append(rows["drop"].to_numpy(float), 0.0)
    order = np.argsort(sizes, kind="stable")
    return sizes[order], drops[order]


def _between(one: tuple[Array, Array], other: tuple[Array, Array]) -> float:
    """Mean of the difference of two curves over the range of both, each piecewise straight."""
    low = max(one[0][0], other[0][0])
    high = min(one[0][-1], other[0][-1])
    grid = np.unique(np.clip(np.concatenate([one[0], other[0]]), low, high))
    difference = np.interp(grid, *one) - np.interp(grid, *other)
    return float(np.trapezoid(difference, grid) / (high - low))


def attention_against_others(own: pd.DataFrame) -> list[Effect]:
    """Drop of all attention layers less that of the MLPs, and of the head, by width."""
    arms = runs.drops(runs.on_everything(own))
    groups = arms[arms["position"].isin(["named", "single"]) & (arms["method"] == "qat")]
    if "attention" not in set(groups["arm"]):
        return _lacking("attention", "the network has no arm called attention")
    effects = []
    shares = groups.groupby("arm")["weights_share"].mean()
    for other in ("mlp", "head"):
        name = f"attention − {other}"
        if other not in shares:
            effects += _lacking(name, f"the network has no arm called {other}")
            continue
        pairs = _paired(groups, "attention", other)
        remark = (
            f"attention has {shares['attention']:.0%} of the weights, {other} {shares[other]:.0%}"
        )
        effects.append(Effect(name, pairs, _image(groups), remark))
    return effects


def _paired(groups: pd.DataFrame, one: str, other: str) -> list[Array]:
    strata = []
    for _, rows in groups.groupby("width", sort=False):
        drops = rows.pivot_table(index="repeat", columns="arm", values="drop")
        if {one, other} <= set(drops):
            strata.append((drops[one] - drops[other]).dropna().to_numpy(float))
    return [stratum for stratum in strata if len(stratum)]


def partial_against_whole(own: pd.DataFrame) -> list[Effect]:
    """Top-1 of partial training less that of each method for the whole network, at equal bytes.

    Every file of a method is compared with the best partial arm that is no larger. That arm is
    chosen on the other repeats, so that it is not the best by chance on the measured one. A
    repeat's number is the mean over the method's files.
    """
    all_classes = runs.on_everything(own)
    partial = all_classes[(all_classes["method"] == "qat") & (all_classes["position"] != "whole")]
    rivals = all_classes[all_classes["position"] == "whole"]
    if rivals.empty:
        return _lacking("rivals", "no method for the whole network was run")
    arm = ["position", "arm", "width"]
    top1 = partial.pivot_table(index=arm, columns="repeat", values="top1")
    sizes = partial.groupby(arm)["bytes"].mean()
    effects = []
    for kind, rows in rivals.groupby(rivals["arm"].map(kind_of), sort=False):
        differences, unmatched = [], 0
        for _, rival in rows.groupby(arm, sort=False):
            eligible = sizes.index[sizes <= LARGER * rival["bytes"].mean()]
            if len(eligible):
                differences.append(_against(top1.loc[eligible], rival.set_index("repeat")["top1"]))
            else:
                unmatched += 1
        name = f"partial − {kind}"
        if differences:
            stacked = np.array(differences)
            means = stacked[:, np.isfinite(stacked).all(axis=0)].mean(axis=0)
            remark = f"{unmatched} of its files smaller than any partial one" if unmatched else ""
            effects.append(Effect(name, [means] if len(means) else [], _image(rows), remark))
    if not effects:
        return _lacking("rivals", "every file of a rival is smaller than any partial one")
    return effects


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
            np.polyfit(_depth(group["k"], single["k"]), group["drop"], 1)[0]
            for _, group in rows.groupby("repeat")
            if group["k"].nunique() >= FEWEST_LAYERS
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

    Both are tested on the subset's test images and among its classes, and compared with the float
    control that was trained on the same images. A repeat's number is the mean over subsets,
    positions and widths.
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
    shares = allowed.mean().to_dict()
    remark = f"{shares[True]:.0%} of the layers on the subset, {shares[False]:.0%} on all classes"
    layers = float(arms["k"].max())
    return [Effect(name, [differences.to_numpy(float)], 1 / layers, remark)]


def _allowed(rows: pd.DataFrame) -> float:
    """The largest share of layers up to which no share drops by more than ``TOLERANCE``."""
    ordered = rows.sort_values("share")
    within = ordered["drop"].to_numpy(float) <= TOLERANCE
    count = len(within) if within.all() else int(within.argmin())
    return float(ordered["share"].iloc[count - 1]) if count else 0.0
