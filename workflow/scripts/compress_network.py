"""Compress a network, calibrated on training images."""

from typing import Any


def compress_network(
    train: str,
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
    from laq import compression, datasets, devices, packing, seeds
    from laq.files import read_json, write_rows

    settings = recipe["compress"]
    members = read_json(subset)["indices"]
    split = datasets.load(train, classes)
    taken = None if settings["classes"] == "all" else read_json(calibration)["indices"]
    result, count = compression.for_subset(
        packing.load(parent).to(devices.pick(device)),
        split,
        members,
        taken,
        settings,
        seeds.of_repeat(seed, repeat),
        memory_mb * 2**20,
    )
    description = packing.derived(
        packing.describe(parent),
        variant,
        recipe,
        subset=members,
        seed=seed,
        repeat=repeat,
        bits=result.bits,
        alphabet=settings["alphabet"] if result.packed else None,
        calibration={"classes": settings["classes"], "images": count},
        layers=[layer.row() for layer in result.layers],
    )
    packing.save(checkpoint, result.network.cpu().state_dict(), description, result.packed)
    write_rows(layers, [vars(layer) for layer in result.layers])


if "snakemake" in globals():
    import job

    job.run(snakemake, compress_network)
