"""Figure 8: what label-aware quantization does, and what of it is calibration or rounding."""


def plot_effect(
    accuracy: str,
    subsets: str,
    sweep: str,
    pdf: str,
    png: str,
    title: str,
    base: dict[str, int],
    confidence: float,
    resamples: int,
    seed: int,
) -> None:
    """Draw the gain over images and bits, and the predictions inside, as PDF and PNG."""
    from laq import observations
    from laq.files import read_table
    from laq.plots.effect import SWEEP, Base, effect
    from laq.plots.style import save

    table = observations.read(accuracy, subsets)
    points = read_table(sweep, SWEEP)
    save(effect(table, points, Base(**base), title, confidence, resamples, seed), pdf, png)


if "snakemake" in globals():
    import job

    job.run(snakemake, plot_effect)
