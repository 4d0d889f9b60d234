"""The paper's table: what each layer keeps and takes, stage by stage, and all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from laq.checkpoints.deep_container import size_formula
from laq.checkpoints.deep_container.size_formula import Stages, Stored
from laq.checkpoints.deep_container.sparse_index import csr_bytes
from laq.deep_compression.pipeline import Pipeline

Row = dict[str, Any]


def rows(course: Pipeline, parameters: int, files: Mapping[str, int]) -> list[Row]:
    """A row for each layer in the order of ``course.met``, one of the rest, and one of all.

    parameters: of the network. files: bytes at the stages ``pruned``, ``shared``, ``huffman`` and
    ``ans``, which the rows add up to.
    """
    names = [name for name in course.met if name not in course.reasons]
    found = {name: _stages(course, f"{name}.weight") for name in names}
    layers = [
        _row("layer", name, course.network.get_submodule(name), [found[name]]) for name in names
    ]
    whole = _row("all", None, None, list(found.values()))
    rest: Row = dict.fromkeys(whole)
    others = parameters - whole["weights"]
    rest |= {"part": "rest", "weights": others, "kept": others, "float_bytes": 4 * others}
    rest |= {f"{stage}_bytes": size - whole[f"{stage}_bytes"] for stage, size in files.items()}
    for key in ("weights", "kept", "float_bytes", *(f"{stage}_bytes" for stage in files)):
        whole[key] += rest[key]
    whole["ratio_huffman"] = whole["float_bytes"] / whole["huffman_bytes"]
    return [*layers, rest, whole]


def _stages(course: Pipeline, weight: str) -> Stages:
    """As ``formula.stages``, with the values that the pruned weights had."""
    shared = course.shared[weight]
    return Stages(
        size_formula.measured(course.weights[weight], "fixed"),
        *(size_formula.measured(shared, coder) for coder in ("fixed", "huffman", "ans")),
        csr_bytes(len(shared.positions), shared.shape),
    )


def _row(part: str, name: str | None, layer: nn.Module | None, found: Sequence[Stages]) -> Row:
    plain = [own.shared for own in found]
    together = Stages(
        total(own.pruned for own in found),
        total(plain),
        total(own.huffman for own in found),
        total(own.ans for own in found),
        sum(own.csr for own in found),
    )
    numbers = together.row()
    kept = 32 * sum(own.kept for own in plain)
    fixed = sum(own.kept * own.bits_per_code + 8 * own.values for own in plain)
    told = sum(32 * own.kept / size_formula.ratio(own.kept, own.centroids) for own in plain)
    kind = None if layer is None else "linear" if isinstance(layer, nn.Linear) else "conv"
    return {
        "part": part,
        "layer": name,
        "kind": kind,
        "weights": numbers.pop("weights"),
        "kept": numbers.pop("kept"),
        "fillers": numbers.pop("fillers"),
        "centroids": sum(own.centroids for own in plain),
        **numbers,
        "ratio_huffman": numbers["float_bytes"] / numbers["huffman_bytes"],
        "ratio_sharing": kept / fixed,
        "ratio_formula": kept / told,
    }


def total(parts: Iterable[Stored]) -> Stored:
    """Several weights as one: sums, and of what is in the mean over entries the mean."""
    parts = list(parts)
    entries = sum(own.entries for own in parts)
    sums = ("weights", "kept", "entries", "centroids", "values", "marks", "codes", "indices")
    means = ("code_entropy", "index_entropy")
    return replace(
        parts[0],
        **{key: sum(getattr(own, key) for own in parts) for key in (*sums, "tables")},
        **{
            key: sum(getattr(own, key) * own.entries for own in parts) / max(1, entries)
            for key in means
        },
    )
