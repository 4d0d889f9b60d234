"""Write a checkpoint as an ONNX file with integer weights."""


def export_onnx(test: str, classes: str, checkpoint: str, onnx: str) -> None:
    """Write ``onnx`` for images of the test split's shape, and log how its weights are stored."""
    import logging
    from pathlib import Path

    from laq import data
    from laq.checkpoints import lineage
    from laq.onnx.export import export

    split = data.load(test, classes)
    described = lineage.describe(checkpoint)
    lineage.check(checkpoint, described, lineage.identity(described), split)
    written = export(checkpoint, onnx, split.images.shape[1:])
    logger = logging.getLogger("laq.onnx.export")
    counts = ", ".join(f"{count} in {kind}" for kind, count in written.counts().items())
    logger.info("%s: %s bytes; weights: %s", Path(onnx).name, written.bytes, counts or "no codes")
    for weight in written.weights:
        if weight.reason:
            logger.info("%s is %s: %s", weight.name, weight.stored, weight.reason)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, export_onnx)
