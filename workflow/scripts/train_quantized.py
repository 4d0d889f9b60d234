"""Train a network on so that its weights end on grids: quantization-aware training."""

from typing import Any


def train_quantized(
    train: str,
    test: str,
    classes: str,
    subset: str,
    parent: str,
    checkpoint: str,
    history: str,
    layers: str,
    variant: str,
    recipe: dict[str, Any],
    repeat: int,
    seed: int,
    device: str,
) -> None:
    """Write the quantized network, codes bit-packed, its accuracy per epoch and layer report."""
    import torch

    from laq import datasets, devices, disks, lineage, packing, seeds, subset_files, transforms
    from laq.files import write_rows
    from laq.qat import training
    from laq.training import resume

    settings, loaded = recipe["qat"], [datasets.load(path, classes) for path in (train, test)]
    members = subset_files.read(subset, loaded[0].classes)["indices"]
    taken = range(len(loaded[0].classes)) if settings["classes"] == "all" else members
    splits = [tuple(map(torch.from_numpy, datasets.of_classes(split, taken))) for split in loaded]
    own = seeds.of_repeat(seed, repeat)
    description = lineage.of_parent(parent, recipe["parent"], loaded[0], members, seed)
    del loaded  # images of all classes, for as long as the training takes
    model = packing.load(parent)
    # Siblings share their batches and so compare in pairs; a chain's next link does not.
    generator = devices.seed_everything(own, "finetune", len(description["steps"]), *taken)
    state, spec = resume.beside(checkpoint), transforms.spec(description)
    result, rows = training.quantize(
        model, *splits, settings, generator, devices.pick(device), state, spec
    )
    write_rows(history, rows)
    write_rows(layers, [vars(layer) for layer in result.layers])
    description = packing.derived(
        description,
        variant,
        recipe,
        subset=members,
        seed=seed,
        repeat=repeat,
        bits=result.bits,
        alphabet="packed",
        calibration={"classes": settings["classes"], "images": len(splits[0][0])},
        layers=[layer.row() for layer in result.layers],
        transforms=[*description.get("transforms", []), *result.transforms],
    )
    packing.save(checkpoint, result.network.state_dict(), description, result.packed)
    disks.check_project()  # where Snakemake cannot note that this is done, it is done again
    resume.clear(state)


if "snakemake" in globals():
    import job

    job.run(snakemake, train_quantized)
