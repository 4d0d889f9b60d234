"""Put the zoo's measurements into one table, and their summary into another."""

from typing import Any


def collect_zoo(
    tables: list[str],
    subsets: str,
    zoo: str,
    methods: str,
    columns: dict[str, dict[str, Any]],
    confidence: float,
    resamples: int,
    seed: int,
) -> None:
    """Write all rows one below the other, and a row for each method and calibration.

    columns: the columns that describe each method in the second table.
    """
    from laq.analysis.collected import put_together
    from laq.analysis.zoo import observations, summarise
    from laq.utils.files import write_csv

    write_csv(zoo, put_together(tables))
    measurements = observations(zoo, subsets)
    write_csv(methods, summarise(measurements, columns, confidence, resamples, seed))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, collect_zoo)
