"""Extract one feature vector an image."""


def extract_features(
    train: str, classes: str, checkpoint: str | list[str], features: str, device: str
) -> None:
    """Stream the training images' features to Parquet; the pixels where ``checkpoint`` is empty."""
    import torch

    from laq import datasets, devices, packing
    from laq import features as extraction

    split = datasets.load(train, classes)
    images = torch.from_numpy(split.images)
    if not checkpoint:
        batches = extraction.pixels(images)
    else:
        batches = extraction.penultimate(packing.load(checkpoint), images, devices.pick(device))
    extraction.write(features, batches, split.labels)


if "snakemake" in globals():
    import job

    job.run(snakemake, extract_features)
