"""Compare initial centroids of k-means on a pruned network."""

from typing import Any


def compare_initial(
    train: str,
    test: str,
    classes: str,
    parent: str,
    pruned: str,
    table: str,
    seconds: str,
    network: str,
    course: dict[str, Any],
    bits: list[int],
    repeats: int,
    seed: int,
    device: str,
) -> None:
    """Write two rows for each kind, number of bits and repeat, and how long each took."""
    from pathlib import Path

    from laq.experiments.deep import first_centroids
    from laq.experiments.deep.runner import Bench
    from laq.utils import devices, disks
    from laq.utils.files import write_rows

    bench = Bench.read(
        *(train, test, classes, parent), seed, devices.pick(device), Path(table).parent
    )
    comparison = first_centroids.CentroidComparison.read(bench, pruned, parent, course)
    cache = comparison.kept(Path(table))
    rows, times = comparison.run(first_centroids.points(bits, repeats), cache)
    write_rows(table, [{"network": network, **row} for row in rows])
    write_rows(seconds, [{"network": network, **row} for row in times])
    disks.check_project()  # Snakemake repeats a job that it cannot record
    cache.clear()


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, compare_initial)
