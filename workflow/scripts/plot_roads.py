"""Figures 2 and 3: the road of a study, drawn from its rule graph."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def plot_roads(
    artifacts: Sequence[str],
    pdf: str,
    png: str,
    part: str,
    title: str,
    words: Mapping[str, str],
    stages: Sequence[tuple[str, str]],
    left_out: Sequence[str],
    variants: Sequence[tuple[str, Mapping[str, Any]]],
    sweep: Mapping[str, Any] | None,
    config: Mapping[str, Any],
) -> None:
    """Read the rule graph and the contents of the artifacts, and draw one part of the road."""
    from laq.figures import rulegraph
    from laq.figures.roads import road
    from laq.figures.style import save

    files = [artifacts] if isinstance(artifacts, str) else list(artifacts)
    snakefile = Path(__file__).resolve().parents[2] / "Snakefile"
    # A module of another Snakefile may have a prefix before the config's root.
    graph = rulegraph.ask(snakefile, {**config, "root": str(Path(pdf).parents[1])})
    graph.remove_nodes_from(left_out)
    graph = rulegraph.part(graph, part, words, files, dict(variants), sweep)
    save(road(graph, dict(stages), title), pdf, png)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_roads)
