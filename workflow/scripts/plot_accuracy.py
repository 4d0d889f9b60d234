"""Figures 5 and 6: accuracy against median ICD, of variants side by side."""

from collections.abc import Sequence


def plot_accuracy(
    accuracy: str,
    subsets: str,
    published: Sequence[str],
    pdf: str,
    png: str,
    title: str,
    scale: str,
    arms: list[list[str | None]],
    settings: list[str],
    scopes: list[str],
    crossed: str | None,
    confidence: float,
    resamples: int,
    seed: int,
) -> None:
    """Draw the arms (setting, variant, label) with their curves; ``published``: one log or none."""
    from functools import partial

    from laq.analysis import observations
    from laq.analysis.curves import fit_curves
    from laq.data import published as logs
    from laq.figures.accuracy import CurveArm, accuracy_against_icd
    from laq.figures.style import save

    fit = partial(fit_curves, confidence=confidence, resamples=resamples, seed=seed)
    figure = accuracy_against_icd(
        fit(observations.read(accuracy, subsets)),
        [CurveArm(*arm) for arm in arms],
        scale,
        title,
        settings=settings,
        scopes=scopes,
        crossed=crossed,
        published=fit(logs.read(published[0], "published")) if published else None,
        confidence=confidence,
    )
    save(figure, pdf, png)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_accuracy)
