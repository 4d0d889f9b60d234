"""Label-aware Deep Compression: accuracy against ratio, and the ratio gained against median ICD."""


def plot_label_aware(
    label_aware: str,
    subsets: str,
    ratio_gained: str,
    claims: str,
    pdf: str,
    png: str,
    study: str,
    scale: str,
    tolerance: float,
    confidence: float,
    resamples: int,
    seed: int,
) -> None:
    """Draw both as PDF and PNG."""
    from laq.analysis.claims.effects import Rigour
    from laq.analysis.deep.ratio_claims import observations
    from laq.figures.deep_label_aware import label_aware as draw
    from laq.figures.style import save
    from laq.utils.files import read_table

    tables = observations(label_aware, subsets), read_table(ratio_gained), read_table(claims)
    rigour = Rigour(confidence, resamples, seed)
    save(draw(*tables, study, scale, tolerance, rigour), pdf, png)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_label_aware)
