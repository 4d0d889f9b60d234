"""Prune a network, have its weights share values, and write it entropy-coded."""

from typing import Any


def deep_compress_network(
    train: str,
    test: str,
    classes: str,
    subset: str,
    parent: str,
    checkpoint: str,
    history: str,
    layers: str,
    stages: str,
    rounds: str,
    variant: str,
    recipe: dict[str, Any],
    repeat: int,
    seed: int,
    device: str,
) -> None:
    """Write the network, its accuracy per epoch, layer report, stages and rounds."""
    from pathlib import Path

    from laq.deep_compression import stages as courses
    from laq.experiments.variants import deep, trainable
    from laq.training import resume
    from laq.utils import devices, disks
    from laq.utils.files import write_rows

    result = deep.make(
        trainable.read(
            *(train, test, classes, subset, parent),
            recipe["deep"]["classes"],
            name=variant,
            recipe=recipe,
            repeat=repeat,
            seed=seed,
            device=devices.pick(device),
            state=resume.beside(checkpoint),
        )
    )
    write_rows(history, result.history)
    write_rows(stages, result.stages(Path(stages).parent))
    write_rows(rounds, result.course.rounds)
    result.save(checkpoint)
    write_rows(layers, result.report(checkpoint))
    disks.check_project()  # Snakemake repeats a job that it cannot record
    courses.clear(resume.beside(checkpoint))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, deep_compress_network)
