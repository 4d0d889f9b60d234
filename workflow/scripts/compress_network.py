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
    seed: int,
    device: str,
    memory_mb: int,
) -> None:
    """Write the compressed network, codes bit-packed, and its layer report."""
    import pandas as pd
    import torch

    from laq import compression, datasets, devices, packing
    from laq.files import read_json, write_csv

    settings = recipe["compress"]
    members = read_json(subset)["indices"]
    split = datasets.load(train, classes)
    taken = None if settings["classes"] == "all" else read_json(calibration)["indices"]
    pool, count = compression.calibration_pool(split.labels, taken, members, settings, seed)
    result = compression.compress(
        packing.load(parent).to(devices.pick(device)),
        torch.as_tensor(split.images[pool]),
        settings,
        patches=devices.generator(seed, "patches", *members),
        noise=devices.generator(seed, "rounding", *members),
        batch=count if settings["batch"] == "fresh" else None,
        memory=memory_mb * 2**20,
    )
    description = packing.derived(
        packing.describe(parent),
        variant,
        recipe,
        subset=members,
        seed=seed,
        bits=result.bits,
        alphabet=settings["alphabet"] if result.packed else None,
        calibration={"classes": settings["classes"], "images": count},
        layers=[layer.row() for layer in result.layers],
    )
    packing.save(checkpoint, result.network.cpu().state_dict(), description, result.packed)
    write_csv(layers, pd.DataFrame([vars(layer) for layer in result.layers]))


if "snakemake" in globals():
    import job

    job.run(snakemake, compress_network)
