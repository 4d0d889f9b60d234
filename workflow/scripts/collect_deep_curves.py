"""Put the curves of a network into one table."""


def collect_deep_curves(tables: list[str], table: str) -> None:
    """Write the points one below the other, in the order given."""
    import pandas as pd

    from laq.utils import columns
    from laq.utils.files import read_table, write_csv

    names = ["network", "bytes", "ratio", "huffman_bytes", "huffman_ratio", "n", "correct", "top1"]
    curves = [read_table(path, ["method", "training", "bits", *names]) for path in tables]
    for path, curve in zip(tables, curves, strict=True):
        columns.check_rates(path, curve)
    # Bits are whole numbers of quantization, and empty for other curves.
    write_csv(table, pd.concat([curve.astype({"bits": "Int64"}) for curve in curves]))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, collect_deep_curves)
