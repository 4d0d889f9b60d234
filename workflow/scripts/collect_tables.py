"""Put tables of the same columns into one."""


def collect_tables(tables: list[str], table: str) -> None:
    """Write the tables one below the other, in the order given."""
    import pandas as pd

    from laq.files import read_table, write_csv

    rows = pd.concat([read_table(path) for path in tables], ignore_index=True)
    counts = rows.columns.intersection(["correct5"])  # empty where few classes compete
    write_csv(table, rows.astype(dict.fromkeys(counts, "Int64")))


if "snakemake" in globals():
    import job

    job.run(snakemake, collect_tables)
