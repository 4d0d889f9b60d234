"""Figure 1: the classes in the UMAP plane."""


def plot_classes(
    train: str, classes: str, coordinates: str, pdf: str, png: str, study: str, shrinkage: float
) -> None:
    """Draw every class as an example image and an ellipse, as PDF and PNG."""
    import numpy as np

    from laq import data
    from laq.distances import embedding
    from laq.distances.divergence import class_gaussians
    from laq.figures.classes import Plane, class_centres
    from laq.figures.style import save

    split = data.load(train, classes)
    points, labels = embedding.read(coordinates, split.labels)
    gaussians = class_gaussians(points, labels, split.classes, shrinkage)
    plane = Plane(points, labels, np.arange(len(labels)), split.images, gaussians)
    save(class_centres(plane, study), pdf, png)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_classes)
