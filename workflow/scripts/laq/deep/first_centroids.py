"""Where k-means begins, compared: what is lost, before and after centroids are trained.

After Han et al. 2016, figure 8.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from laq import lineage, packing
from laq.deep import checkpoint, initial
from laq.deep import course as courses
from laq.deep.bench import Bench, Row, Settings
from laq.deep.coded import PrunedWeight, SharedWeight

# Columns that say which row it is.
POINT = ("bits", "initial", "repeat", "stage")


def compare(
    bench: Bench, pruned: str, parent: str, settings: Settings, widths: Sequence[int], repeats: int
) -> Iterator[Row]:
    """Rows of the network in the file ``pruned``, which was made from the one in ``parent``.

    ``random`` has ``repeats``; all ways share their batches in the same repeat.

    Raises ``CheckpointError`` for a file of another network.
    """
    described = lineage.describe(pruned)
    lineage.check_parent(pruned, described, parent, bench.task.described["digest"])
    network, weights = packing.load(pruned), checkpoint.contained(pruned).weights
    masks = {name.removesuffix(".weight"): own.weight() != 0 for name, own in weights.items()}
    for bits in widths:
        for way in initial.WAYS:
            for repeat in range(1, 1 + (repeats if way == "random" else 1)):
                own = {**settings, "bits_conv": bits, "bits_linear": bits, "initial": way}
                made = copy.deepcopy(network)
                trainer = bench.trainer(own, repeat)
                found = courses.share(made, bench.train, masks, own, trainer)
                told = bench.describe(own)
                states = {
                    "clustered": (found.clustered, found.clusters),
                    "shared": (made.state_dict(), found.shared),
                }
                for stage, (state, shared) in states.items():
                    filed = bench.filed(state, told, shared)
                    yield {
                        "bits": bits,
                        "initial": way,
                        "repeat": repeat,
                        "stage": stage,
                        "error": error(weights, shared),
                        "bytes": filed["huffman_bytes"],
                        "ratio": filed["huffman_ratio"],
                        **{name: filed[name] for name in ("n", "correct", "top1")},
                    }


def error(weights: Mapping[str, PrunedWeight], shared: Mapping[str, SharedWeight]) -> float:
    """‖w − c‖ / ‖w‖ over all weights that are kept, c being the value that stands for w."""
    lost = sum(_squares(own.weight() - shared[name].weight()) for name, own in weights.items())
    return math.sqrt(lost / sum(_squares(own.values) for own in weights.values()))


def _squares(values: Any) -> float:
    return float(values.double().square().sum())
