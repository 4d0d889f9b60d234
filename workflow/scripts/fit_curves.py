"""Curves of accuracy against median ICD, and paired differences between variants."""


def fit_curves(
    accuracy: str,
    subsets: str,
    curves: str,
    differences: str,
    controls: dict[str, str],
    confidence: float,
    resamples: int,
    seed: int,
) -> None:
    """Write a row for each setting, variant and scope, and a row for each comparison."""
    from laq.analysis import observations
    from laq.analysis.curves import fit_curves
    from laq.analysis.differences import differences as compare
    from laq.utils.files import write_csv

    table = observations.read(accuracy, subsets)
    write_csv(curves, fit_curves(table, confidence, resamples, seed).table())
    write_csv(differences, compare(table, confidence, resamples, seed, controls))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, fit_curves)
