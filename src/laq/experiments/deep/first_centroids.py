"""Where k-means begins, compared: what is lost, before and after centroids are trained.

After Han et al. 2016, figure 8.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from tqdm import tqdm

from laq.checkpoints import lineage, packing
from laq.checkpoints.deep_container import file
from laq.checkpoints.deep_container.sparse_weight import PrunedWeight, SharedWeight
from laq.deep_compression import pipeline, weight_clustering
from laq.experiments.deep.runner import Bench, Row, Settings, timed
from laq.experiments.trial_cache import Kept
from laq.training import resume

# Columns that say which row it is.
POINT = ("bits", "initial", "repeat", "stage")


@dataclass(frozen=True)
class CentroidPoint:
    """One way to begin with: bits of all layers' codes, of
    ``laq.deep_compression.weight_clustering``, which draw.
    """

    bits: int
    initial: str
    repeat: int


def points(widths: Sequence[int], repeats: int) -> list[CentroidPoint]:
    """All that are compared: ``random`` has ``repeats``."""
    return [
        CentroidPoint(bits, way, repeat)
        for bits in widths
        for way in weight_clustering.WAYS
        for repeat in range(1, 1 + (repeats if way == "random" else 1))
    ]


@dataclass(frozen=True, eq=False)
class CentroidComparison:
    """Of points, on the network of ``bench`` as it was pruned.

    weights: of its layers, pruned; masks: where they are kept. described: what its file says.
    """

    bench: Bench
    settings: Settings
    network: nn.Module
    weights: Mapping[str, PrunedWeight]
    masks: Mapping[str, Tensor]
    described: Mapping[str, Any]

    @classmethod
    def read(cls, bench: Bench, pruned: str, parent: str, settings: Settings) -> CentroidComparison:
        """Of the network in the file ``pruned``, which was made from the one in ``parent``.

        Raises ``CheckpointError`` for a file of another network.
        """
        described = lineage.describe(pruned)
        lineage.check_parent(pruned, described, parent, bench.task.described["digest"])
        weights = file.contained(pruned).weights
        masks = {name.removesuffix(".weight"): own.weight() != 0 for name, own in weights.items()}
        return cls(bench, settings, packing.load(pruned), weights, masks, described)

    def kept(self, table: Path) -> Kept:
        """The points that are done before ``table`` is written; their code is loaded here."""
        task = self.bench.task
        of = self.described["digest"], task.described["digest"], dict(self.settings), task.seed
        splits = task.train, task.test
        arrays = [each for split in splits for each in (split.images, split.labels)]
        return Kept(table, {"of": of, "device": task.device.type}, arrays)

    def run(self, asked: Sequence[CentroidPoint], kept: Kept) -> tuple[list[Row], list[Row]]:
        """Two rows a point, and what each took, but for those that are kept from before a kill."""
        found, times = [], []
        for point in tqdm(asked, desc="first centroids"):
            own = asdict(point)
            done = kept.find(own)
            if done is None:
                state = resume.beside(kept.folder / "centroids")
                rows, seconds = timed(self.rows(point, state), POINT)
                done = {"rows": rows, "seconds": seconds}
                kept.keep(own, done)
                resume.clear(state)
            found += done["rows"]
            times += done["seconds"]
        return found, times

    def rows(self, point: CentroidPoint, state: Path | None = None) -> Iterator[Row]:
        """The row before centroids are trained, and that after; ``state``: of this training.

        All ways share their batches in the same repeat.
        """
        bits = dict.fromkeys(("bits_conv", "bits_linear"), point.bits)
        own = {**self.settings, **bits, "initial": point.initial}
        made = copy.deepcopy(self.network)
        trainer = self.bench.trainer(own, point.repeat, state)
        found = pipeline.share(made, self.bench.train, self.masks, own, trainer)
        told = self.bench.describe(own)
        states = {
            "clustered": (found.clustered, found.clusters),
            "shared": (made.state_dict(), found.shared),
        }
        for stage, (values, shared) in states.items():
            filed = self.bench.filed(values, told, shared)
            yield {
                **asdict(point),
                "stage": stage,
                "error": error(self.weights, shared),
                "bytes": filed["huffman_bytes"],
                "ratio": filed["huffman_ratio"],
                **{name: filed[name] for name in ("n", "correct", "top1")},
            }


def error(weights: Mapping[str, PrunedWeight], shared: Mapping[str, SharedWeight]) -> float:
    """‖w − c‖ / ‖w‖ over all weights that are kept, c being the value that stands for w.

    0 where all weights are 0.
    """
    lost = sum(_squares(own.weight() - shared[name].weight()) for name, own in weights.items())
    whole = sum(_squares(own.values) for own in weights.values())
    return math.sqrt(lost / whole) if whole else 0.0


def _squares(values: Any) -> float:
    return float(values.double().square().sum())
