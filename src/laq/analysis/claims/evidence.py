"""What claims are judged on: the observations of each role, and the sizes of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from laq.analysis.claims.rules import ROLES, Claim, Difference
from laq.utils.errors import DataError

# An arm is a variant of a setting; None is whichever setting is being judged.
Arm = tuple[str | None, str]

MEMORY_COLUMNS = ("network", "subset", "variant", "float_bytes", "packed_bytes")
LOG_COLUMNS = ("setting", "network", "bits")
SWEEP_COLUMNS = (
    *("network", "subset", "bits", "images", "classes", "repeat", "scope"),
    *("median_icd", "n", "correct", "top1"),
)

ICDS = ("median_icd", "mean_icd")

# Ids of the sweep's arms; no variant of a config can have these names.
SWEEP_ARMS = {"subset": "sweep/aware_most", "all": "sweep/agnostic_most"}


@dataclass(frozen=True, eq=False)
class Evidence:
    """Observations by arm (the table of ``laq.analysis.observations.read``) and which arm plays
    what.

    ``memory``: the table of file sizes, None where there is none. ``notes``: by role, what a
    reader should know of the arm that plays it. ``bits``: by role, the bits a weight of its arm,
    where they are known and one number. ``networks``: by setting, the network measured, where a
    log says it.
    """

    table: pd.DataFrame
    arms: Mapping[str, Arm]
    memory: pd.DataFrame | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    bits: Mapping[str, float] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)

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

    def unfit(self, setting: str, claim: Claim) -> str:
        """Why the arms of a claim's roles are not what it speaks of; nothing where they are."""
        for role, needed in claim.bits.items():
            if self.bits.get(role, needed) != needed:
                return f"{ROLES[role]} has {self.bits[role]:g} bits here, not {needed:g}"
        measured = {role: self.networks.get(self.arms[role][0] or setting) for role in claim.roles}
        known = {role: network for role, network in measured.items() if network}
        if len(set(known.values())) > 1:
            each = ", ".join(f"{ROLES[role]} on {network}" for role, network in known.items())
            return f"measured on different networks, which do not compare: {each}"
        return ""

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
        """Share of the original's file that a role's file saves, a subset: (n,), maybe none.

        Of repeats the least.
        """
        if self.memory is None or role not in self.arms:
            return np.empty(0)
        bound, variant = self.arms[role]
        rows = self.memory
        rows = rows[(rows["network"] == (bound or setting)) & (rows["variant"] == variant)]
        saved = 1 - rows["packed_bytes"] / rows["float_bytes"]
        return saved.groupby(rows["subset"], sort=False).min().to_numpy(np.float64)

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
        played = np.zeros(len(self.table), dtype=bool)
        for setting, variant in self.arms.values():
            here = (self.table["variant"] == variant).to_numpy()
            played |= here if setting is None else here & (self.table["setting"] == setting)
        return self.table[played]

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


# So many times the variant's own calibration images are many more.
MANY = 2


def with_logs(evidence: Evidence, logs: pd.DataFrame) -> Evidence:
    """The evidence with what the record of published logs says of bits and networks.

    A log whose rows differ in one of them is of none.
    """
    networks = dict(zip(logs["setting"], logs["network"].fillna("").astype(str), strict=True))
    widths = pd.to_numeric(logs.set_index("setting")["bits"], errors="coerce").dropna()
    rounded = {
        role: float(widths[setting])
        for role, (setting, variant) in evidence.arms.items()
        if setting in widths and variant in ("quant", "ft_quant")
    }
    return replace(evidence, bits={**evidence.bits, **rounded}, networks=networks)


def with_sweep(evidence: Evidence, sweep: pd.DataFrame, bits: int, images: int) -> Evidence:
    """The evidence with the sweep's arms at its largest calibration size.

    ``bits`` and ``images``: of the variant that the sweep departs from. It changes bits at that
    size, and the size at those bits. One without many more images says nothing of them and adds
    no arm.
    """
    sweep = sweep[sweep["subset"].isin(evidence.table["subset"]) & (sweep["bits"] == bits)]
    if sweep.empty or sweep["images"].max() < MANY * images:
        return evidence
    most = sweep["images"].max()
    points = sweep[sweep["images"] == most]
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
        notes={**evidence.notes, "aware_most": f"{bits} bits, {most} calibration images"},
    )
