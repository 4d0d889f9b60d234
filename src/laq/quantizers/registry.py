"""The alphabets by name: functions ``fit(weight, bits, blocks, …)`` that give a grid.

``laq.config.methods`` has what the config asks of them.
"""

from __future__ import annotations

from collections.abc import Callable

from laq.quantizers import codebooks, uniform
from laq.quantizers.grids import Grid

ALPHABETS: dict[str, Callable[..., Grid]] = {
    "packed": uniform.packed,
    "paper": uniform.paper,
    "symmetric": uniform.symmetric,
    "asymmetric": uniform.asymmetric,
    "ternary": uniform.ternary,
    "binary": uniform.binary,
    "kmeans": codebooks.kmeans,
    "powers": codebooks.powers,
    "quantiles": codebooks.quantiles,
}
