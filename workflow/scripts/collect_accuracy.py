"""Put the accuracies of all subsets into one table."""


def collect_accuracy(tables: list[str], accuracy: str) -> None:
    """Write the tables one below the other, in the order given."""
    import pandas as pd

    from laq.files import read_table, write_csv

    table = pd.concat([read_table(path) for path in tables], ignore_index=True)
    write_csv(accuracy, table.astype({"correct5": "Int64"}))


if "snakemake" in globals():
    import job

    job.run(snakemake, collect_accuracy)
