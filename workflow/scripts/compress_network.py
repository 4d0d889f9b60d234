"""Compress a network, calibrated on training images."""

from typing import Any


def compress_network(
    train: str,
    classes: str,
    subset: str,
    parent: str,
    checkpoint: str,
    layers: str,
    variant: str,
    recipe: dict[str, Any],
    seed: int,
    device: str,
) -> None:
    """Write the compressed network, codes bit-packed, and its layer report."""
    import pandas as pd

    from laq import compression, datasets, devices, packing
    from laq.files import read_json, write_csv
    from laq.networks import to_input

    settings, target = recipe["compress"], devices.pick(device)
    members = read_json(subset)["indices"]
    split = datasets.load(train, classes)
    chosen = compression.calibration_indices(split.labels, members, settings, seed)
    generator = devices.seed_everything(seed, "patches", *members)
    result = compression.compress(
        packing.load(parent).to(target),
        to_input(split.images[chosen], target),
        settings,
        generator,
    )
    description = packing.derived(
        packing.describe(parent),
        variant,
        recipe,
        subset=members,
        seed=seed,
        bits=settings["bits"],
        alphabet=settings["alphabet"],
        calibration={"classes": settings["classes"], "images": len(chosen)},
    )
    packing.save(checkpoint, result.network.cpu().state_dict(), description, result.packed)
    write_csv(layers, pd.DataFrame([vars(layer) for layer in result.layers]))


if "snakemake" in globals():
    import job

    job.run(snakemake, compress_network)
