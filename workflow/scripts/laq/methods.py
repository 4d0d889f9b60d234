"""The compression methods and the alphabets by name: one line each.

A method chooses codes, an alphabet the levels that they stand for. A method is a module with
``solve(weight, samples, grid, *, rounding, …)``, a ``laq.layer.Solver`` once its options are bound;
an alphabet is a function ``fit(weight, bits, blocks, …)`` that gives one of ``laq.grids``. Both
are imported by name only when a variant asks for them, so that the workflow can rebuild exactly
the variants whose method or alphabet changed.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Method:
    """module: its solver's. rounding: a kind of ``laq.rounding``. options: what it takes. data:
    whether codes depend on images. equispaced: whether it takes grids of equispaced levels alone.
    """

    module: str
    rounding: str = "nearest"
    options: tuple[str, ...] = ()
    data: bool = True
    equispaced: bool = True

    @property
    def moves_levels(self) -> bool:
        """Whether it comes with levels of its own around zero."""
        return self.rounding in ("soft", "hard")

    @property
    def settings(self) -> tuple[str, ...]:
        """Settings that make a difference to it: options of the solver, and of the rounding."""
        return (*self.options, *(("threshold",) if self.moves_levels else ()))


@dataclass(frozen=True)
class Alphabet:
    """fit: module and function. bits: those it takes. settings: others it takes. granularities:
    that scales may have. equispaced: whether its levels are.
    """

    fit: str
    bits: range
    settings: tuple[str, ...] = ()
    granularities: tuple[str, ...] = ("per_tensor", "per_channel", "per_channel_group", "per_group")
    equispaced: bool = True

    @property
    def module(self) -> str:
        return self.fit.partition(":")[0]


METHODS = {
    "gpfq": Method("laq.gpfq", options=("ridge",)),
    "sgpfq": Method("laq.gpfq", "stochastic", options=("ridge",)),
    "gpfq_l1": Method("laq.gpfq", "soft", options=("ridge",)),
    "gpfq_l0": Method("laq.gpfq", "hard", options=("ridge",)),
    "gptq": Method("laq.gptq", options=("damping",)),
    "msq": Method("laq.msq", data=False, equispaced=False),
    "stochastic": Method("laq.msq", "stochastic", data=False),
}

_OWN = ("per_tensor", "per_channel")
_FILTERS = ("per_tensor", "per_channel", "per_channel_group")
_MANY = range(2, 33)
ALPHABETS = {
    "packed": Alphabet("laq.alphabets:packed", _MANY, ("scale", "quantile"), _OWN),
    "paper": Alphabet("laq.alphabets:paper", _MANY, ("scale", "quantile"), _OWN),
    "symmetric": Alphabet("laq.uniform:symmetric", _MANY, ("range", "percentile")),
    "asymmetric": Alphabet("laq.uniform:asymmetric", _MANY, ("range", "percentile")),
    "ternary": Alphabet("laq.uniform:ternary", range(2, 3)),
    "binary": Alphabet("laq.uniform:binary", range(1, 2)),
    "kmeans": Alphabet("laq.codebooks:kmeans", range(1, 9), (), _FILTERS, equispaced=False),
    "powers": Alphabet("laq.codebooks:powers", range(2, 9), (), _FILTERS, equispaced=False),
    "quantiles": Alphabet("laq.codebooks:quantiles", range(1, 9), (), _FILTERS, equispaced=False),
}


def solver(method: str) -> Any:
    """``solve`` of the method's module, imported now."""
    return importlib.import_module(METHODS[method].module).solve


def fit(alphabet: str) -> Any:
    """The alphabet's function, imported now."""
    module, _, name = ALPHABETS[alphabet].fit.partition(":")
    return getattr(importlib.import_module(module), name)


def modules(settings: Mapping[str, Any]) -> tuple[str, str]:
    """What a variant with these ``compress`` settings imports by name."""
    return METHODS[settings["method"]].module, ALPHABETS[settings["alphabet"]].module


def unused(settings: Mapping[str, Any]) -> set[str]:
    """The ``compress`` settings that make no difference to a variant that has them."""
    method, alphabet = METHODS[settings["method"]], ALPHABETS[settings["alphabet"]]
    every = {name for known in (METHODS, ALPHABETS) for m in known.values() for name in m.settings}
    left = every - {*method.settings, *alphabet.settings}
    if settings.get("range") != "percentile":
        left.add("percentile")
    if settings["granularity"] not in ("per_channel_group", "per_group"):
        left.add("group")
    return left
