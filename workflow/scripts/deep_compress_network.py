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

    made = deep.make(
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
    write_rows(history, made.history)
    write_rows(stages, made.stages(Path(stages).parent))
    write_rows(rounds, made.course.rounds)
    made.save(checkpoint)
    write_rows(layers, made.report(checkpoint))
    disks.check_project()  # where Snakemake cannot note that this is done, it is done again
    courses.clear(resume.beside(checkpoint))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, deep_compress_network)
