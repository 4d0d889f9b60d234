"""What claims are judged on: the observations of each role, and the sizes of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from laq.claims.rules import Difference
from laq.errors import DataError

# An arm is a variant of a setting; None is whichever setting is being judged.
Arm = tuple[str | None, str]

MEMORY_COLUMNS = ("network", "variant", "float_bytes", "packed_bytes")
SWEEP_COLUMNS = (
    *("network", "subset", "bits", "images", "classes", "repeat", "scope"),
    *("median_icd", "n", "correct", "top1"),
)

ICDS = ("median_icd", "mean_icd")

# Ids of the sweep's arms; no variant of a config can have these names.
SWEEP_ARMS = {"subset": "sweep/aware_most", "all": "sweep/agnostic_most"}


@dataclass(frozen=True, eq=False)
class Evidence:
    """Observations by arm (the table of ``laq.observations.read``) and which arm plays what.

    ``memory``: the table of file sizes, None where there is none. ``notes``: by role, what a
    reader should know of the arm that plays it.
    """

    table: pd.DataFrame
    arms: Mapping[str, Arm]
    memory: pd.DataFrame | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    def settings(self) -> list[str]:
        """Settings judged one by one: every one of the table, or the one the arms are bound to."""
        bound = {setting for setting, _ in self.arms.values()}
        if None in bound or not bound:
            return list(dict.fromkeys(self.table["setting"]))
        main, _ = self.arms.get("original") or next(iter(self.arms.values()))
        return [str(main)]

    def lacking(self, setting: str, roles: Sequence[str]) -> list[str]:
        """Those of ``roles`` that no rows of the table play."""
        return [role for role in roles if self._key(setting, role, "all") not in self._means]

    def pairs(self, setting: str, effect: Difference, icd: str) -> tuple[np.ndarray, np.ndarray]:
        """The difference on each subset that both roles have, and its ICD: two (n,) float64.

        Repeats are averaged first. ``icd`` is the column, median_icd or mean_icd.
        """
        ours = self._means[self._key(setting, effect.role, effect.scope)]
        other_scope = effect.reference_scope or effect.scope
        theirs = self._means[self._key(setting, effect.reference, other_scope)]
        both = ours.index.intersection(theirs.index, sort=False)
        ours, theirs = ours.loc[both], theirs.loc[both]
        return (ours["top1"] - theirs["top1"]).to_numpy(float), ours[icd].to_numpy(float)

    def savings(self, setting: str, role: str) -> np.ndarray:
        """Share of the original's file that each of a role's files saves: (n,), maybe none."""
        if self.memory is None or role not in self.arms:
            return np.empty(0)
        bound, variant = self.arms[role]
        rows = self.memory
        rows = rows[(rows["network"] == (bound or setting)) & (rows["variant"] == variant)]
        return 1 - (rows["packed_bytes"] / rows["float_bytes"]).to_numpy(np.float64)

    def repeats(self) -> list[int]:
        """The repeats that some arm has."""
        return sorted({int(repeat) for repeat in self._played()["repeat"]})

    def knows_mean_icd(self) -> bool:
        """Whether the mean ICD of every subset is known."""
        played = self._played()
        return "mean_icd" in played and bool(played["mean_icd"].notna().all())

    def at_repeat(self, repeat: int) -> Evidence:
        """One repeat alone: of a subset that an arm has not made so often, the first."""
        unit = [self.table[name] for name in ("setting", "variant", "scope", "subset")]
        here = self.table["repeat"] == repeat
        first = self.table["repeat"] == self.table["repeat"].groupby(unit).transform("min")
        kept = here | (first & ~here.groupby(unit).transform("any"))
        return replace(self, table=self.table[kept])

    def _played(self) -> pd.DataFrame:
        """The rows that some role of the claims refers to."""
        variants = {variant for _, variant in self.arms.values()}
        return self.table[self.table["variant"].isin(variants)]

    @cached_property
    def _means(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        """Means over repeats by setting, variant and scope: subset × top1 and the ICDs."""
        arm = ["setting", "variant", "scope"]
        columns = [name for name in ("top1", *ICDS) if name in self.table]
        means = self.table.groupby([*arm, "subset"], sort=False)[columns].mean()
        groups = means.groupby(level=arm, sort=False)
        return {key: rows.droplevel(arm) for key, rows in groups}

    def _key(self, setting: str, role: str, scope: str) -> tuple[str, str, str] | None:
        if role not in self.arms:
            return None
        bound, variant = self.arms[role]
        return bound or setting, variant, scope


def with_sweep(evidence: Evidence, sweep: pd.DataFrame) -> Evidence:
    """The evidence with the sweep's arms at its largest calibration size.

    The sweep changes bits at one size and the size at one number of bits; that number is the one
    with most sizes. A sweep of one size says nothing of others and adds no arm.
    """
    sweep = sweep[sweep["subset"].isin(evidence.table["subset"])]
    if sweep["images"].nunique() < 2:
        return evidence
    sizes = sweep.groupby("bits")["images"].agg(["nunique", "max"])
    bits = sizes.sort_values(["nunique", "max"], kind="stable").index[-1]
    images = sizes.loc[bits, "max"]
    points = sweep[(sweep["bits"] == bits) & (sweep["images"] == images)]
    if unknown := set(points["classes"]) - set(SWEEP_ARMS):
        raise DataError(
            f"the sweep was calibrated on {', '.join(sorted(map(str, unknown)))}: "
            f"its column classes knows {' and '.join(SWEEP_ARMS)}; delete it and run again"
        )
    rows = points.assign(setting=points["network"], variant=points["classes"].map(SWEEP_ARMS))
    return replace(
        evidence,
        table=pd.concat([evidence.table, rows], ignore_index=True),
        arms={
            **evidence.arms,
            "aware_most": (None, SWEEP_ARMS["subset"]),
            "agnostic_most": (None, SWEEP_ARMS["all"]),
        },
        notes={**evidence.notes, "aware_most": f"{bits:g} bits, {images} calibration images"},
    )
