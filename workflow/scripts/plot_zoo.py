"""The zoo's figures: accuracy against bytes, and what label-awareness gains."""


def plot_zoo(
    methods: str,
    pareto: list[str],
    gain: list[str],
    study: str,
    confidence: float,
) -> None:
    """Draw both, each as PDF and PNG."""
    from laq.figures import zoo
    from laq.figures.style import save
    from laq.utils.files import read_table

    table = read_table(methods, ["network", "scope", "top1", "bytes"])
    save(zoo.accuracy_against_bytes(table, study), *pareto)
    save(zoo.gains(table, study, confidence), *gain)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_zoo)
