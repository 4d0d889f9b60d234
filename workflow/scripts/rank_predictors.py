"""How well ICD and Gram similarity foretell what quantization costs and what labels gain."""


def rank_predictors(
    accuracy: str,
    subsets: str,
    similarity: str,
    sweep: list[str],
    predictors: str,
    arms: dict[str, str],
    base: dict[str, int] | None,
    confidence: float,
    seed: int,
) -> None:
    """Write a row for each setting, outcome and predictor.

    ``sweep`` holds a path where its label-agnostic point stands for a variant that is lacking,
    ``base`` then the bits and images of that point.
    """
    from laq.analysis import observations
    from laq.analysis.collected import check_covers
    from laq.analysis.collected import read as read_all
    from laq.analysis.predictors import SIMILARITY, SWEEP, rank, with_control
    from laq.utils.files import read_table, write_csv

    table = observations.read(accuracy, subsets)
    alike = read_table(similarity, SIMILARITY)
    check_covers(similarity, alike, table, accuracy)
    if sweep:
        table = with_control(table, read_all(sweep[0], SWEEP), arms["agnostic"], **base)
    write_csv(predictors, rank(table, alike, arms, confidence, seed))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, rank_predictors)
