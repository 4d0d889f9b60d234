"""The rule of docs/tutorial.md and docs/artifacts.yaml, worked out from the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def recommended(rows: Sequence[Mapping[str, Any]], tolerance: float) -> str:
    """The variant of one subset's rows of tables/deploy.csv that is to be taken.

    Of the files within ``tolerance`` of the best top-1 the smallest counts, and all up to 2 %
    larger; of these the most accurate, then the smallest, then the first.
    """
    right = [round(float(row["top1"]) * int(row["n"])) for row in rows]
    sizes = [int(row["bytes"]) for row in rows]
    # Whole numbers, a millionth of an image allowed: 0.01 is not exactly a hundredth.
    near = [
        i for i in range(len(rows)) if max(right) - right[i] <= tolerance * int(rows[i]["n"]) + 1e-6
    ]
    least = min(sizes[i] for i in near)
    small = [i for i in near if 100 * sizes[i] <= 102 * least]
    return rows[min(small, key=lambda i: (-right[i], sizes[i], i))]["variant"]
