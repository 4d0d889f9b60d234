"""Evaluate every variant of a network on one subset's test images."""


def evaluate_subset(
    test: str,
    classes: str,
    subset: str,
    checkpoints: list[str],
    accuracy: str,
    network: str,
    variants: list[str],
    device: str,
) -> None:
    """Write two rows a variant, one for each scope; ``checkpoints`` are in variants' order."""
    import pandas as pd
    import torch

    from laq import datasets, devices, packing
    from laq.evaluation import score
    from laq.files import read_json, write_csv
    from laq.networks import predict

    chosen, target = read_json(subset), devices.pick(device)
    arrays = datasets.of_classes(datasets.load(test, classes), chosen["indices"])
    images, labels = (torch.from_numpy(array) for array in arrays)
    common = {"network": network, "subset": chosen["subset"], "median_icd": chosen["median_icd"]}
    rows = [
        {**common, "variant": variant, **vars(result)}
        for variant, path in zip(variants, checkpoints, strict=True)
        for result in score(predict(packing.load(path), images, target), labels, chosen["indices"])
    ]
    columns = ["network", "subset", "variant", "scope", "median_icd", "n", "correct"]
    columns += ["top1", "top5", "correct5", "inside"]
    write_csv(accuracy, pd.DataFrame(rows)[columns].astype({"correct5": "Int64"}))


if "snakemake" in globals():
    import job

    job.run(snakemake, evaluate_subset)
