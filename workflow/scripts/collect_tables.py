"""Put tables of the same columns into one."""


def collect_tables(tables: list[str], table: str) -> None:
    """Write the tables one below the other, in the order given."""
    from laq.analysis.collected import put_together
    from laq.utils.files import write_csv

    rows = put_together(tables)
    counts = rows.columns.intersection(["correct5"])  # empty where few classes compete
    write_csv(table, rows.astype(dict.fromkeys(counts, "Int64")))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, collect_tables)
