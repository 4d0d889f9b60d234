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

    network: the entry's id in the config. asked: a subset's id, whose file is ``subset``, or all,
    or none. kind: one of ``laq.data_free.registry``. synthesis: the config's settings that the kind
    uses.
    """
    from laq import data
    from laq.checkpoints import lineage, packing
    from laq.data_free import registry
    from laq.data_free.pipeline import Request
    from laq.distances import subset_files
    from laq.utils import devices
    from laq.utils.files import write_rows

    names = data.load_names(classes)
    shape = lineage.of_original(parent, names, seed)["images"]
    members = range(len(names)) if asked == "all" else None
    if subset:
        members = subset_files.read(subset, names)["indices"]
    class_indices = None if members is None else tuple(members)
    # Repeats of a variant share their images; those of all classes serve every subset.
    generator = devices.seed_everything(seed, "synthesis", kind, *(class_indices or ()))
    result = registry.make(
        kind,
        packing.load(parent).to(devices.pick(device)),
        Request(network, tuple(shape), synthesis["images"], class_indices),
        synthesis,
        generator,
    )
    dataset = data.Dataset(result.images.numpy(), result.labels.numpy(), tuple(names))
    write_rows(course, result.course)
    data.save(dataset, images)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, synthesize_images)
