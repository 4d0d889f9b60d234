"""The conclusions of the study, and what would count as reproducing each.

This table was written before any of its verdicts was computed, and it is the only place with
margins. The rule is the same for all claims. A claim states the region in which an effect, or each
of several effects, lies. It is reproduced where the data rule out that the effect lies outside the
region, and not reproduced where they rule out that it lies inside. Both are judged at the study's
confidence and after Holm's correction over the family. Otherwise the claim is inconclusive.

Effects are differences of top-1, as shares: 0.01 is one percent point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

INFINITY = float("inf")

Scope = Literal["all", "subset"]
SCOPES: dict[Scope, str] = {"all": "All", "subset": "Sub"}

# Roles of variants. The last two are the sweep's at its largest number of calibration images.
ROLES = {
    "original": "Original",
    "quant": "Quant",
    "ft": "FT",
    "ft_quant": "(FT + Quant)",
    "mp53": "5+3",
    "mp35": "3+5",
    "agnostic": "label-agnostic",
    "bits32": "32-bit",
    "aware_most": "label-aware with many images",
    "agnostic_most": "label-agnostic with many images",
}


@dataclass(frozen=True)
class Region:
    """The open interval (low, high), as shares."""

    low: float = -INFINITY
    high: float = INFINITY

    def __str__(self) -> str:
        return self.text(1)

    def text(self, scale: float) -> str:
        """In words, the bounds times ``scale``: ``> 0``, ``within 0.01``, ``0 to 0.05``."""
        low, high = self.low * scale, self.high * scale
        if self.high == INFINITY:
            return f"> {low:g}"
        if self.low == -INFINITY:
            return f"< {high:g}"
        return f"within {high:g}" if low == -high else f"{low:g} to {high:g}"

    def margin(self, value: float) -> float:
        """How far inside the region ``value`` lies; below 0 outside."""
        return min(value - self.low, self.high - value)

    @property
    def bounds(self) -> int:
        """Number of finite bounds: the ways to leave it."""
        return sum(abs(bound) != INFINITY for bound in (self.low, self.high))


@dataclass(frozen=True)
class Difference:
    """Mean over subsets of one role's top-1 less another's, both on the same subsets."""

    role: str
    reference: str
    scope: Scope
    reference_scope: Scope | None = None  # where it is another one

    def __str__(self) -> str:
        role, reference = ROLES[self.role], ROLES[self.reference]
        if self.reference_scope:
            scope, reference_scope = SCOPES[self.scope], SCOPES[self.reference_scope]
            return f"{role} on {scope} − {reference} on {reference_scope}"
        return f"{role} − {reference} on {SCOPES[self.scope]}"

    @property
    def roles(self) -> tuple[str, ...]:
        return (self.role, self.reference)


@dataclass(frozen=True)
class CurveAt(Difference):
    """That difference, fitted as a ln(ICD) + c, at a quantile of the subsets' ICD."""

    quantile: float = 0.5

    def __str__(self) -> str:
        quartile = {0.25: "lower quartile", 0.75: "upper quartile"}[self.quantile]
        return f"curve of {super().__str__()} at the {quartile} of ICD"


@dataclass(frozen=True)
class Saving:
    """Share by which a role's file is smaller than the original's; measured, without a p value."""

    role: str

    def __str__(self) -> str:
        return f"1 − bytes of {ROLES[self.role]}'s file / bytes of Original's"

    @property
    def roles(self) -> tuple[str, ...]:
        return (self.role,)


Effect = Difference | Saving


@dataclass(frozen=True)
class Claim:
    """A conclusion, the region its effects must lie in, and the effects.

    ``source``: ``study``, a conclusion of the published study; ``control``, one of ours.
    ``bits``: by role, the bits per weight that the claim is about; it says nothing of others.
    """

    id: str
    statement: str
    source: Literal["study", "control"]
    region: Region
    effects: tuple[Effect, ...]
    remark: str = ""
    bits: Mapping[str, float] = field(default_factory=dict)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles it needs, each once."""
        return tuple(dict.fromkeys(role for effect in self.effects for role in effect.roles))

    @property
    def ways_to_fail(self) -> int:
        return self.region.bounds * len(self.effects)


ABOVE_0, BELOW_0, ALIKE = Region(low=0), Region(high=0), Region(-0.01, 0.01)

CLAIMS = (
    Claim(
        "ft_best",
        "Fine-tuning is better than the original and both quantized networks over all classes.",
        "study",
        ABOVE_0,
        tuple(
            Difference("ft", reference, "all") for reference in ("original", "quant", "ft_quant")
        ),
    ),
    Claim(
        "alike_subset",
        "Restricted to the subset's classes, the original and the fine-tuned network are alike.",
        "study",
        ALIKE,
        (Difference("ft", "original", "subset"),),
    ),
    Claim(
        "ft_quant_worse",
        "Quantizing the fine-tuned network gives less than quantizing the original.",
        "study",
        ABOVE_0,
        (Difference("quant", "ft_quant", "all"), Difference("quant", "ft_quant", "subset")),
    ),
    Claim(
        "original_wins_low",
        "The original beats the quantized network where classes are close (low ICD).",
        "study",
        BELOW_0,
        (CurveAt("quant", "original", "all", quantile=0.25),),
    ),
    Claim(
        "quant_wins_high",
        "The quantized network beats the original where classes are far apart (high ICD).",
        "study",
        ABOVE_0,
        (CurveAt("quant", "original", "all", quantile=0.75),),
    ),
    Claim(
        "mp53_slightly_better",
        "5 bits for the first half of the weights and 3 for the second is slightly better than 4.",
        "study",
        Region(0, 0.05),
        (Difference("mp53", "quant", "all"),),
        bits={"quant": 4},
    ),
    Claim(
        "mp53_far_better",
        "5 bits first and 3 second is far better than the other way round.",
        "study",
        Region(low=0.05),
        (Difference("mp53", "mp35", "all"),),
    ),
    Claim(
        "saves_875",
        "4 bits save 87.5 % of the memory.",
        "study",
        Region(0.865, 0.885),
        (Saving("quant"),),
        remark="the published “4 bits” alphabet has 17 levels, one too many for a 4-bit code",
        bits={"quant": 4},
    ),
    Claim(
        "keeps_unrestricted",
        "The quantized network keeps its accuracy without the restriction to the subset.",
        "study",
        ALIKE,
        (Difference("quant", "quant", "all", "subset"),),
    ),
    Claim(
        "label_aware",
        "It is the labels: calibrating on the subset's classes beats calibrating on all.",
        "control",
        ABOVE_0,
        (Difference("quant", "agnostic", "all"),),
    ),
    Claim(
        "rounding",
        "Without rounding, at 32 bits, the algorithm leaves accuracy as it was.",
        "control",
        ALIKE,
        (Difference("bits32", "original", "all"), Difference("bits32", "original", "subset")),
    ),
    Claim(
        "survives_images",
        "With many more calibration images the subset's classes are still better than all.",
        "control",
        ABOVE_0,
        (Difference("aware_most", "agnostic_most", "all"),),
    ),
)
