"""Choose the classes of one subset."""

from typing import Any


def select_subset(
    matrix: str, series: str | None, subset: str, name: str, definition: dict[str, Any], seed: int
) -> None:
    """Write the subset's classes and the distances between them."""
    from laq.distances import divergence, subsets
    from laq.utils.files import write_json

    names, distances = divergence.read(matrix)
    if series:
        selection = subsets.member(series, definition)
    else:
        selection = subsets.select(distances, definition, seed)
    write_json(
        subset,
        {
            "subset": name,
            "kind": definition["kind"],
            "superclass": definition.get("superclass"),
            "target": selection.target,
            "seed": seed,
            "indices": selection.indices,
            "classes": [names[index] for index in selection.indices],
            **subsets.describe(distances, selection.indices),
        },
    )


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, select_subset)
