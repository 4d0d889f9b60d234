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
    seed: int,
    device: str,
) -> None:
    """Write the fine-tuned network and its accuracy per epoch on the subset's images."""
    import pandas as pd
    import torch

    from laq import datasets, devices, packing
    from laq.files import read_json, write_csv
    from laq.training import finetune

    members = read_json(subset)["indices"]
    splits = [
        tuple(map(torch.from_numpy, datasets.of_classes(datasets.load(path, classes), members)))
        for path in (train, test)
    ]
    model, description = packing.load(parent), packing.describe(parent)
    # Siblings share their batches and so compare in pairs; a chain's next link does not.
    generator = devices.seed_everything(seed, "finetune", len(description["steps"]), *members)
    rows = finetune(model, *splits, recipe["finetune"], generator, devices.pick(device))
    write_csv(history, pd.DataFrame(rows))
    description = packing.derived(description, variant, recipe, subset=members, seed=seed)
    packing.save(checkpoint, model.state_dict(), description)


if "snakemake" in globals():
    import job

    job.run(snakemake, finetune_network)
