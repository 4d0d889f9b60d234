"""Compress a network for one subset at every point of the sweep, and evaluate each."""

from typing import Any


def sweep_calibration(
    train: str,
    test: str,
    classes: str,
    subset: str,
    parent: str,
    sweep: str,
    network: str,
    recipe: dict[str, Any],
    bits: list[int],
    images: list[int],
    repeats: int,
    seed: int,
    device: str,
    memory_mb: int,
) -> None:
    """Write two rows a point and repeat, one for each scope; no network is kept."""
    from itertools import product

    import torch
    from tqdm import tqdm

    from laq import compression, datasets, devices, inference, lineage, packing, seeds, subset_files
    from laq.evaluation import score
    from laq.files import write_rows
    from laq.networks import predict
    from laq.sweep import points

    training, testing = (datasets.load(path, classes) for path in (train, test))
    chosen, target = subset_files.read(subset, training.classes), devices.pick(device)
    members = chosen["indices"]
    lineage.of_parent(parent, "original", training, members, seed)
    shown, labels = map(torch.from_numpy, datasets.of_classes(testing, members))
    original = packing.load(parent).to(target)
    common = {"network": network, "subset": chosen["subset"]}
    distances = {key: chosen[key] for key in ("median_icd", "mean_icd")}
    rows = []
    sweep_points = list(product(points(recipe, bits, images), range(1, repeats + 1)))
    for point, repeat in tqdm(sweep_points, desc="points"):
        settings = {**recipe, **point._asdict()}
        taken = None if point.classes == "all" else members
        own = seeds.of_repeat(seed, repeat)
        result, _ = compression.for_subset(
            original, training, members, taken, settings, own, memory_mb * 2**20
        )
        made = inference.ready(result.network, result.packed, result.transforms)
        for scores in score(predict(made, shown, target), labels, members):
            ids = {**common, **point._asdict(), "repeat": repeat, "scope": scores.scope}
            counts = ["n", "correct", "top1", "top5", "correct5", "inside"]
            rows.append({**ids, **distances, **{name: getattr(scores, name) for name in counts}})
    write_rows(sweep, rows)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, sweep_calibration)
