"""Sizes and scores of a network stage by stage: a row each of the paper's tables."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from laq.checkpoints.deep_container import file
from laq.checkpoints.deep_container.container import Weights
from laq.deep_compression.pipeline import Pipeline
from laq.experiments.evaluation import score
from laq.models.networks import load_state, predict
from laq.training import Split
from laq.utils import disks

# Stages by name in the order of the table: the original network, P, P+Q with centroids by k-means,
# P+Q with trained centroids, and P+Q+H.
STAGES = ("original", "pruned", "clustered", "shared", "coded")

Row = dict[str, Any]


def scores(
    original: nn.Module,
    course: Pipeline,
    images: Split,
    members: Sequence[int],
    device: torch.device,
) -> list[Row]:
    """A row for each stage and scope of ``laq.experiments.evaluation``; ``images`` are of classes
    ``members``.

    Coding is lossless, so that stage has no rows of its own.
    """
    network = copy.deepcopy(course.network)
    rows = []
    for stage, state in (("original", original.state_dict()), *_states(course)):
        load_state(network, state)
        for result in score(predict(network, images[0], device), images[1], members):
            counts = {name: getattr(result, name) for name in ("n", "correct", "top1")}
            rows.append({"stage": stage, "scope": result.scope, **counts})
    return rows


def sizes(
    parameters: int,
    course: Pipeline,
    description: Mapping[str, Any],
    coder: str,
    place: Path,
) -> dict[str, Row]:
    """Columns for each stage: the number it keeps of ``parameters``, and the size of its file.

    Files are written to the folder ``place``; their bytes are those that stat counts. kept:
    parameters that are not pruned, biases included. ratio: of 4 bytes a parameter to the file's
    bytes; the original's file counts as 4 bytes a parameter.
    """
    pruned = sum(w.weight().numel() - len(w.positions) for w in course.shared.values())
    states = dict(_states(course))
    files: dict[str, tuple[Mapping[str, Tensor], Weights, str]] = {
        "pruned": (states["pruned"], course.weights, "fixed"),
        "clustered": (states["clustered"], course.clusters, "fixed"),
        "shared": (states["shared"], course.shared, "fixed"),
        "coded": (states["shared"], course.shared, coder),
    }
    stage_sizes = {"original": (parameters, 4 * parameters)}
    with disks.folder(place, ".deep") as folder:
        for stage, (state, weights, stage_coder) in files.items():
            path = folder / f"{stage}.safetensors"
            file.save(path, state, description, weights, stage_coder)
            stage_sizes[stage] = parameters - pruned, path.stat().st_size
    return {
        stage: {
            "parameters": parameters,
            "kept": kept,
            "bytes": size,
            "ratio": 4 * parameters / size,
        }
        for stage, (kept, size) in stage_sizes.items()
    }


def table(scored: Sequence[Row], sized: Mapping[str, Row]) -> list[Row]:
    """A row for each stage and scope, of ``scores`` and ``sizes``."""
    coded = [{**row, "stage": "coded"} for row in scored if row["stage"] == "shared"]
    return [{**row, **sized[row["stage"]]} for row in (*scored, *coded)]


def _states(course: Pipeline) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    yield "pruned", course.pruned
    yield "clustered", course.clustered
    yield "shared", course.network.state_dict()


Settings = Mapping[str, Any]
State = Mapping[str, Tensor]
