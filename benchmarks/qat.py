"""Quantization-aware training beside calibration, on one network: `python benchmarks/qat.py`.

For `digits` (10 classes of scans, 8 × 8) and `glyphs` (30 classes of characters, 32 × 32): a small
residual network is trained on all classes, then quantized from there for three random subsets of
its classes and for all of them, by calibration and by training, and beside these trained on in
float. Top-1 on the test images in percent, means over the subsets. All at the defaults of the
config but for bits, epochs and, for all classes, the rate.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from laq import compression, datasets, devices, networks, schema, training
from laq.datasets import Dataset
from laq.qat import training as qat

ROOT = Path(__file__).resolve().parents[1]
DATA = {
    "digits": {"kind": "digits", "test_fraction": 0.2},
    "glyphs": {"kind": "glyphs", "classes": 30, "train_per_class": 120, "test_per_class": 50},
}
WIDTHS = {"digits": [16, 32, 64], "glyphs": [16, 32, 64, 256]}
SIZES = {"digits": 4, "glyphs": 10}
CPU = torch.device("cpu")


def completed(step: str, **settings: Any) -> dict[str, Any]:
    """A variant's settings of a step, with the schema's defaults."""
    whole = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    part = {**whole["$defs"][step], "$defs": whole["$defs"]}
    return schema.complete(settings, part)


def top1(network: nn.Module, test: Dataset, classes: list[int]) -> float:
    images, labels = datasets.of_classes(test, classes)
    found = networks.predict(network, torch.from_numpy(images), CPU).argmax(1).numpy()
    return 100 * float((found == labels).mean())


def arms(options: argparse.Namespace, rate: float) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, step and settings of everything that is compared."""
    budget = {"epochs": options.epochs, "learning_rate": rate, "schedule": "cosine"}
    yield "float, trained on", "finetune", completed("finetune", **budget)
    for bits in options.bits:
        for method in ("msq", "gpfq", "gptq"):
            yield f"{method} {bits}", "compress", completed("compress", method=method, bits=bits)
        for method in ("lsq", "prox"):
            settings = {"method": method, "bits": bits, **budget}
            yield f"{method} {bits}", "qat", completed("qat", **settings)
            if options.frozen:
                settings["batchnorm"] = "frozen"
                yield f"{method} {bits}, frozen BatchNorm", "qat", completed("qat", **settings)


def made(
    network: nn.Module, splits: tuple[Dataset, Dataset], classes: list[int], step: str, own: dict
) -> nn.Module:
    """``network`` after one step on the images of ``classes``."""
    if step == "compress":
        return compression.for_subset(network, splits[0], classes, classes, own, 0)[0].network
    network = copy.deepcopy(network)
    tensors = [tuple(map(torch.from_numpy, datasets.of_classes(s, classes))) for s in splits]
    generator = devices.seed_everything(0, "finetune", *classes)
    if step == "qat":
        return qat.quantize(network, *tensors, own, generator, CPU)[0].network
    training.finetune(network, *tensors, own, generator, CPU)
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=list(DATA), default="digits")
    parser.add_argument("--bits", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rates", type=float, nargs=2, default=[0.0003, 0.001], help="Sub, All")
    parser.add_argument("--subsets", type=int, default=3)
    parser.add_argument("--frozen", action="store_true", help="with frozen BatchNorm as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    train, test = datasets.make(DATA[options.data], 0)
    every = list(range(len(train.classes)))
    tensors = [tuple(map(torch.from_numpy, (s.images, s.labels))) for s in (train, test)]
    generator = devices.seed_everything(0, "train")
    network = networks.create(
        "small_resnet", len(every), channels=train.images.shape[1], widths=WIDTHS[options.data]
    )
    settings = {"epochs": 6, "learning_rate": 0.05, "shift": 1 if options.data == "digits" else 2}
    training.train(network, *tensors, settings, generator, CPU)
    draw = np.random.default_rng(0)
    subsets = [
        sorted(draw.choice(every, SIZES[options.data], replace=False).tolist())
        for _ in range(options.subsets)
    ]
    row("", "Sub, on Sub", "All, on Sub", "All, on all classes", "s an epoch of all")
    row("---", *["---:"] * 4)
    parent = np.mean([top1(network, test, subset) for subset in subsets])
    row("the network", f"{parent:.1f}", "", f"{top1(network, test, every):.1f}", "")
    on_all = {name: (step, own) for name, step, own in arms(options, options.rates[1])}
    for name, step, own in arms(options, options.rates[0]):
        results = [made(network, (train, test), subset, step, own) for subset in subsets]
        sub = np.mean([top1(n, test, s) for n, s in zip(results, subsets, strict=True)])
        over = np.mean([top1(n, test, every) for n in results])
        started = time.perf_counter()
        whole = made(network, (train, test), every, *on_all[name])
        seconds = (time.perf_counter() - started) / options.epochs
        spent = "" if step == "compress" else f"{seconds:.2f}"
        row(name, f"{sub:.1f}", f"{over:.1f}", f"{top1(whole, test, every):.1f}", spent)


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
