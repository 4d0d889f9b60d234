"""Put the tables of partial training's jobs one below the other."""


def collect_partial(
    tables: list[str],
    times: list[str],
    told: list[str],
    runs: str,
    seconds: str,
    tensors: list[str],
    networks: list[str],
) -> None:
    """Write all arms, their times, and for each of ``networks`` a file of its tensors."""
    from laq.analysis.partial.tables import put_together
    from laq.utils.files import write_csv

    write_csv(runs, put_together(tables))
    write_csv(seconds, put_together(times))
    rows = put_together(told)
    for network, file in zip(networks, tensors, strict=True):
        write_csv(file, rows[rows["network"] == network])


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, collect_partial)
