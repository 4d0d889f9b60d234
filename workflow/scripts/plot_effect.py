"""Figure 8: the effect of label-aware quantization, and the parts of calibration and rounding."""


def plot_effect(
    accuracy: str,
    subsets: str,
    sweep: str,
    pdf: str,
    png: str,
    title: str,
    base: dict[str, int],
    swept: list[str],
    confidence: float,
    resamples: int,
    seed: int,
) -> None:
    """Draw the gain over images and bits, and the predictions inside, as PDF and PNG."""
    from laq.analysis import observations
    from laq.analysis.collected import check_covers
    from laq.analysis.collected import read as read_all
    from laq.figures.effect import SWEEP, Base, effect
    from laq.figures.style import save

    table = observations.read(accuracy, subsets)
    table = table[table["subset"].isin(swept)]
    points = read_all(sweep, SWEEP)
    check_covers(sweep, points, table, accuracy)
    save(effect(table, points, Base(**base), title, confidence, resamples, seed), pdf, png)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_effect)
