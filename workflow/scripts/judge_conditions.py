"""Which conditions of the calibration move answers into the subset: verdicts and figure."""

from typing import Any


def judge_conditions(
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
    """Write the verdicts as a table, and draw them."""
    from laq import collected, observations
    from laq import conditions as study
    from laq.files import write_csv
    from laq.plots.conditions import figure
    from laq.plots.style import save

    table = observations.read(accuracy, subsets)
    points = collected.read(trials, study.COLUMNS)
    found = study.changes(points, table[table["variant"] == observations.ORIGINAL])
    verdicts = study.judged(found, base, confidence)
    write_csv(conditions, verdicts)
    save(figure(found, verdicts, base, title, confidence), pdf, png)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, judge_conditions)
