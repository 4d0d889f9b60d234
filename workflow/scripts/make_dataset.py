"""Draw or read the images of the study's data set."""

from typing import Any


def make_dataset(
    train: str,
    test: str,
    classes: str,
    origin: str,
    dataset: dict[str, Any],
    seed: int,
    config: dict[str, Any],
) -> None:
    """Write the two splits as npz, the class names and the images' origin as JSON.

    dataset: the settings that images depend on; the whole config says where the files are.
    """
    import logging

    from laq import data
    from laq.data import sources
    from laq.utils.files import write_json

    settings = {**config["dataset"], **dataset}
    train_split, test_split, files = sources.made(settings, seed)
    data.save(train_split, train)
    data.save(test_split, test)
    write_json(classes, list(train_split.classes))
    write_json(origin, files)
    logging.getLogger("laq").info(
        "%s: %d training and %d test images of %d classes",
        dataset["kind"],
        len(train_split.labels),
        len(test_split.labels),
        len(train_split.classes),
    )


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, make_dataset)
