"""Make a network for all classes: train it, or take published weights."""

from typing import Any


def train_network(
    train: str,
    test: str,
    classes: str,
    published: list[str],
    checkpoint: str,
    history: str,
    entry: str,
    network: dict[str, Any],
    weights: dict[str, Any] | None,
    training: dict[str, Any] | None,
    seed: int,
    device: str,
    config: dict[str, Any],
) -> None:
    """Write the network and its accuracy per epoch; epoch 0 alone where it is not trained here.

    entry: the network's id in the config. weights: the settings that the result depends on; the
    whole config says where the weights are. published: the file of weights, where only its time
    shows a change.
    """
    import logging

    import pandas as pd
    import torch

    from laq import data
    from laq import training as fitting
    from laq.checkpoints import packing
    from laq.models import networks
    from laq.training import resume
    from laq.utils import devices, disks
    from laq.utils.files import write_csv

    train_split, test_split = (data.load(path, classes) for path in (train, test))
    generator = devices.seed_everything(seed, "train")
    splits = [
        (torch.from_numpy(split.images), torch.from_numpy(split.labels))
        for split in (train_split, test_split)
    ]
    spec = networks.specification(network, weights, len(train_split.classes), splits[0][0])
    model = networks.create(**spec)
    networks.check_images(model, spec["name"], splits[0][0])
    origin = None
    if weights:
        from laq.checkpoints import pretrained
        from laq.config import networks as configured
        from laq.config import outside_weights

        settings = {**configured.networks(config)[entry]["weights"], **weights}
        names = train_split.classes
        origin = pretrained.apply(settings, model, spec, names, new_head=training is not None)
        foreign = [entry] if entry in outside_weights.trained_elsewhere(config) else []
        for line in outside_weights.doubts(config, foreign):
            logging.getLogger("laq").warning("%s", line)
    state, target = resume.beside(checkpoint), devices.pick(device)
    if training:
        rows = fitting.train(model, *splits, training, generator, target, state, spec)
    else:
        rows = fitting.untrained(model, splits[1], target)
    write_csv(history, pd.DataFrame(rows))
    packing.save(
        checkpoint,
        model.state_dict(),
        {
            "network": spec,
            "classes": list(train_split.classes),
            "images": list(train_split.images.shape[1:]),
            "weights": origin,
            "variant": "original",
            "parent": None,
            "steps": [],
            "bits": 32,
            "alphabet": None,
            "calibration": None,
            "seed": seed,
        },
    )
    disks.check_project()  # Snakemake repeats a job that it cannot record
    resume.clear(state)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, train_network)
