"""Make the arms of one job of partial training, and measure each network."""

from typing import Any


def measure_partial(
    train: str,
    test: str,
    classes: str,
    chosen: list[str],
    parent: str,
    table: str,
    seconds: str,
    tensors: str,
    network: str,
    position: str,
    subsets: list[str],
    images: int | None,
    repeats: int,
    training: dict[str, Any],
    seed: int,
    device: str,
    memory_mb: int,
    **own: Any,
) -> None:
    """Write a row an arm and scope, how long each arm took, and how every tensor is stored.

    chosen: files of ``subsets``, which are ids. own: settings of the position: bits, k, named,
    compared.
    """
    from pathlib import Path

    from laq import data
    from laq.checkpoints import lineage
    from laq.distances import subset_files
    from laq.experiments.partial.arms import planned
    from laq.experiments.partial.runner import PartialRunner
    from laq.experiments.trial_cache import Kept
    from laq.utils import devices, disks
    from laq.utils.files import write_rows

    training_split, testing = (data.load(path, classes) for path in (train, test))
    names = training_split.classes
    members = [subset_files.read(path, names)["indices"] for path in chosen]
    described = lineage.of_parent(parent, "original", training_split, None, seed)
    runner = PartialRunner(
        network=network,
        parent=parent,
        described=described,
        train=training_split,
        test=testing,
        subsets=dict(zip(subsets, members, strict=True)),
        images=images,
        training=training,
        seed=seed,
        memory=memory_mb * 2**20,
        device=devices.pick(device),
        place=Path(table).parent,
        job=Path(table).stem,
    )
    settings = {"repeats": repeats, "training": training, **own}
    arms = list(planned(runner.layers, position, settings, subsets))
    cache = Kept(Path(table), runner.facts(), runner.arrays)
    result = runner.run(arms, cache)
    write_rows(table, result.rows)
    write_rows(seconds, result.seconds)
    write_rows(tensors, result.tensors)
    disks.check_project()  # Snakemake repeats a job that it cannot record
    cache.clear()


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, measure_partial)
