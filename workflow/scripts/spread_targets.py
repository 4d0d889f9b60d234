"""Find the subsets of a series of targets of median inter-class distance."""

from typing import Any


def spread_targets(matrix: str, series: str, definition: dict[str, Any], seed: int) -> None:
    """Write target and classes of every member of the series, in its order."""
    from laq.distances import divergence, subsets
    from laq.utils.files import write_json

    _, distances = divergence.read(matrix)
    selections = subsets.target_series(distances, **definition, seed=seed)
    write_json(series, [vars(selection) for selection in selections])


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, spread_targets)
