"""The solvers of the methods by name; ``laq.config.methods`` has what the config asks of them.

A solver is ``solve(weight, samples, grid, *, rounding, …)``, a ``laq.ptq.layer.Solver`` once its
options are bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from laq.ptq import adaround, beacon, gpfq, gptq, qronos, rtn

SOLVERS: dict[str, Callable[..., Any]] = {
    "gpfq": gpfq.solve,
    "sgpfq": gpfq.solve,
    "gpfq_l1": gpfq.solve,
    "gpfq_l0": gpfq.solve,
    "gptq": gptq.solve,
    "qronos": qronos.solve,
    "beacon": beacon.solve,
    "adaround": adaround.solve,
    "rtn": rtn.solve,
    "msq": rtn.solve,
    "stochastic": rtn.solve,
}
