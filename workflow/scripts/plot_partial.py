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
    from laq.figures import partial
    from laq.figures.style import save
    from laq.utils.files import read_table

    measurements = table.read(runs)
    save(partial.accuracy(measurements, read_table(formula, COLUMNS), study), *accuracy)
    save(partial.sizes(measurements, study), *size)
    save(partial.bandwidth(measurements, study), *bandwidth)
    save(partial.pareto(measurements, study), *pareto)
    if position:
        save(partial.position(measurements, study), *position)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_partial)
