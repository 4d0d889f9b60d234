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

    parameters: their number in the network. files: bytes of the files of the stages ``pruned``,
    ``shared``, ``huffman`` and ``ans``. The rows add up to these.
    """
    names = [name for name in course.met if name not in course.reasons]
    stages = {name: _stages(course, f"{name}.weight") for name in names}
    layers = [
        _row("layer", name, course.network.get_submodule(name), [stages[name]]) for name in names
    ]
    totals = _row("all", None, None, list(stages.values()))
    remainder: Row = dict.fromkeys(totals)
    other_weights = parameters - totals["weights"]
    remainder |= {
        "part": "rest",
        "weights": other_weights,
        "kept": other_weights,
        "float_bytes": 4 * other_weights,
    }
    remainder |= {
        f"{stage}_bytes": size - totals[f"{stage}_bytes"] for stage, size in files.items()
    }
    for key in ("weights", "kept", "float_bytes", *(f"{stage}_bytes" for stage in files)):
        totals[key] += remainder[key]
    totals["ratio_huffman"] = totals["float_bytes"] / totals["huffman_bytes"]
    return [*layers, remainder, totals]


def _stages(course: Pipeline, weight: str) -> Stages:
    """As ``size_formula.stages``, with the values that the pruned weights had."""
    shared = course.shared[weight]
    return Stages(
        size_formula.measured(course.weights[weight], "fixed"),
        *(size_formula.measured(shared, coder) for coder in ("fixed", "huffman", "ans")),
        csr_bytes(len(shared.positions), shared.shape),
    )


def _row(part: str, name: str | None, layer: nn.Module | None, found: Sequence[Stages]) -> Row:
    shared = [stages.shared for stages in found]
    combined = Stages(
        total(stages.pruned for stages in found),
        total(shared),
        total(stages.huffman for stages in found),
        total(stages.ans for stages in found),
        sum(stages.csr for stages in found),
    )
    numbers = combined.row()
    float_bits = 32 * sum(stored.kept for stored in shared)
    coded_bits = sum(stored.kept * stored.bits_per_code + 8 * stored.values for stored in shared)
    formula_bits = sum(
        32 * stored.kept / size_formula.ratio(stored.kept, stored.centroids) for stored in shared
    )
    kind = None if layer is None else "linear" if isinstance(layer, nn.Linear) else "conv"
    return {
        "part": part,
        "layer": name,
        "kind": kind,
        "weights": numbers.pop("weights"),
        "kept": numbers.pop("kept"),
        "fillers": numbers.pop("fillers"),
        "centroids": sum(stored.centroids for stored in shared),
        **numbers,
        "ratio_huffman": numbers["float_bytes"] / numbers["huffman_bytes"],
        "ratio_sharing": float_bits / coded_bits,
        "ratio_formula": float_bits / formula_bits,
    }


def total(parts: Iterable[Stored]) -> Stored:
    """Several weights as one: sums of counts, and entropies as means over entries."""
    parts = list(parts)
    entries = sum(part.entries for part in parts)
    sums = ("weights", "kept", "entries", "centroids", "values", "marks", "codes", "indices")
    means = ("code_entropy", "index_entropy")
    return replace(
        parts[0],
        **{key: sum(getattr(part, key) for part in parts) for key in (*sums, "tables")},
        **{
            key: sum(getattr(part, key) * part.entries for part in parts) / max(1, entries)
            for key in means
        },
    )
