"""How alike the label-aware and the label-agnostic calibration sets of every subset are."""


def measure_similarity(
    train: str,
    classes: str,
    subsets: list[str],
    parent: str,
    similarity: str,
    network: str,
    images: int,
    repeats: int,
    seed: int,
    device: str,
) -> None:
    """Write a row a subset: similarity and distance of its Gram matrices, and their floors."""
    from tqdm import tqdm

    from laq import data
    from laq.checkpoints import lineage, packing
    from laq.distances import subset_files
    from laq.experiments.similarity import of_subset
    from laq.utils import devices
    from laq.utils.files import write_rows

    split = data.load(train, classes)
    lineage.of_parent(parent, "original", split, seed=seed)
    original = packing.load(parent).to(devices.pick(device))
    rows = []
    for path in tqdm(subsets, desc="subsets"):
        selection = subset_files.read(path, split.classes)
        ids = {key: selection[key] for key in ("subset", "median_icd", "mean_icd")}
        inputs = original, split.images, split.labels
        scores = of_subset(*inputs, selection["indices"], images, repeats, seed)
        rows.append({"network": network, **ids, **scores})
    write_rows(similarity, rows)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, measure_similarity)
