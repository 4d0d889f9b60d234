"""Quantization-aware training beside calibration, on one network: `python benchmarks/qat.py`.

For `digits` (10 classes of scans, 8 × 8) and `glyphs` (30 classes of characters, 32 × 32): a small
residual network is trained on all classes, then quantized from there for random subsets of its
classes and for all of them, by calibration and by training, and beside these trained on in float.
Top-1 in percent, means over the subsets: of a subset's test images among all classes (All) and
among its own (Sub), as in a study; and of all classes' test images, after a subset's training and
after that on all. Settings are the config's defaults but for bits and epochs.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from laq import data, training
from laq.config import schema
from laq.data import Dataset, sources
from laq.experiments import compression
from laq.models import networks
from laq.qat import training as qat
from laq.utils import devices

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


def top1(
    network: nn.Module, test: Dataset, classes: list[int], among: list[int] | None = None
) -> float:
    """Over the images of ``classes``; predictions are ``among`` these, all where None."""
    images, labels = data.of_classes(test, classes)
    logits = networks.predict(network, torch.from_numpy(images), CPU).clone()
    if among is not None:
        others = torch.ones(logits.shape[1], dtype=torch.bool)
        others[among] = False
        logits[:, others] = -torch.inf
    return 100 * float((logits.argmax(1).numpy() == labels).mean())


def arms(options: argparse.Namespace) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, step and settings of everything that is compared."""
    budget = {"epochs": options.epochs, "learning_rate": options.rate}
    float_arm = completed("finetune", **budget, schedule="cosine")
    yield "float, trained on", "finetune", float_arm
    for bits in options.bits:
        for method in ("rtn", "gpfq", "gptq"):
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
    tensors = [tuple(map(torch.from_numpy, data.of_classes(s, classes))) for s in splits]
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
    parser.add_argument("--rate", type=float, default=0.001)
    parser.add_argument("--subsets", type=int, default=3)
    parser.add_argument("--frozen", action="store_true", help="with frozen BatchNorm as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    train, test = sources.make(DATA[options.data], 0)
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
    row("", "All", "Sub", "every class", "trained on every class", "s an epoch of it")
    row("---", *["---:"] * 5)
    own = [(network, subset) for subset in subsets]
    row("the network", *scopes(own, test, every), f"{top1(network, test, every):.1f}", "")
    for name, step, settings in arms(options):
        results = [(made(network, (train, test), s, step, settings), s) for s in subsets]
        started = time.perf_counter()
        whole = made(network, (train, test), every, step, settings)
        seconds = (time.perf_counter() - started) / options.epochs
        spent = "" if step == "compress" else f"{seconds:.2f}"
        row(name, *scopes(results, test, every), f"{top1(whole, test, every):.1f}", spent)


def scopes(results: list[tuple[nn.Module, list[int]]], test: Dataset, every: list[int]) -> list:
    """All, Sub, and every class: means over networks, each made for a subset."""
    rows = [
        (top1(n, test, subset), top1(n, test, subset, subset), top1(n, test, every))
        for n, subset in results
    ]
    return [f"{mean:.1f}" for mean in np.mean(rows, axis=0)]


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
