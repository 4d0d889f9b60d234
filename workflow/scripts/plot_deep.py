"""Figures of Deep Compression on all classes: curves, weights, first centroids."""


def plot_deep(
    stages: list[str],
    curves_of: list[str],
    weights_of: list[str],
    initial_of: list[str],
    curves: list[str],
    weights: list[str],
    initial: list[str],
    study: str,
    confidence: float,
) -> None:
    """Draw each as PDF and PNG, all networks in it. The first four hold a table a network."""
    import pandas as pd

    from laq.figures import deep
    from laq.figures.style import save
    from laq.utils.files import read_table

    def read(paths: list[str]) -> pd.DataFrame:
        return pd.concat([read_table(path, ["network"]) for path in paths], ignore_index=True)

    stage_rows = read(stages)
    save(deep.curves(read(curves_of), stage_rows, study, confidence), *curves)
    save(deep.weights(read(weights_of), study), *weights)
    save(deep.initial(read(initial_of), stage_rows, study, confidence), *initial)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_deep)
