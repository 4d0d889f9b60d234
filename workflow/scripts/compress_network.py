"""Compress a network, calibrated on training images or on images made without data."""

from typing import Any


def compress_network(
    train: str,
    made: str | list[str],
    classes: str,
    subset: str,
    calibration: str,
    parent: str,
    checkpoint: str,
    layers: str,
    variant: str,
    recipe: dict[str, Any],
    repeat: int,
    seed: int,
    device: str,
    memory_mb: int,
) -> None:
    """Write the compressed network, codes bit-packed, and its layer report."""
    from laq import data
    from laq.checkpoints import lineage, packing
    from laq.distances import subset_files
    from laq.experiments.variants import compressed
    from laq.experiments.variants.task import Task
    from laq.utils import devices
    from laq.utils.files import write_rows

    settings = recipe["compress"]
    split = data.load(made or train, classes, whole=settings["images_from"] == "training")
    members, calibrated = (
        subset_files.read(path, split.classes)["indices"] for path in (subset, calibration)
    )
    task = Task(
        network=packing.load(parent).to(devices.pick(device)),
        described=lineage.of_parent(parent, recipe["parent"], split, members, seed),
        name=variant,
        recipe=recipe,
        members=members,
        taken=None if settings["classes"] in ("all", "none") else calibrated,
        train=split,
        seed=seed,
        repeat=repeat,
        memory=memory_mb * 2**20,
    )
    result = compressed.make(task)
    result.save(checkpoint)
    write_rows(layers, result.layers)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, compress_network)
