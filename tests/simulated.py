"""Made-up studies: accuracy tables with known effects, for tests of the verdicts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from laq.analysis.claims.evidence import SWEEP_ARMS, Evidence
from laq.analysis.claims.rules import ROLES

SETTING = "net"
SWEPT = {"aware_most": SWEEP_ARMS["subset"], "agnostic_most": SWEEP_ARMS["all"]}

# Top-1 by role and scope: a share, or one a subset.
Top1 = Mapping[str, Mapping[str, float | np.ndarray]]


def distances(n: int) -> np.ndarray:
    """Median ICD of n subsets, (n,), evenly over two decades."""
    return np.geomspace(0.5, 80, n)


def observations(
    top1: Top1, n: int, setting: str = SETTING, repeat: int = 1, icd: np.ndarray | None = None
) -> pd.DataFrame:
    """The table of ``laq.analysis.observations.read`` for n subsets; a role is its own variant."""
    icd = distances(n) if icd is None else icd
    parts = [
        pd.DataFrame(
            {
                "setting": setting,
                "network": setting,
                "subset": [f"s{place:02d}" for place in range(n)],
                "variant": SWEPT.get(role, role),
                "repeat": repeat,
                "scope": scope,
                "median_icd": icd,
                "mean_icd": icd * 1.1,
                "top1": np.broadcast_to(np.asarray(value, float), n),
            }
        )
        for role, scopes in top1.items()
        for scope, value in scopes.items()
    ]
    return pd.concat(parts, ignore_index=True)


def own_arms(roles: Mapping[str, object] = ROLES) -> dict[str, tuple[str | None, str]]:
    """Every role played by the variant of its name, in whichever setting."""
    return {role: (None, SWEPT.get(role, role)) for role in roles}


def evidence(top1: Top1, n: int = 12, **kwargs: object) -> Evidence:
    return Evidence(observations(top1, n, **kwargs), own_arms(top1))


def published_like(n: int = 12) -> dict[str, dict[str, float | np.ndarray]]:
    """Mean effects as the published study states them, without noise."""
    slope = 0.04 * np.log(distances(n) / 12)  # of Quant − Original: it changes sign at 12
    return {
        "original": {"all": 0.83, "subset": 0.941},
        "quant": {"all": 0.83 + slope, "subset": 0.83 + slope},
        "ft": {"all": 0.94, "subset": 0.941},
        "ft_quant": {"all": 0.81 + slope, "subset": 0.81 + slope},
        "mp53": {"all": 0.845 + slope, "subset": 0.845 + slope},
        "mp35": {"all": 0.69 + slope, "subset": 0.69 + slope},
        "agnostic": {"all": 0.80 + slope, "subset": 0.80 + slope},
        "bits32": {"all": 0.83, "subset": 0.941},
        "aware_most": {"all": 0.85, "subset": 0.85},
        "agnostic_most": {"all": 0.83, "subset": 0.83},
    }


# Scatter of mean 0 and without a trend in ln(ICD).
WAVE = np.tile([1.0, -1.0, -1.0, 1.0], 3)


def study(changes: Mapping[str, Mapping[str, float | np.ndarray]] | None = None) -> Top1:
    """The published study on 12 subsets, some arms changed; all but the original's scatter."""
    top1 = published_like(len(WAVE))
    for role, scopes in (changes or {}).items():
        top1[role] = {**top1[role], **scopes}
    return {
        role: {
            scope: value + (0 if role == "original" else 0.002 * WAVE * (1 + place / 10))
            for scope, value in scopes.items()
        }
        for place, (role, scopes) in enumerate(top1.items())
    }


def on_the_border() -> dict[str, dict[str, float]]:
    """Every effect of every claim exactly on a bound of its region."""
    return {
        "original": {"all": 0.80, "subset": 0.90},
        "quant": {"all": 0.80, "subset": 0.79},
        "ft": {"all": 0.80, "subset": 0.91},
        "ft_quant": {"all": 0.80, "subset": 0.79},
        "mp53": {"all": 0.80},
        "mp35": {"all": 0.75},
        "agnostic": {"all": 0.80},
        "bits32": {"all": 0.81, "subset": 0.89},
        "aware_most": {"all": 0.80},
        "agnostic_most": {"all": 0.80},
    }


NOISE = ("even", "skewed", "falling")


def scattered(
    top1: Top1, n: int, noise: str, generator: np.random.Generator, scale: float = 0.03
) -> dict[str, dict[str, np.ndarray]]:
    """``top1`` with noise of standard deviation ``scale`` in every arm but the original's.

    ``even``: normal. ``skewed``: gamma of skewness 1, to either side by role, as skewed as the
    differences of published logs get near a margin. ``falling``: normal, falling sixfold along
    the ICD. Quant's two scopes move together, a tenth of the noise apart.
    """
    spread = np.full(n, scale)
    if noise == "falling":
        spread = np.geomspace(2 * scale, scale / 3, n)
    result: dict[str, dict[str, np.ndarray]] = {}
    for place, (role, scopes) in enumerate(top1.items()):
        draw = {scope: _draw(noise, n, generator) * (-1) ** place for scope in scopes}
        if role == "original":
            draw = dict.fromkeys(scopes, np.zeros(n))
        elif role == "quant":
            draw["subset"] = draw["all"] + 0.1 * draw["subset"]
        result[role] = {scope: value + spread * draw[scope] for scope, value in scopes.items()}
    return result


def _draw(noise: str, n: int, generator: np.random.Generator) -> np.ndarray:
    """(n,) of mean 0 and variance 1."""
    if noise == "skewed":
        return (generator.gamma(4, size=n) - 4) / 2
    return generator.normal(size=n)
