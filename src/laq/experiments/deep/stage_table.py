"""What a network takes and scores after each stage, of the files that were written of it."""

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
    """Rows of ``deep/{network}/stages.csv``; seconds by stage; and the network after all of them.

    parent: file of the network to begin with. files: where the stages ``pruned``, ``shared``,
    ``huffman`` and ``ans`` go, and stay. state: as of ``laq.deep_compression.pipeline.compress``.
    """
    begin = perf_counter()
    made = bench.compress(settings, state)
    course, took_all = made.course, perf_counter() - begin
    contents: dict[str, tuple[Any, Any, str]] = {
        "pruned": (course.pruned, course.weights, "fixed"),
        "clustered": (course.clustered, course.clusters, "fixed"),
        "shared": (made.state, course.shared, "fixed"),
        "huffman": (made.state, course.shared, "huffman"),
        "ans": (made.state, course.shared, "ans"),
    }
    pruned = sum(own.weight().numel() - len(own.positions) for own in course.weights.values())
    found, seconds = [], []
    with disks.folder(bench.place, ".deep") as folder:
        places = {stage: Path(files.get(stage, folder / stage)) for stage in contents}
        for stage, path in {"original": Path(parent), **places}.items():
            first = perf_counter()
            if stage in contents:
                tensors, weights, coder = contents[stage]
                write(path, tensors, made.description, weights, coder)
            written = perf_counter()
            network = packing.load(path)
            read = perf_counter()
            scored = bench.score(network)
            row = {
                "stage": stage,
                "file": None if stage == "clustered" else path.name,
                "parameters": bench.parameters,
                "kept": bench.parameters - pruned * (stage != "original"),
                **bench.weighed(path.stat().st_size),
                **scored,
            }
            found.append(row)
            took = {"compress": took_all * (stage == "pruned"), "write": written - first}
            took |= {"read": read - written, "evaluate": perf_counter() - read}
            seconds.append({"stage": stage, **took})
    return found, seconds, course
