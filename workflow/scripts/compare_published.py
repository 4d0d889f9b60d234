"""The gains of quantization in a published study and in this one, and the distances of both."""


def compare_published(
    accuracy: str,
    table: str,
    subsets: list[str],
    matrix: str,
    logs: list[str],
    given: list[str],
    replication: str,
    correlations: str,
    variants: list[str],
    confidence: float,
    resamples: int,
    seed: int,
) -> None:
    """Write a row a setting, variant, scope and subset, and the rank correlations over subsets.

    ``table``: of the subsets; ``variants``: one for each of ``logs``; ``given``: another study's
    matrix of distances, or nothing.
    """
    from laq.analysis import observations
    from laq.analysis.replication import correlate, side_by_side
    from laq.data.published.matrix import read_matrix
    from laq.data.published.subsets import read
    from laq.distances import divergence, subset_files
    from laq.utils.files import write_csv

    names, distances = divergence.read(matrix)
    published = {variant: read(log) for variant, log in zip(variants, logs, strict=True)}
    gains = side_by_side(
        observations.read(accuracy, table), subset_files.read_all(subsets), published, names
    )
    matrices = (read_matrix(given[0], names), distances) if given else None
    write_csv(replication, gains)
    write_csv(correlations, correlate(gains, matrices, confidence, resamples, seed))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, compare_published)
