"""The compression methods and the alphabets by name: one line each.

A method chooses codes. An alphabet gives the levels that the codes stand for. This module has what
the config needs to know of them; ``laq.ptq.registry`` has the functions of the methods,
``laq.quantizers.registry`` those of the alphabets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_EVERY = ("per_tensor", "per_channel", "per_channel_group", "per_group")


@dataclass(frozen=True)
class Method:
    """rounding: a kind of ``laq.quantizers.rounding``. options: settings of its solver. data:
    whether codes depend on images. equispaced: whether it takes grids of equispaced levels alone.
    granularities: those that scales may have, of those that the alphabet takes.
    """

    rounding: str = "nearest"
    options: tuple[str, ...] = ()
    data: bool = True
    equispaced: bool = True
    granularities: tuple[str, ...] = _EVERY

    @property
    def moves_levels(self) -> bool:
        """Whether it comes with levels of its own around zero."""
        return self.rounding in ("soft", "hard")

    @property
    def settings(self) -> tuple[str, ...]:
        """Settings that make a difference to it: options of the solver, and of the rounding."""
        return (*self.options, *(("threshold",) if self.moves_levels else ()))


@dataclass(frozen=True)
class AlphabetSpec:
    """bits: those that it takes. settings: other settings that it takes. granularities: those that
    its scales may have. equispaced: whether its levels are equispaced.
    """

    bits: range
    settings: tuple[str, ...] = ()
    granularities: tuple[str, ...] = _EVERY
    equispaced: bool = True


METHODS = {
    "gpfq": Method(options=("ridge",)),
    "sgpfq": Method("stochastic", options=("ridge",)),
    "gpfq_l1": Method("soft", options=("ridge",)),
    "gpfq_l0": Method("hard", options=("ridge",)),
    "gptq": Method(options=("damping",)),
    "qronos": Method(options=("damping",)),
    "beacon": Method(options=("cycles",), granularities=("per_channel",)),
    "adaround": Method(options=("steps",)),
    "rtn": Method(data=False, equispaced=False),
    "msq": Method(data=False, equispaced=False),  # the name of rtn in the GPFQ papers
    "stochastic": Method("stochastic", data=False),
}

_OWN = ("per_tensor", "per_channel")
_FILTERS = ("per_tensor", "per_channel", "per_channel_group")
_MANY = range(2, 33)
ALPHABETS = {
    "packed": AlphabetSpec(_MANY, ("scale", "quantile"), _OWN),
    "paper": AlphabetSpec(_MANY, ("scale", "quantile"), _OWN),
    "symmetric": AlphabetSpec(_MANY, ("range", "percentile")),
    "asymmetric": AlphabetSpec(_MANY, ("range", "percentile")),
    "ternary": AlphabetSpec(range(2, 3)),
    "binary": AlphabetSpec(range(1, 2)),
    "kmeans": AlphabetSpec(range(1, 9), (), _FILTERS, equispaced=False),
    "powers": AlphabetSpec(range(2, 9), (), _FILTERS, equispaced=False),
    "quantiles": AlphabetSpec(range(1, 9), (), _FILTERS, equispaced=False),
}


def unused(settings: Mapping[str, Any]) -> set[str]:
    """The ``compress`` settings that make no difference to a variant that has them."""
    method, alphabet = METHODS[settings["method"]], ALPHABETS[settings["alphabet"]]
    names = {name for table in (METHODS, ALPHABETS) for m in table.values() for name in m.settings}
    unused_names = names - {*method.settings, *alphabet.settings}
    if settings.get("sweeps"):
        unused_names.discard("ridge")
    if settings.get("range") != "percentile":
        unused_names.add("percentile")
    if settings["granularity"] not in ("per_channel_group", "per_group"):
        unused_names.add("group")
    return unused_names
