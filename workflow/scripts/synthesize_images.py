"""Make calibration images from a network alone, of given classes or of none."""

from typing import Any


def synthesize_images(
    parent: str,
    classes: str,
    subset: str | list[str],
    images: str,
    course: str,
    network: str,
    asked: str,
    kind: str,
    synthesis: dict[str, Any],
    seed: int,
    device: str,
) -> None:
    """Write the images with their labels, and how the losses fell.

    network: the entry's id in the config. asked: a subset's id, whose file ``subset`` is, all or
    none. kind: one of ``laq.synthesis.kinds``. synthesis: the config's, what of it the kind uses.
    """
    from laq import datasets, devices, lineage, packing, subset_files
    from laq.files import write_rows
    from laq.synthesis import kinds
    from laq.synthesis.request import Request

    names = datasets.load_names(classes)
    shape = lineage.of_original(parent, names, seed)["images"]
    members = range(len(names)) if asked == "all" else None
    if subset:
        members = subset_files.read(subset, names)["indices"]
    wanted = None if members is None else tuple(members)
    # Repeats of a variant share their images; those of all classes serve every subset.
    generator = devices.seed_everything(seed, "synthesis", kind, *(wanted or ()))
    made = kinds.make(
        kind,
        packing.load(parent).to(devices.pick(device)),
        Request(network, tuple(shape), synthesis["images"], wanted),
        synthesis,
        generator,
    )
    found = datasets.Dataset(made.images.numpy(), made.labels.numpy(), tuple(names))
    write_rows(course, made.course)
    datasets.save(found, images)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, synthesize_images)
