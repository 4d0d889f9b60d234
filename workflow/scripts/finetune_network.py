"""Fine-tune a network on a subset's training images."""

from typing import Any


def finetune_network(
    train: str,
    test: str,
    classes: str,
    subset: str,
    parent: str,
    checkpoint: str,
    history: str,
    variant: str,
    recipe: dict[str, Any],
    repeat: int,
    seed: int,
    device: str,
) -> None:
    """Write the fine-tuned network and its accuracy per epoch on the subset's images."""
    from laq.experiments.variants import finetuned, trainable
    from laq.training import resume
    from laq.utils import devices, disks
    from laq.utils.files import write_rows

    result = finetuned.make(
        trainable.read(
            *(train, test, classes, subset, parent),
            "subset",
            name=variant,
            recipe=recipe,
            repeat=repeat,
            seed=seed,
            device=devices.pick(device),
            state=resume.beside(checkpoint),
        )
    )
    write_rows(history, result.history)
    result.save(checkpoint)
    disks.check_project()  # Snakemake repeats a job that it cannot record
    resume.clear(resume.beside(checkpoint))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, finetune_network)
