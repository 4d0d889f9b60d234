"""Put the accuracies of all subsets into one table."""


def collect_accuracy(tables: list[str], accuracy: str) -> None:
    """Write the tables one below the other, in the order given."""
    import pandas as pd

    from laq.files import read_table, write_csv

    write_csv(accuracy, pd.concat([read_table(path) for path in tables], ignore_index=True))


if "snakemake" in globals():
    import job

    job.run(snakemake, collect_accuracy)
