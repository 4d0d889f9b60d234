"""Compress a network for one subset at every point of a sweep, and evaluate each."""

from typing import Any


def sweep_calibration(
    train: str,
    test: str,
    classes: str,
    subset: str,
    parent: str,
    sweep: str,
    network: str,
    recipe: dict[str, Any],
    levels: dict[str, list[Any]],
    crossed: bool,
    repeats: int,
    seed: int,
    device: str,
    memory_mb: int,
) -> None:
    """Write two rows a point and repeat, one for each scope; no network is kept."""
    from pathlib import Path

    from laq import data
    from laq.checkpoints import lineage, packing
    from laq.distances import subset_files
    from laq.experiments import sweep as sweeps
    from laq.experiments.sweep import points
    from laq.utils import devices, disks
    from laq.utils.files import write_rows

    training, testing = (data.load(path, classes) for path in (train, test))
    selection, target = subset_files.read(subset, training.classes), devices.pick(device)
    members = selection["indices"]
    parent_digest = lineage.of_parent(parent, "original", training, members, seed)["digest"]
    facts = {"parent": parent_digest, "subset": members, "seed": seed, "device": target.type}
    cache = sweeps.finished(Path(sweep), facts, recipe, training, testing)
    rows = sweeps.measure(
        packing.load(parent).to(target),
        *(training, testing, members, recipe, points(recipe, levels, crossed)),
        *(repeats, seed, memory_mb * 2**20, cache),
    )
    ids = {"network": network, "subset": selection["subset"]}
    distances = {key: selection[key] for key in ("median_icd", "mean_icd")}
    write_rows(sweep, [{**ids, **trial, **distances, **scores} for trial, scores in rows])
    disks.check_project()  # Snakemake repeats a job that it cannot record
    cache.clear()


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, sweep_calibration)
