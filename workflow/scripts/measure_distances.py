"""Measure the symmetrised KL divergence of every pair of classes."""


def measure_distances(
    coordinates: str, train: str, classes: str, matrix: str, shrinkage: float
) -> None:
    """Write the class × class matrix, class names as index and columns."""
    import pandas as pd

    from laq import data
    from laq.distances import divergence, embedding
    from laq.utils.files import write_parquet

    names = data.load_names(classes)
    points, labels = embedding.read(coordinates, data.load_labels(train))
    distances = divergence.kl_matrix(divergence.class_gaussians(points, labels, names, shrinkage))
    write_parquet(matrix, pd.DataFrame(distances, index=names, columns=names))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, measure_distances)
