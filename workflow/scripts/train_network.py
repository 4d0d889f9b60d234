"""Train a network on all classes."""

from typing import Any


def train_network(
    train: str,
    test: str,
    classes: str,
    checkpoint: str,
    history: str,
    network: dict[str, Any],
    training: dict[str, Any],
    seed: int,
    device: str,
) -> None:
    """Write the trained network and its accuracy per epoch."""
    import pandas as pd
    import torch

    from laq import datasets, devices, networks, packing
    from laq.files import write_csv
    from laq.training import resume
    from laq.training import train as fit

    train_split, test_split = (datasets.load(path, classes) for path in (train, test))
    generator = devices.seed_everything(seed, "train")
    spec = {
        **network,
        "classes": len(train_split.classes),
        "channels": train_split.images.shape[1],
    }
    model = networks.create(**spec)
    splits = [
        (torch.from_numpy(split.images), torch.from_numpy(split.labels))
        for split in (train_split, test_split)
    ]
    state = resume.beside(checkpoint)
    rows = fit(model, *splits, training, generator, devices.pick(device), state, spec)
    write_csv(history, pd.DataFrame(rows))
    packing.save(
        checkpoint,
        model.state_dict(),
        {
            "network": spec,
            "classes": list(train_split.classes),
            "variant": "original",
            "parent": None,
            "steps": [],
            "bits": 32,
            "alphabet": None,
            "calibration": None,
            "seed": seed,
        },
    )
    resume.clear(state)


if "snakemake" in globals():
    import job

    job.run(snakemake, train_network)
