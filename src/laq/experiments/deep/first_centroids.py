"""Ways to choose the first centroids of k-means: error and accuracy before and after training.

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

# Columns that identify a row.
POINT = ("bits", "initial", "repeat", "stage")


@dataclass(frozen=True)
class CentroidPoint:
    """One choice of first centroids.

    bits: of all layers' codes. initial: a key of ``laq.deep_compression.weight_clustering.WAYS``.
    repeat: number of the draw, from 1.
    """

    bits: int
    initial: str
    repeat: int


def points(widths: Sequence[int], repeats: int) -> list[CentroidPoint]:
    """All points that are compared; only ``random`` has ``repeats``."""
    return [
        CentroidPoint(bits, way, repeat)
        for bits in widths
        for way in weight_clustering.WAYS
        for repeat in range(1, 1 + (repeats if way == "random" else 1))
    ]


@dataclass(frozen=True, eq=False)
class CentroidComparison:
    """A comparison of points, on the pruned network of ``bench``.

    network: pruned. weights: of its layers. masks: where weights are kept, by layer. described:
    description in its file.
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
        masks = {
            name.removesuffix(".weight"): weight.weight() != 0 for name, weight in weights.items()
        }
        return cls(bench, settings, packing.load(pruned), weights, masks, described)

    def kept(self, table: Path) -> Kept:
        """The cache of finished points, kept until ``table`` is written."""
        task = self.bench.task
        origin = self.described["digest"], task.described["digest"], dict(self.settings), task.seed
        splits = task.train, task.test
        arrays = [array for split in splits for array in (split.images, split.labels)]
        return Kept(table, {"of": origin, "device": task.device.type}, arrays)

    def run(self, asked: Sequence[CentroidPoint], kept: Kept) -> tuple[list[Row], list[Row]]:
        """Two rows a point, and the seconds of each; points kept from before a kill are not run."""
        all_rows, times = [], []
        for point in tqdm(asked, desc="first centroids"):
            key = asdict(point)
            record = kept.find(key)
            if record is None:
                state = resume.beside(kept.folder / "centroids")
                rows, seconds = timed(self.rows(point, state), POINT)
                record = {"rows": rows, "seconds": seconds}
                kept.keep(key, record)
                resume.clear(state)
            all_rows += record["rows"]
            times += record["seconds"]
        return all_rows, times

    def rows(self, point: CentroidPoint, state: Path | None = None) -> Iterator[Row]:
        """The row before centroids are trained, and that after; ``state``: of this training.

        All ways use the same batches in the same repeat.
        """
        bits = dict.fromkeys(("bits_conv", "bits_linear"), point.bits)
        point_settings = {**self.settings, **bits, "initial": point.initial}
        network = copy.deepcopy(self.network)
        trainer = self.bench.trainer(point_settings, point.repeat, state)
        sharing = pipeline.share(network, self.bench.train, self.masks, point_settings, trainer)
        description = self.bench.describe(point_settings)
        states = {
            "clustered": (sharing.clustered, sharing.clusters),
            "shared": (network.state_dict(), sharing.shared),
        }
        for stage, (values, shared) in states.items():
            columns = self.bench.filed(values, description, shared)
            yield {
                **asdict(point),
                "stage": stage,
                "error": error(self.weights, shared),
                "bytes": columns["huffman_bytes"],
                "ratio": columns["huffman_ratio"],
                **{name: columns[name] for name in ("n", "correct", "top1")},
            }


def error(weights: Mapping[str, PrunedWeight], shared: Mapping[str, SharedWeight]) -> float:
    """‖w − c‖ / ‖w‖ over all weights that are kept, c being the centroid of w.

    0 where all weights are 0.
    """
    squared_error = sum(
        _squares(weight.weight() - shared[name].weight()) for name, weight in weights.items()
    )
    squared_norm = sum(_squares(weight.values) for weight in weights.values())
    return math.sqrt(squared_error / squared_norm) if squared_norm else 0.0


def _squares(values: Any) -> float:
    return float(values.double().square().sum())
