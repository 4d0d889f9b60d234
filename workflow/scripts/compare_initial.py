"""Compare where k-means begins, on a pruned network."""

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
    """Write two rows for each way, number of bits and repeat, and how long each took."""
    from pathlib import Path

    from laq.experiments.deep import first_centroids
    from laq.experiments.deep.runner import Bench
    from laq.utils import devices, disks
    from laq.utils.files import write_rows

    bench = Bench.read(
        *(train, test, classes, parent), seed, devices.pick(device), Path(table).parent
    )
    comparison = first_centroids.CentroidComparison.read(bench, pruned, parent, course)
    kept = comparison.kept(Path(table))
    found, times = comparison.run(first_centroids.points(bits, repeats), kept)
    write_rows(table, [{"network": network, **row} for row in found])
    write_rows(seconds, [{"network": network, **row} for row in times])
    disks.check_project()  # where Snakemake cannot note that this is done, it is done again
    kept.clear()


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, compare_initial)
