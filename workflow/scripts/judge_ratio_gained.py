"""The compression ratio gained by label-awareness at equal accuracy, and the verdicts on it."""


def judge_ratio_gained(
    tables: list[str],
    subsets: str,
    label_aware: str,
    ratio_gained: str,
    claims: str,
    tolerance: float,
    confidence: float,
    resamples: int,
    seed: int,
) -> None:
    """Write all measurements in one table, the ratio gained on each subset, and the claims."""
    from laq.analysis.claims.effects import Rigour
    from laq.analysis.collected import put_together
    from laq.analysis.deep import ratio_claims
    from laq.analysis.deep.ratio_claims import judge
    from laq.utils.files import write_csv

    write_csv(label_aware, put_together(tables))
    gains = ratio_claims.gained(ratio_claims.observations(label_aware, subsets), tolerance)
    write_csv(ratio_gained, gains)
    write_csv(claims, judge(gains, Rigour(confidence, resamples, seed)))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, judge_ratio_gained)
