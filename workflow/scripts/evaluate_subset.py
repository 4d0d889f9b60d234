"""Evaluate every variant of a network on one subset's test images."""


def evaluate_subset(
    test: str,
    classes: str,
    subset: str,
    checkpoints: list[str],
    accuracy: str,
    network: str,
    variants: list[tuple[str, int]],
    device: str,
) -> None:
    """Write two rows a checkpoint, one for each scope; ``variants`` are their names and repeats."""
    import torch

    from laq import data
    from laq.checkpoints import inference, lineage
    from laq.distances import subset_files
    from laq.experiments.evaluation import score
    from laq.models.networks import predict
    from laq.utils import devices
    from laq.utils.files import write_rows

    split, target = data.load(test, classes), devices.pick(device)
    selection = subset_files.read(subset, split.classes)
    lineage.check_all(checkpoints, variants, split, selection)
    arrays = data.of_classes(split, selection["indices"])
    images, labels = (torch.from_numpy(array) for array in arrays)
    del split  # images of all classes
    ids = {key: selection[key] for key in ("subset", "median_icd", "mean_icd")}
    rows = [
        {"network": network, **ids, "variant": variant, "repeat": repeat, **vars(result)}
        for (variant, repeat), path in zip(variants, checkpoints, strict=True)
        for result in score(
            predict(inference.load(path), images, target), labels, selection["indices"]
        )
    ]
    columns = ["network", "subset", "variant", "repeat", "scope", "median_icd", "mean_icd"]
    columns += ["n", "correct", "top1", "top5", "correct5", "in_subset"]
    write_rows(accuracy, [{column: row[column] for column in columns} for row in rows])


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, evaluate_subset)
