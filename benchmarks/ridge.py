"""How large should the ridge be? Agreement with the float network on images not calibrated on.

    python benchmarks/ridge.py results/models/small_resnet/original.safetensors \
        results/dataset/train.npz results/dataset/test.npz --csv docs/ridge.csv

Calibrates on images drawn from the first data set, compares outputs on the second. ``rounding`` is
the nearest level of each weight. ``gpfq, by samples`` takes the ridge times inputs over samples of
a layer. GPTQ's damping is in the unit of the ridge. Each filter has a step of its own. Rows are
added to the CSV file; those that it already has are not measured again.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from laq.checkpoints import packing
from laq.models.networks import predict
from laq.ptq import gpfq, gptq, rtn
from laq.ptq.layer import QuantizedLayer, Samples
from laq.ptq.patches import Sampling
from laq.ptq.sequential import quantize_network
from laq.quantizers.grids import Grid
from laq.quantizers.uniform import Alphabet

COLUMNS = ("network", "method", "bits", "images", "patches", "ridge", "agreement", "logit_error")
RIDGES = {
    "rounding": [0.0],
    "gpfq": [0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0],
    "gpfq, by samples": [1.0, 3.0, 10.0],
    "gptq": [0.01, 0.1, 1.0],
}


def quantized(
    network: nn.Module, images: Tensor, method: str, bits: int, patches: str, ridge: float
) -> nn.Module:
    """``network`` quantized on ``images`` (n, c, h, w) uint8."""

    def grids(name: str, weight: Tensor) -> list[tuple[int, Grid]]:
        return [(len(weight), Alphabet.from_weights(weight, bits, "packed", per_channel=True))]

    def solver(weight: Tensor, samples: Samples, grid: Grid) -> QuantizedLayer:
        if method == "gpfq":
            return gpfq.solve(weight, samples, grid, ridge=ridge)
        if method == "gpfq, by samples":
            return gpfq.solve(weight, samples, grid, ridge=ridge * samples.columns / samples.rows)
        if method == "gptq":
            return gptq.solve(weight, samples, grid, damping=ridge)
        return rtn.solve(weight, samples, grid)

    sampling = Sampling(patches)
    return quantize_network(
        network, images, solver=solver, alphabets=grids, sampling=sampling
    ).network


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--name", help="of the network in the table; its folder's where left out")
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 4, 3, 2])
    parser.add_argument("--images", type=int, nargs="+", default=[6, 60])
    parser.add_argument("--patches", choices=["published", "all"], default="published")
    parser.add_argument("--tested", type=int, default=500, help="images outputs are compared on")
    options = parser.parse_args()

    network, device = packing.load(options.checkpoint).eval(), torch.device("cpu")
    name = options.name or options.checkpoint.parent.name
    train, test = (
        torch.from_numpy(np.load(path)["images"]) for path in (options.train, options.test)
    )
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(train), generator=generator)
    test = test[torch.randperm(len(test), generator=generator)[: options.tested]]
    reference = predict(network, test, device)
    new = not options.csv.exists()
    known = set() if new else {tuple(row[:6]) for row in csv.reader(options.csv.open())}
    with options.csv.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(COLUMNS)
        for images in options.images:
            for bits in options.bits:
                for method, ridges in RIDGES.items():
                    for ridge in ridges:
                        key = (name, method, bits, images, options.patches, ridge)
                        if tuple(map(str, key)) in known:
                            continue
                        outputs = predict(
                            quantized(network, train[order[:images]], *key[1:3], *key[4:]),
                            test,
                            device,
                        )
                        agreement = (outputs.argmax(1) == reference.argmax(1)).double().mean()
                        error = (outputs - reference).norm() / reference.norm()
                        row = (*key, f"{agreement:.4f}", f"{error:.4f}")
                        writer.writerow(row)
                        file.flush()
                        print(*row, flush=True)


if __name__ == "__main__":
    main()
