"""What calibration images made without data are worth, beside real ones and beside noise.

    python benchmarks/synthesis.py [--classes 100] [--size 10] [--subsets 5] [--bits 3 4]
        [--seeds 1] [--sources 0 2] [--keep folder] [--set steps=400 …]

Trains the default network on glyphs of so many classes, draws subsets of them, and quantizes the
network for each by GPFQ on 64 images of each source. Prints top-1 over the subset's classes and
over all, in %, the mean over subsets and seeds; what is lost against real images of the subset,
with the standard error of the mean over subsets; and the seconds that the images took. ``--keep``
keeps the network for the next run; ``--set`` gives settings of ``synthesis`` other values.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from laq import data, training
from laq.checkpoints import packing
from laq.config import study as config
from laq.config.load import checked
from laq.data import (
    Dataset,
    sources,
)
from laq.data_free import registry
from laq.data_free.pipeline import Request
from laq.experiments import compression
from laq.experiments.evaluation import score
from laq.models import networks
from laq.utils import devices, seeds

SUBSET = "subset"  # stands for the id of whichever subset it is
SOURCES = {
    "real images of the subset": (SUBSET, "training"),
    "real images of all classes": ("all", "training"),
    "optimised, of the subset's classes": (SUBSET, "synthetic"),
    "optimised, of all classes": ("all", "synthetic"),
    "optimised, of no class": ("none", "synthetic"),
    "generated, of the subset's classes": (SUBSET, "generated"),
    "generated, of all classes": ("all", "generated"),
    "Gaussian noise": ("none", "noise"),
}


def study(classes: int, given: dict[str, float]) -> dict[str, Any]:
    """The default study's config on so many classes, with all defaults."""
    described = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    described["dataset"]["classes"] = classes
    described["subsets"] = {"size": 2, "definitions": {"random": {"kind": "random"}}}
    described["variants"] = {"original": {}, "quant": {"compress": {"bits": 4}}}
    described["figures"], described["synthesis"] = {}, given
    described.pop("sweep")
    return checked(described, ROOT / "workflow/schemas")[0]


def trained(settings: dict[str, Any], splits: tuple[Dataset, Dataset], folder: Path | None):
    """The study's network, trained or as it was kept."""
    file = folder / f"{settings['dataset']['classes']}.safetensors" if folder else None
    if file and file.exists():
        return packing.load(file)
    entry = settings["networks"]["small_resnet"]
    generator = devices.seed_everything(0, "train")
    spec = {
        "name": entry["architecture"],
        "widths": entry["widths"],
        "classes": len(splits[0].classes),
        "channels": 3,
    }
    network = networks.create(**spec)
    tensors = [(torch.from_numpy(s.images), torch.from_numpy(s.labels)) for s in splits]
    training.train(network, *tensors, entry["training"], generator, torch.device("cpu"))
    if file:
        packing.save(file, network.state_dict(), {"network": spec})
    return network.eval()


def made(network, classes, kind, members, split, settings, seed) -> Dataset:
    """Images of one source, as ``compression.for_subset`` takes them."""
    if kind == "training":
        return split
    count, shape = settings["images"], split.images.shape[1:]
    if kind == "noise":
        drawn = seeds.stream(seed, "noise").normal(127.5, 63.75, (count, *shape))
        pixels = drawn.round().clip(0, 255).astype(np.uint8)
        return Dataset(pixels, np.zeros(count, np.int64), split.classes)
    asked = {SUBSET: tuple(members), "all": tuple(range(len(split.classes))), "none": None}
    request = Request("small_resnet", shape, count, asked[classes])
    own = config.synthesis_effect(settings, classes, kind)
    drawn = registry.make(kind, network, request, own, devices.generator(seed, kind, *members))
    return Dataset(drawn.images.numpy(), drawn.labels.numpy(), split.classes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--size", type=int, default=10)
    parser.add_argument("--subsets", type=int, default=5)
    parser.add_argument("--bits", type=int, nargs="+", default=[3, 4])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sources", type=int, nargs="+", help="places in the list, from 0 on")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--set", nargs="*", default=[])
    given = parser.parse_args()
    torch.set_num_threads(1)
    changed = {key: yaml.safe_load(value) for key, value in (s.split("=") for s in given.set)}
    settings = study(given.classes, changed)
    splits = sources.make(settings["dataset"], 0)
    network = trained(settings, splits, given.keep)
    train, test = splits
    chosen = [
        sorted(seeds.stream(n, "subset").choice(given.classes, given.size, replace=False).tolist())
        for n in range(given.subsets)
    ]

    def top1(candidate, members) -> tuple[float, float]:
        images, labels = map(torch.from_numpy, data.of_classes(test, members))
        scores = score(networks.predict(candidate, images, torch.device("cpu")), labels, members)
        found = {each.scope: 100 * each.top1 for each in scores}
        return found["subset"], found["all"]

    base = np.array([top1(network, members) for members in chosen])
    print("| images | bits | subset's | all | lost | seconds |")
    print("|---|---|---|---|---|---|")
    print(f"| none, float | 32 | {base[:, 0].mean():.2f} | {base[:, 1].mean():.2f} | | |")
    recipe = settings["variants"]["quant"]["compress"]
    best: dict[int, np.ndarray] = {}
    names = list(SOURCES)
    for name in [names[n] for n in given.sources] if given.sources else names:
        classes, kind = SOURCES[name]
        taken, pools, seconds = (classes == SUBSET), {}, 0.0
        found: dict[int, list] = {bits: [] for bits in given.bits}
        for members in chosen:
            rows: dict[int, list] = {bits: [] for bits in given.bits}
            for seed in range(given.seeds):
                key = (seed, *members) if taken else (seed,)
                if key not in pools:
                    began = time.process_time()
                    own = members if taken else []
                    pools[key] = made(
                        network, classes, kind, own, train, settings["synthesis"], seed
                    )
                    seconds = time.process_time() - began
                for bits in given.bits:
                    source = "training" if kind == "training" else "synthetic"
                    own = {**recipe, "bits": bits, "images_from": source}
                    limit = members if taken else None
                    result, _ = compression.for_subset(
                        network, pools[key], members, limit, own, seed
                    )
                    rows[bits].append(top1(result.network, members))
            for bits in given.bits:
                found[bits].append(np.mean(rows[bits], axis=0))
        for bits in given.bits:
            scores = np.array(found[bits])  # (subsets, 2)
            best.setdefault(bits, scores)
            lost = (best[bits] - scores)[:, 0]
            error = lost.std(ddof=1) / len(lost) ** 0.5
            shown = f"{lost.mean():.2f} ± {error:.2f}"
            means = " | ".join(f"{mean:.2f}" for mean in scores.mean(axis=0))
            print(f"| {name} | {bits} | {means} | {shown} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
