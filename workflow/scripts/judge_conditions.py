"""Which settings of the calibration move answers into the subset: effects and verdicts."""

from typing import Any


def judge_conditions(
    accuracy: str,
    subsets: str,
    trials: str,
    conditions: str,
    base: dict[str, Any],
    confidence: float,
) -> None:
    """Write a row a network and condition."""
    from laq.analysis import conditions as study
    from laq.utils.files import write_csv

    measurements = study.read(accuracy, subsets, trials)
    write_csv(conditions, study.judged(measurements, base, confidence))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, judge_conditions)
