"""Figure 5: accuracy against median ICD, and the table of its curves."""

from typing import Any


def plot_accuracy(
    accuracy: str,
    subsets: str,
    pdf: str,
    png: str,
    curves: str,
    study: str,
    scale: str,
    figures: dict[str, Any],
    seed: int,
) -> None:
    """Fit the curves, write their table, draw the figure as PDF and PNG."""
    from laq import plots
    from laq.curves import fit_curves
    from laq.files import read_table, write_csv

    table, chosen = read_table(accuracy), read_table(subsets)
    table = table[table["subset"].isin(chosen.loc[chosen["duplicate_of"].isna(), "subset"])]
    fits = fit_curves(table, figures["confidence"], figures["resamples"], seed)
    write_csv(curves, fits.table())
    shown = figures["accuracy"] or list(dict.fromkeys(table["variant"]))
    figure = plots.accuracy_against_icd(table, fits, scale, study, shown)
    plots.save(figure, pdf, png)


if "snakemake" in globals():
    import job

    job.run(snakemake, plot_accuracy)
