"""Extract one feature vector an image."""

from typing import Any


def extract_features(
    train: str,
    classes: str,
    checkpoint: str | list[str],
    published: list[str],
    features: str,
    extractor: dict[str, Any],
    device: str,
    config: dict[str, Any],
) -> None:
    """Stream the training images' features to Parquet: the pixels where there is no network.

    checkpoint: of the study's own network, empty where ``extractor`` names another. extractor: the
    settings that features depend on; the whole config says where the weights are. published: the
    file of weights, where only its time shows a change.
    """
    import torch

    from laq import data
    from laq.checkpoints import lineage, packing
    from laq.distances import features as extraction
    from laq.utils import devices

    split, target = data.load(train, classes), devices.pick(device)
    images, size = torch.from_numpy(split.images), extractor["batch_size"]
    origin = None
    if extractor["source"] == "pixels":
        batches = extraction.pixels(images, size)
    elif checkpoint:
        lineage.of_parent(checkpoint, "original", split)
        batches = extraction.penultimate(packing.load(checkpoint), images, target, size)
    else:
        from laq.distances import pretrained_features as trained_elsewhere

        weights = {**config["features"]["weights"], **extractor["weights"]}
        network = trained_elsewhere.create({**extractor, "weights": weights})
        origin = network.origin
        batches = extraction.penultimate(network, images, target, size)
    extraction.write(features, batches, split.labels, origin)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, extract_features)
