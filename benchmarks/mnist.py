"""Deep Compression of the LeNets on MNIST, over seeds, beside the published numbers.

    for seed in 0 1 2; do
      snakemake --cores 2 results/mnist_$seed/deep/lenet_300_100/stages.csv \
          results/mnist_$seed/deep/lenet5/stages.csv \
          --config seed=$seed root=results/mnist_$seed --configfile config/mnist.yaml
    done
    python benchmarks/mnist.py results/mnist_0 results/mnist_1 results/mnist_2 \
        --csv docs/findings/mnist.csv

A row a network and stage: means over the seeds of the ratio and of top-1, their least and largest.
Ratios are of files, everything in them. Published: Han, Mao and Dally 2016, tables 1 and 2; ratios
from bits of weights, indices and codebooks. The published error is given for the last stage alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

STAGES = {"original": "float", "pruned": "P", "shared": "P+Q", "huffman": "P+Q+H"}
# Ratio and top-1 in percent, by network and stage.
PUBLISHED = {
    ("lenet_300_100", "original"): (1, 98.36),
    ("lenet_300_100", "pruned"): (12, None),
    ("lenet_300_100", "shared"): (32, None),
    ("lenet_300_100", "huffman"): (40, 98.42),
    ("lenet5", "original"): (1, 99.20),
    ("lenet5", "pruned"): (12, None),
    ("lenet5", "shared"): (33, None),
    ("lenet5", "huffman"): (39, 99.26),
}


def table(roots: list[Path]) -> pd.DataFrame:
    """The rows of all roots, put together."""
    stages = pd.concat(
        [pd.read_csv(path) for root in roots for path in sorted(root.glob("deep/*/stages.csv"))]
    )
    rows = []
    for (network, stage), (ratio, top1) in PUBLISHED.items():
        own = stages[(stages["network"] == network) & (stages["stage"] == stage)]
        accuracy = 100 * own["top1"]
        rows.append(
            {
                "network": network,
                "stage": STAGES[stage],
                "seeds": len(own),
                "n": int(own["n"].iloc[0]),
                "ratio": round(own["ratio"].mean(), 1),
                "ratio_low": round(own["ratio"].min(), 1),
                "ratio_high": round(own["ratio"].max(), 1),
                "top1": round(accuracy.mean(), 3),
                "top1_low": round(accuracy.min(), 2),
                "top1_high": round(accuracy.max(), 2),
                "published_ratio": ratio,
                "published_top1": top1,
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("roots", type=Path, nargs="+")
    parser.add_argument("--csv", type=Path, required=True)
    chosen = parser.parse_args()
    found = table(chosen.roots)
    chosen.csv.parent.mkdir(parents=True, exist_ok=True)
    found.to_csv(chosen.csv, index=False)
    print(found.to_string(index=False))


if __name__ == "__main__":
    main()
