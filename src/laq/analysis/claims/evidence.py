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
    """Observations by arm, and the arm of each role.

    ``table``: as ``laq.analysis.observations.read`` gives it. ``memory``: the table of file
    sizes, or None. ``notes``: by role, a note for the reader on its arm. ``bits``: by role, the
    bits per weight of its arm, where they are known and one number. ``networks``: by setting, the
    measured network, where a log names it.
    """

    table: pd.DataFrame
    arms: Mapping[str, Arm]
    memory: pd.DataFrame | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    bits: Mapping[str, float] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)

    def settings(self) -> list[str]:
        """Settings judged one by one: every one of the table, or the one the arms are bound to."""
        settings = {setting for setting, _ in self.arms.values()}
        if None in settings or not settings:
            return list(dict.fromkeys(self.table["setting"]))
        main, _ = self.arms.get("original") or next(iter(self.arms.values()))
        return [str(main)]

    def lacking(self, setting: str, roles: Sequence[str]) -> list[str]:
        """Those of ``roles`` whose arm has no rows in the table."""
        return [role for role in roles if self._key(setting, role, "all") not in self._means]

    def unfit(self, setting: str, claim: Claim) -> str:
        """Why the arms of a claim's roles do not fit the claim; empty where they do."""
        for role, bits in claim.bits.items():
            if self.bits.get(role, bits) != bits:
                return f"{ROLES[role]} has {self.bits[role]:g} bits here, not {bits:g}"
        networks = {role: self.networks.get(self.arms[role][0] or setting) for role in claim.roles}
        logged = {role: network for role, network in networks.items() if network}
        if len(set(logged.values())) > 1:
            listing = ", ".join(f"{ROLES[role]} on {network}" for role, network in logged.items())
            return f"measured on different networks, which do not compare: {listing}"
        return ""

    def pairs(self, setting: str, effect: Difference, icd: str) -> tuple[np.ndarray, np.ndarray]:
        """The difference on each subset that both roles have, and its ICD: two (n,) float64.

        Repeats are averaged first. ``icd`` is the column, median_icd or mean_icd.
        """
        means = self._means[self._key(setting, effect.role, effect.scope)]
        reference_scope = effect.reference_scope or effect.scope
        reference = self._means[self._key(setting, effect.reference, reference_scope)]
        subsets = means.index.intersection(reference.index, sort=False)
        means, reference = means.loc[subsets], reference.loc[subsets]
        return (means["top1"] - reference["top1"]).to_numpy(float), means[icd].to_numpy(float)

    def savings(self, setting: str, role: str) -> np.ndarray:
        """Share of the original's file that a role's file saves, by subset: (n,), maybe empty.

        Of several repeats the least saving counts.
        """
        if self.memory is None or role not in self.arms:
            return np.empty(0)
        arm_setting, variant = self.arms[role]
        rows = self.memory
        rows = rows[(rows["network"] == (arm_setting or setting)) & (rows["variant"] == variant)]
        shares = 1 - rows["packed_bytes"] / rows["float_bytes"]
        return shares.groupby(rows["subset"], sort=False).min().to_numpy(np.float64)

    def repeats(self) -> list[int]:
        """The repeats that some arm has."""
        return sorted({int(repeat) for repeat in self._played()["repeat"]})

    def knows_mean_icd(self) -> bool:
        """Whether the mean ICD of every subset is known."""
        rows = self._played()
        return "mean_icd" in rows and bool(rows["mean_icd"].notna().all())

    def at_repeat(self, repeat: int) -> Evidence:
        """The evidence of one repeat; where an arm lacks it for a subset, its first repeat."""
        keys = [self.table[name] for name in ("setting", "variant", "scope", "subset")]
        is_repeat = self.table["repeat"] == repeat
        is_first = self.table["repeat"] == self.table["repeat"].groupby(keys).transform("min")
        mask = is_repeat | (is_first & ~is_repeat.groupby(keys).transform("any"))
        return replace(self, table=self.table[mask])

    def _played(self) -> pd.DataFrame:
        """The rows that some role of the claims refers to."""
        mask = np.zeros(len(self.table), dtype=bool)
        for setting, variant in self.arms.values():
            match = (self.table["variant"] == variant).to_numpy()
            mask |= match if setting is None else match & (self.table["setting"] == setting)
        return self.table[mask]

    @cached_property
    def _means(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        """Means over repeats by setting, variant and scope: subset × top1 and the ICDs."""
        levels = ["setting", "variant", "scope"]
        columns = [name for name in ("top1", *ICDS) if name in self.table]
        means = self.table.groupby([*levels, "subset"], sort=False)[columns].mean()
        groups = means.groupby(level=levels, sort=False)
        return {key: rows.droplevel(levels) for key, rows in groups}

    def _key(self, setting: str, role: str, scope: str) -> tuple[str, str, str] | None:
        if role not in self.arms:
            return None
        arm_setting, variant = self.arms[role]
        return arm_setting or setting, variant, scope


# Calibration images count as many more from this multiple of the variant's own on.
MANY = 2


def with_logs(evidence: Evidence, logs: pd.DataFrame) -> Evidence:
    """The evidence with the bits and networks that the record of published logs states.

    A log whose rows differ in one of them has no value of it.
    """
    networks = dict(zip(logs["setting"], logs["network"].fillna("").astype(str), strict=True))
    widths = pd.to_numeric(logs.set_index("setting")["bits"], errors="coerce").dropna()
    bits = {
        role: float(widths[setting])
        for role, (setting, variant) in evidence.arms.items()
        if setting in widths and variant in ("quant", "ft_quant")
    }
    return replace(evidence, bits={**evidence.bits, **bits}, networks=networks)


def with_sweep(evidence: Evidence, sweep: pd.DataFrame, bits: int, images: int) -> Evidence:
    """The evidence with the sweep's arms at its largest calibration size.

    ``bits`` and ``images``: of the variant that the sweep departs from. The sweep varies the bits
    at that number of images, and the number of images at those bits. A sweep without many more
    images adds no arm.
    """
    sweep = sweep[sweep["subset"].isin(evidence.table["subset"]) & (sweep["bits"] == bits)]
    if sweep.empty or sweep["images"].max() < MANY * images:
        return evidence
    max_images = sweep["images"].max()
    points = sweep[sweep["images"] == max_images]
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
        notes={**evidence.notes, "aware_most": f"{bits} bits, {max_images} calibration images"},
    )
