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

    from laq import devices
    from laq.deep import first_centroids
    from laq.deep.bench import Bench, timed
    from laq.files import write_rows

    bench = Bench.read(
        *(train, test, classes, parent), seed, devices.pick(device), Path(table).parent
    )
    rows = first_centroids.compare(bench, pruned, parent, course, bits, repeats)
    found, times = timed(rows, first_centroids.POINT)
    write_rows(table, [{"network": network, **row} for row in found])
    write_rows(seconds, [{"network": network, **row} for row in times])


if "snakemake" in globals():
    import job

    job.run(snakemake, compare_initial)
