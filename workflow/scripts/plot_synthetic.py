"""Calibration images made without data, beside training images."""


def plot_synthetic(
    train: str,
    classes: str,
    subset: str,
    made: list[str],
    pdf: str,
    png: str,
    study: str,
    network: str,
    rows: list[tuple[str, str]],
    columns: int,
) -> None:
    """Draw a row of images for each of ``rows``, as PDF and PNG.

    rows: for which classes (a subset's id, all or none) and how those of ``made`` were made.
    """
    from laq import data
    from laq.distances import subset_files
    from laq.figures.style import save
    from laq.figures.synthetic import ImageRow, made_images, title

    split = data.load(train, classes)
    selection = subset_files.read(subset, split.classes)
    image_rows = [
        ImageRow.of_classes(
            title(selection["subset"], "training"), split, selection["indices"], columns
        )
    ]
    for path, (target, kind) in zip(made, rows, strict=True):
        images = data.load(path, classes, whole=False)
        name = title(target, kind)
        if target == selection["subset"]:
            image_rows.append(ImageRow.of_classes(name, images, selection["indices"], columns))
        else:
            image_rows.append(ImageRow.first(name, images, columns, target != "none"))
    save(made_images(image_rows, columns, f"{study}: {network}, {selection['subset']}"), pdf, png)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_synthetic)
