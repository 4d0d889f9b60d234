"""How well draws of calibration images tell the Gram similarity of a study's subsets.

    python benchmarks/similarity.py results/digits [--images 16 64 256] [--repeats 1 4] [--draws 6]

For each number of images and of repeats, measured anew from other seeds: the mean floor (two
disjoint draws from all classes), the mean similarity, and the rank correlation of two
measurements over the subsets, by similarity and by distance.
"""

from __future__ import annotations

import argparse
import sys
from itertools import combinations, product
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from laq import data
from laq.checkpoints import packing
from laq.experiments.similarity import of_subset
from laq.utils.files import read_json

COLUMNS = ("gram_similarity", "gram_distance", "gram_floor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="a study that has run")
    parser.add_argument("--images", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--repeats", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--draws", type=int, default=6)
    given = parser.parse_args()
    split = data.load(given.root / "dataset/train.npz", given.root / "dataset/classes.json")
    subsets = [read_json(path)["indices"] for path in sorted(given.root.glob("subsets/*.json"))]
    print("| network | images | repeats | floor | similarity | ranks agree | by distance |")
    print("|---|---|---|---|---|---|---|")
    for path in sorted(given.root.glob("models/*/original.safetensors")):
        network = packing.load(path)
        for images, repeats in product(given.images, given.repeats):
            of = (network, split.images, split.labels)
            rows = [
                [of_subset(*of, members, images, repeats, seed) for members in subsets]
                for seed in range(1, given.draws + 1)
            ]
            # (draws, subsets) each
            alike, apart, floor = (
                np.array([[row[column] for row in draw] for draw in rows]) for column in COLUMNS
            )
            print(
                f"| {path.parent.name} | {images} | {repeats} | {np.nanmean(floor):.4f} "
                f"| {alike.mean():.4f} | {agreement(alike):.2f} | {agreement(apart):.2f} |"
            )


def agreement(values: np.ndarray) -> float:
    """Mean rank correlation over the subsets of all pairs of draws; values (draws, subsets)."""
    return float(np.mean([spearmanr(a, b).statistic for a, b in combinations(values, 2)]))


if __name__ == "__main__":
    main()
