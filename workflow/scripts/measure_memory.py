"""Measure the size of every variant on the disk."""

from itertools import product
from typing import Any


def measure_memory(
    originals: list[str],
    checkpoints: list[str],
    layers: list[str],
    memory: str,
    networks: list[str],
    subsets: list[str],
    variants: list[tuple[str, int]],
    compressed: list[tuple[str, int]],
) -> None:
    """Write a row for each network's original and for each of its variants for a subset.

    ``originals`` are in the order of ``networks``. ``checkpoints`` run over networks, subsets and
    ``variants`` (names with their repeats). ``layers`` run over networks, subsets and
    ``compressed``. The last varies fastest.
    """
    import pandas as pd

    from laq.checkpoints.memory import measure
    from laq.utils.files import write_csv

    original = dict(zip(networks, originals, strict=True))
    report = dict(zip(_keys(networks, subsets, compressed), layers, strict=True))
    rows = [(name, "", "original", 1, measure(path, path)) for name, path in original.items()]
    for key, path in zip(_keys(networks, subsets, variants), checkpoints, strict=True):
        rows.append((*key, measure(path, original[key[0]], report.get(key))))
    columns = ["network", "subset", "variant", "repeat"]
    table = pd.DataFrame(
        [{**dict(zip(columns, ids, strict=True)), **vars(result)} for *ids, result in rows]
    )
    write_csv(memory, table)


def _keys(networks: list[str], subsets: list[str], variants: list[tuple[str, int]]) -> list[Any]:
    return [(*ids, *variant) for *ids, variant in product(networks, subsets, variants)]


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, measure_memory)
