"""Compress a network for a subset's classes, on its images and on those of all classes."""

from typing import Any


def measure_label_aware(
    train: str,
    test: str,
    classes: str,
    subset: str,
    parent: str,
    table: str,
    network: str,
    course: dict[str, Any],
    density: list[float],
    repeats: int,
    seed: int,
    device: str,
) -> None:
    """Write two rows a point, one for each scope."""
    from pathlib import Path

    from laq.deep_compression import stages
    from laq.distances import subset_files
    from laq.experiments.deep import label_aware
    from laq.experiments.deep.runner import Bench
    from laq.utils import devices, disks
    from laq.utils.files import write_rows

    folder = Path(table).parent
    bench = Bench.read(*(train, test, classes, parent), seed, devices.pick(device), folder)
    selection = subset_files.read(subset, bench.task.train.classes)
    points = label_aware.points(table, density, repeats)
    results = label_aware.measure(bench.of(selection["indices"]), course, points, folder)
    ids = {"network": network, "subset": selection["subset"]}
    ids |= {key: selection[key] for key in ("median_icd", "mean_icd")}
    write_rows(table, [ids | row for row in results])
    disks.check_project()  # Snakemake repeats a job that it cannot record
    for point in points:
        stages.clear(point.state)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, measure_label_aware)
