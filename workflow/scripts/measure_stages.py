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
    """Write a file for each stage, and the tables that tell of them."""
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
    found, times, made = stage_table.rows(bench, parent, course, files, state)
    sizes = {row["stage"]: row["bytes"] for row in found}
    of_layers = layer_table.rows(made, bench.parameters, {stage: sizes[stage] for stage in files})
    of_weights = distribution.rows(bench.original.state_dict(), made)
    own = {"network": network}
    write_rows(stages, [own | row for row in found])
    write_rows(layers, [own | row for row in of_layers])
    write_rows(weights, [own | row for row in of_weights])
    write_rows(history, [own | row for row in made.history])
    write_rows(rounds, [own | row for row in made.rounds])
    write_rows(seconds, [own | row for row in times])
    disks.check_project()  # where Snakemake cannot note that this is done, it is done again
    courses.clear(state)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, measure_stages)
