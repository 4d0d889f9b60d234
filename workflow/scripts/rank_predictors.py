"""How well ICD and Gram similarity predict the cost of quantization and the gain from labels."""


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

    ``sweep`` holds a path where its label-agnostic point replaces a missing variant. ``base`` then
    has the bits and images of that point.
    """
    from laq.analysis import observations
    from laq.analysis.collected import check_covers
    from laq.analysis.collected import read as read_all
    from laq.analysis.predictors import SIMILARITY, SWEEP, rank, with_control
    from laq.utils.files import read_table, write_csv

    table = observations.read(accuracy, subsets)
    similarities = read_table(similarity, SIMILARITY)
    check_covers(similarity, similarities, table, accuracy)
    if sweep:
        table = with_control(table, read_all(sweep[0], SWEEP), arms["agnostic"], **base)
    write_csv(predictors, rank(table, similarities, arms, confidence, seed))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, rank_predictors)
