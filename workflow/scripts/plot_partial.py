"""The figures of partial training: accuracy, bytes, single layers, the front."""


def plot_partial(
    runs: str,
    formula: str,
    accuracy: list[str],
    size: list[str],
    bandwidth: list[str],
    pareto: list[str],
    study: str,
    position: list[str] | None = None,
) -> None:
    """Draw each as PDF and PNG; ``position`` where layers were quantized alone."""
    from laq.analysis.partial import table
    from laq.analysis.partial.formula import COLUMNS
    from laq.figures import partial_accuracy, partial_bytes, partial_pareto, partial_position
    from laq.figures.style import save
    from laq.utils.files import read_table

    read = table.read(runs)
    save(partial_accuracy.accuracy(read, read_table(formula, COLUMNS), study), *accuracy)
    save(partial_bytes.sizes(read, study), *size)
    save(partial_bytes.bandwidth(read, study), *bandwidth)
    save(partial_pareto.pareto(read, study), *pareto)
    if position:
        save(partial_position.position(read, study), *position)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_partial)
