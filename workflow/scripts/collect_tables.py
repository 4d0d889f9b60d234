"""Put tables of the same columns into one."""


def collect_tables(tables: list[str], table: str) -> None:
    """Write the tables one below the other, in the order given."""
    import pandas as pd

    from laq.files import read_table, write_csv

    rows = pd.concat([read_table(path) for path in tables], ignore_index=True)
    write_csv(table, rows.astype({"correct5": "Int64"}))


if "snakemake" in globals():
    import job

    job.run(snakemake, collect_tables)
