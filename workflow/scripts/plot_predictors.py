"""Figure 9: the accuracy lost by quantization, against Gram similarity and against median ICD."""


def plot_predictors(
    accuracy: str,
    subsets: str,
    similarity: str,
    predictors: str,
    pdf: str,
    png: str,
    title: str,
    scale: str,
    confidence: float,
) -> None:
    """Draw both panels for each network, as PDF and PNG."""
    from laq.analysis import observations
    from laq.analysis.collected import check_covers
    from laq.analysis.predictors import COLUMNS, SIMILARITY
    from laq.figures.predictors import price
    from laq.figures.style import save
    from laq.utils.files import read_table

    table = observations.read(accuracy, subsets)
    tables = read_table(similarity, SIMILARITY), read_table(predictors, COLUMNS)
    check_covers(similarity, tables[0], table, accuracy)
    save(price(table, *tables, title, scale, confidence), pdf, png)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_predictors)
