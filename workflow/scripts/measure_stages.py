"""Compress a network deeply, and measure it stage by stage."""

from typing import Any


def measure_stages(
    train: str,
    test: str,
    classes: str,
    parent: str,
    pruned: str,
    shared: str,
    coded: str,
    ans: str,
    stages: str,
    layers: str,
    weights: str,
    history: str,
    rounds: str,
    seconds: str,
    network: str,
    course: dict[str, Any],
    seed: int,
    device: str,
) -> None:
    """Write a file for each stage, and the tables that describe the stages."""
    from pathlib import Path

    from laq.deep_compression import distribution, layer_table
    from laq.deep_compression import stages as courses
    from laq.experiments.deep import stage_table
    from laq.experiments.deep.runner import Bench
    from laq.training import resume
    from laq.utils import devices, disks
    from laq.utils.files import write_rows

    state = resume.beside(coded)
    bench = Bench.read(
        *(train, test, classes, parent), seed, devices.pick(device), Path(stages).parent
    )
    files = {"pruned": pruned, "shared": shared, "huffman": coded, "ans": ans}
    stage_rows, times, result = stage_table.rows(bench, parent, course, files, state)
    sizes = {row["stage"]: row["bytes"] for row in stage_rows}
    layer_rows = layer_table.rows(
        result, bench.parameters, {stage: sizes[stage] for stage in files}
    )
    weight_rows = distribution.rows(bench.original.state_dict(), result)
    ids = {"network": network}
    write_rows(stages, [ids | row for row in stage_rows])
    write_rows(layers, [ids | row for row in layer_rows])
    write_rows(weights, [ids | row for row in weight_rows])
    write_rows(history, [ids | row for row in result.history])
    write_rows(rounds, [ids | row for row in result.rounds])
    write_rows(seconds, [ids | row for row in times])
    disks.check_project()  # Snakemake repeats a job that it cannot record
    courses.clear(state)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, measure_stages)
