"""Figure of the calibration settings that move answers into the subset."""

from typing import Any


def plot_conditions(
    accuracy: str,
    subsets: str,
    trials: str,
    conditions: str,
    pdf: str,
    png: str,
    title: str,
    base: dict[str, Any],
    confidence: float,
) -> None:
    """Draw the effects of ``conditions``, and the changes of trials from the original network."""
    from laq.analysis import conditions as study
    from laq.figures.conditions import figure
    from laq.figures.style import save
    from laq.utils.files import read_table

    measurements = study.read(accuracy, subsets, trials)
    verdicts = read_table(conditions, study.VERDICT)
    save(figure(measurements, verdicts, base, title, confidence), pdf, png)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_conditions)
