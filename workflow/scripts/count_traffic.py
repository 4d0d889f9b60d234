"""Count the bytes that two processes of a training send each other in a step, by arm."""

from typing import Any


def count_traffic(
    classes: str,
    parents: list[str],
    table: str,
    networks: list[str],
    bits: list[int],
    training: dict[str, Any],
    seed: int,
) -> None:
    """Write the bytes of some arms of ``networks``, computed and counted.

    parents: files of the networks.
    """
    from laq import data
    from laq.checkpoints import lineage, packing
    from laq.experiments.partial import bandwidth
    from laq.utils.files import write_rows

    names = data.load_names(classes)
    originals = {
        network: (packing.load(path), lineage.of_original(path, names, seed))
        for network, path in zip(networks, parents, strict=True)
    }
    write_rows(table, bandwidth.table(originals, training, bits))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, count_traffic)
