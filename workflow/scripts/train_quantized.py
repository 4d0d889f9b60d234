"""Train a network on so that its weights end on grids: quantization-aware training."""

from typing import Any


def train_quantized(
    train: str,
    test: str,
    classes: str,
    subset: str,
    parent: str,
    checkpoint: str,
    history: str,
    layers: str,
    variant: str,
    recipe: dict[str, Any],
    repeat: int,
    seed: int,
    device: str,
) -> None:
    """Write the quantized network, codes bit-packed, its accuracy per epoch and layer report."""
    from laq.experiments.variants import quantized, trainable
    from laq.training import resume
    from laq.utils import devices, disks
    from laq.utils.files import write_rows

    result = quantized.make(
        trainable.read(
            *(train, test, classes, subset, parent),
            recipe["qat"]["classes"],
            name=variant,
            recipe=recipe,
            repeat=repeat,
            seed=seed,
            device=devices.pick(device),
            state=resume.beside(checkpoint),
        )
    )
    write_rows(history, result.history)
    write_rows(layers, result.layers)
    result.save(checkpoint)
    disks.check_project()  # Snakemake repeats a job that it cannot record
    resume.clear(resume.beside(checkpoint))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, train_quantized)
