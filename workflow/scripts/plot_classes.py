"""Figure 1: the classes in the UMAP plane."""


def plot_classes(
    train: str, classes: str, coordinates: str, pdf: str, png: str, study: str, shrinkage: float
) -> None:
    """Draw every class as an example image and an ellipse, as PDF and PNG."""
    from laq import datasets
    from laq.divergence import class_gaussians
    from laq.errors import DataError
    from laq.files import read_table
    from laq.plots.classes import Plane, class_centres
    from laq.plots.style import save

    split = datasets.load(train, classes)
    table = read_table(coordinates, ["index", "label", "umap_1", "umap_2"])
    index, labels = table["index"].to_numpy(), table["label"].to_numpy()
    if index.max() >= len(split.labels) or (split.labels[index] != labels).any():
        raise DataError(f"{coordinates} is not of the images in {train}: delete it and run again")
    points = table[["umap_1", "umap_2"]].to_numpy(float)
    gaussians = class_gaussians(points, labels, split.classes, shrinkage)
    save(class_centres(Plane(points, labels, index, split.images, gaussians), study), pdf, png)


if "snakemake" in globals():
    import job

    job.run(snakemake, plot_classes)
