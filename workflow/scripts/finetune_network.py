"""Fine-tune a network on a subset's training images."""

from typing import Any


def finetune_network(
    train: str,
    test: str,
    classes: str,
    subset: str,
    parent: str,
    checkpoint: str,
    history: str,
    variant: str,
    recipe: dict[str, Any],
    repeat: int,
    seed: int,
    device: str,
) -> None:
    """Write the fine-tuned network and its accuracy per epoch on the subset's images."""
    import torch

    from laq import datasets, devices, disks, lineage, packing, seeds, subset_files, transforms
    from laq.files import write_rows
    from laq.training import finetune, resume

    loaded = [datasets.load(path, classes) for path in (train, test)]
    members = subset_files.read(subset, loaded[0].classes)["indices"]
    splits = [tuple(map(torch.from_numpy, datasets.of_classes(split, members))) for split in loaded]
    own = seeds.of_repeat(seed, repeat)
    description = lineage.of_parent(parent, recipe["parent"], loaded[0], members, seed)
    del loaded  # images of all classes, for as long as the training takes
    model = packing.load(parent)
    # Siblings share their batches and so compare in pairs; a chain's next link does not.
    generator = devices.seed_everything(own, "finetune", len(description["steps"]), *members)
    state, spec = resume.beside(checkpoint), transforms.spec(description)
    settings, place = recipe["finetune"], devices.pick(device)
    rows = finetune(model, *splits, settings, generator, place, state, spec)
    write_rows(history, rows)
    made = {"subset": members, "seed": seed, "repeat": repeat}
    description = packing.derived(description, variant, recipe, **made)
    packing.save(checkpoint, model.state_dict(), description)
    disks.check_project()  # where Snakemake cannot note that this is done, it is done again
    resume.clear(state)


if "snakemake" in globals():
    import job

    job.run(snakemake, finetune_network)
