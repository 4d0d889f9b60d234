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
    chosen = subset_files.read(subset, split.classes)
    shown = [
        ImageRow.of_classes(title(chosen["subset"], "training"), split, chosen["indices"], columns)
    ]
    for path, (asked, kind) in zip(made, rows, strict=True):
        images = data.load(path, classes, whole=False)
        name = title(asked, kind)
        if asked == chosen["subset"]:
            shown.append(ImageRow.of_classes(name, images, chosen["indices"], columns))
        else:
            shown.append(ImageRow.first(name, images, columns, asked != "none"))
    save(made_images(shown, columns, f"{study}: {network}, {chosen['subset']}"), pdf, png)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_synthetic)
