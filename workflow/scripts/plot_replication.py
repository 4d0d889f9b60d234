"""The gains of this study against the published ones."""


def plot_replication(
    replication: str, correlations: str, pdf: str, png: str, title: str, variants: list[str]
) -> None:
    """Draw a panel for each setting, variant and scope; ``variants``: all of the study."""
    from laq.analysis.replication import COLUMNS, CORRELATIONS
    from laq.figures.replication import replicated
    from laq.figures.style import save
    from laq.utils.files import read_table

    # Correlations of distances have no setting, variant and scope.
    optional = ("variant", "scope")
    tables = read_table(replication, COLUMNS), read_table(correlations, CORRELATIONS, optional)
    save(replicated(*tables, title, variants), pdf, png)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_replication)
