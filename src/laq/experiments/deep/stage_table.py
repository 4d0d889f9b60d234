"""Sizes and scores of a network after each stage, from the files that are written of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from laq.checkpoints import packing
from laq.deep_compression.pipeline import Pipeline
from laq.experiments.deep.runner import Bench, Row, Settings, write
from laq.utils import disks


def rows(
    bench: Bench, parent: str, settings: Settings, files: Mapping[str, str], state: Path | None
) -> tuple[list[Row], list[Row], Pipeline]:
    """Rows of ``deep/{network}/stages.csv``, seconds by stage, and the pipeline's result.

    parent: file of the initial network. files: paths of the stages ``pruned``, ``shared``,
    ``huffman`` and ``ans``, which are kept. state: as of
    ``laq.deep_compression.pipeline.compress``.
    """
    start_time = perf_counter()
    variant = bench.compress(settings, state)
    course, compress_seconds = variant.course, perf_counter() - start_time
    contents: dict[str, tuple[Any, Any, str]] = {
        "pruned": (course.pruned, course.weights, "fixed"),
        "clustered": (course.clustered, course.clusters, "fixed"),
        "shared": (variant.state, course.shared, "fixed"),
        "huffman": (variant.state, course.shared, "huffman"),
        "ans": (variant.state, course.shared, "ans"),
    }
    pruned = sum(
        weight.weight().numel() - len(weight.positions) for weight in course.weights.values()
    )
    table, seconds = [], []
    with disks.folder(bench.place, ".deep") as folder:
        paths = {stage: Path(files.get(stage, folder / stage)) for stage in contents}
        for stage, path in {"original": Path(parent), **paths}.items():
            write_start = perf_counter()
            if stage in contents:
                tensors, weights, coder = contents[stage]
                write(path, tensors, variant.description, weights, coder)
            write_end = perf_counter()
            network = packing.load(path)
            read_end = perf_counter()
            scores = bench.score(network)
            row = {
                "stage": stage,
                "file": None if stage == "clustered" else path.name,
                "parameters": bench.parameters,
                "kept": bench.parameters - pruned * (stage != "original"),
                **bench.weighed(path.stat().st_size),
                **scores,
            }
            table.append(row)
            durations = {
                "compress": compress_seconds * (stage == "pruned"),
                "write": write_end - write_start,
            }
            durations |= {"read": read_end - write_end, "evaluate": perf_counter() - read_end}
            seconds.append({"stage": stage, **durations})
    return table, seconds, course
