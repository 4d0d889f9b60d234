"""Say which variant to deploy."""


def choose_variants(
    accuracy: str, memory: str, deploy: str, tolerance: float, confidence: float
) -> None:
    """Write a row for each network, subset and variant, one of each subset recommended."""
    from laq.analysis.deployment import FROM_ACCURACY, FROM_MEMORY, choose
    from laq.utils.files import read_table, write_csv

    tables = read_table(accuracy, FROM_ACCURACY), read_table(memory, FROM_MEMORY)
    write_csv(deploy, choose(*tables, tolerance, confidence))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, choose_variants)
