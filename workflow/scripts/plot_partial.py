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
    from laq.files import read_table
    from laq.partial import table
    from laq.partial.formula import COLUMNS
    from laq.plots import partial_accuracy, partial_bytes, partial_pareto, partial_position
    from laq.plots.style import save

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
