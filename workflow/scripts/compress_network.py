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
    from laq import compression, datasets, devices, lineage, packing, seeds, subset_files
    from laq.files import write_rows

    settings = recipe["compress"]
    source = settings["images_from"]
    split = datasets.load(made or train, classes, whole=source == "training")
    members, others = (
        subset_files.read(path, split.classes)["indices"] for path in (subset, calibration)
    )
    taken = None if settings["classes"] in ("all", "none") else others
    described = lineage.of_parent(parent, recipe["parent"], split, members, seed)
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
        described,
        variant,
        recipe,
        subset=members,
        seed=seed,
        repeat=repeat,
        bits=result.bits,
        alphabet=settings["alphabet"] if result.packed else None,
        calibration={"classes": settings["classes"], "images": count, "from": source},
        layers=[layer.row() for layer in result.layers],
        transforms=[*described.get("transforms", []), *result.transforms],
    )
    packing.save(checkpoint, result.network.cpu().state_dict(), description, result.packed)
    write_rows(layers, [vars(layer) for layer in result.layers])


if "snakemake" in globals():
    import job

    job.run(snakemake, compress_network)
