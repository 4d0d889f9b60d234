"""List all subsets, and say which hold the same classes."""


def list_subsets(subsets: list[str], table: str, published: dict[str, float]) -> None:
    """Write one row a subset, by median ICD; ``duplicate_of`` names the first of equal subsets.

    ``published``: median ICD in a published log of the subsets that come from one, by id.
    """
    import logging

    import pandas as pd

    from laq.distances import subset_files
    from laq.distances.subsets import duplicates
    from laq.utils.files import write_csv

    rows = subset_files.read_all(subsets)
    duplicate_of = duplicates({row["subset"]: row.pop("indices") for row in rows})
    for name, earlier in duplicate_of.items():
        logging.getLogger("laq").warning(
            "subsets %s and %s hold the same classes: figures and statistics count them once",
            earlier,
            name,
        )
    for row in rows:
        row["duplicate_of"] = duplicate_of.get(row["subset"], "")
        row["classes"] = "; ".join(row["classes"])
    frame = pd.DataFrame(rows).sort_values(["median_icd", "subset"])
    columns = ["subset", "kind", "target", "median_icd", "mean_icd", "min_icd", "max_icd"]
    if published:
        frame["published_icd"] = frame["subset"].map(published)
        columns.append("published_icd")
    write_csv(table, frame[[*columns, "seed", "duplicate_of", "classes"]])


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, list_subsets)
