"""Map the features to the plane."""

from typing import Any


def embed_features(features: str, coordinates: str, umap: dict[str, Any], seed: int) -> None:
    """Write one row an image: index, label, umap_1, umap_2."""
    import numpy as np
    import pandas as pd

    from laq.distances import embedding
    from laq.distances import features as extraction
    from laq.utils.files import write_parquet

    matrix, labels = extraction.read(features)
    plane = embedding.embed(matrix, umap, seed)
    table = {
        "index": np.arange(len(labels)),
        "label": labels,
        "umap_1": plane[:, 0],
        "umap_2": plane[:, 1],
    }
    write_parquet(coordinates, pd.DataFrame(table))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, embed_features)
