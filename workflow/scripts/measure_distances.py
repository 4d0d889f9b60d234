"""Measure the symmetrised KL divergence of every pair of classes."""


def measure_distances(coordinates: str, classes: str, matrix: str, shrinkage: float) -> None:
    """Write the class × class matrix, class names as index and columns."""
    import pandas as pd

    from laq import divergence
    from laq.files import read_json, read_table, write_parquet

    names = read_json(classes)
    table = read_table(coordinates, ["label", "umap_1", "umap_2"])
    gaussians = divergence.class_gaussians(
        table[["umap_1", "umap_2"]].to_numpy(float), table["label"].to_numpy(), names, shrinkage
    )
    distances = divergence.kl_matrix(gaussians)
    write_parquet(matrix, pd.DataFrame(distances, index=names, columns=names))


if "snakemake" in globals():
    import job

    job.run(snakemake, measure_distances)
