"""Figure 7: memory on the disk by variant."""


def plot_memory(memory: str, pdf: str, png: str, study: str, variants: list[str]) -> None:
    """Draw the bytes of all networks' variants as PDF and PNG."""
    from laq.analysis.collected import read
    from laq.figures.memory import COLUMNS, memory_by_variant
    from laq.figures.style import save

    save(memory_by_variant(read(memory, COLUMNS), variants, study), pdf, png)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_memory)
