"""Measure one method to compress a network at several points."""

from typing import Any


def measure_curve(
    train: str,
    test: str,
    classes: str,
    parent: str,
    table: str,
    seconds: str,
    network: str,
    curve: str,
    course: dict[str, Any],
    values: list[float],
    seed: int,
    device: str,
) -> None:
    """Write rows of points, and how long each took."""
    from pathlib import Path

    from laq.deep_compression import stages as courses
    from laq.experiments.deep import curves
    from laq.experiments.deep.runner import Bench, timed
    from laq.utils import devices, disks
    from laq.utils.files import write_rows

    folder = Path(table).parent
    bench = Bench.read(*(train, test, classes, parent), seed, devices.pick(device), folder)
    states = [folder / f".{curve}_{value}.state" for value in values]
    points = list(zip(values, states, strict=True))
    rows, times = timed(curves.CURVES[curve](bench, course, points), curves.POINT)
    write_rows(table, [{"network": network, **row} for row in rows])
    write_rows(seconds, [{"network": network, **row} for row in times])
    disks.check_project()  # Snakemake repeats a job that it cannot record
    for state in states:
        courses.clear(state)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, measure_curve)
