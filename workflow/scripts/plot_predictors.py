"""Figure 9: what quantization costs, against Gram similarity and against median ICD."""


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
    from laq import observations
    from laq.files import read_table
    from laq.plots.predictors import price
    from laq.plots.style import save
    from laq.predictors import COLUMNS, SIMILARITY

    tables = read_table(similarity, SIMILARITY), read_table(predictors, COLUMNS)
    save(price(observations.read(accuracy, subsets), *tables, title, scale, confidence), pdf, png)


if "snakemake" in globals():
    import job

    job.run(snakemake, plot_predictors)
