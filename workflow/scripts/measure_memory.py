"""Measure what every variant takes on the disk."""


def measure_memory(
    originals: list[str],
    checkpoints: list[str],
    layers: list[str],
    memory: str,
    networks: list[str],
    subsets: list[str],
    variants: list[str],
    compressed: list[str],
) -> None:
    """Write a row for each network's original and for each of its variants for a subset.

    ``originals`` are in the order of ``networks``; ``checkpoints`` run over networks, subsets
    and ``variants``, and ``layers`` over networks, subsets and ``compressed``, the last fastest.
    """
    from itertools import product

    import pandas as pd

    from laq.files import write_csv
    from laq.memory import measure

    original = dict(zip(networks, originals, strict=True))
    report = dict(zip(product(networks, subsets, compressed), layers, strict=True))
    rows = [(name, "", "original", measure(path, path)) for name, path in original.items()]
    for key, path in zip(product(networks, subsets, variants), checkpoints, strict=True):
        rows.append((*key, measure(path, original[key[0]], report.get(key))))
    columns = ["network", "subset", "variant"]
    table = pd.DataFrame(
        [{**dict(zip(columns, ids, strict=True)), **vars(result)} for *ids, result in rows]
    )
    write_csv(memory, table)


if "snakemake" in globals():
    import job

    job.run(snakemake, measure_memory)
