"""Bytes of compressed networks, from file sizes, headers and layer reports: no tensor is read.

The size of a file is that on the disk, with its header, the parameters left in float, and the
scales of the grids. Beside it is the size with an ideal entropy coder for each layer's codes:
Shannon's bound for codes drawn independently.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from laq.checkpoints import metadata
from laq.utils.columns import Kind, check_numbers
from laq.utils.errors import DataError
from laq.utils.files import read_table

Source = str | os.PathLike[str]

_NUMBERS = ("weights", "bits", "entropy", "bytes")


@dataclass(frozen=True)
class Memory:
    """Bytes of one variant: a row of ``tables/memory.csv`` but for its ids.

    weights: number of quantized weights. float_bytes: of the float32 file of the same network.
    packed_bytes: of the variant's file. ratio: packed_bytes over float_bytes. entropy_bytes: of the
    variant's file if each layer's codes were entropy-coded, rounded up. bits_per_weight: of packed
    codes and scales, over quantized weights. nominal_bits: mean over quantized weights. Both are 32
    where nothing is quantized.
    """

    weights: int
    float_bytes: int
    packed_bytes: int
    ratio: float
    entropy_bytes: int
    bits_per_weight: float
    nominal_bits: float


def measure(checkpoint: Source, original: Source, layers: Source | None = None) -> Memory:
    """Measure a checkpoint beside the float32 checkpoint of the same network.

    ``layers`` is the layer report of a compressed one: columns weights, bits, entropy (bits a
    code) and bytes (packed codes and scales), the last two empty for layers left in float.

    Raises ``CheckpointError`` for a file that is no checkpoint, and ``DataError`` for a report
    that is not of this checkpoint.
    """
    with metadata.opened(checkpoint) as file:
        content = metadata.content(checkpoint, file)
    packed = metadata.runs(checkpoint, content)
    runs = [run for weight in packed.values() for run in weight]
    weights = sum(run.weights for run in runs)
    if layers and "layers" in content:
        _check_report(checkpoint, layers, content["layers"])
    reported_weights, bits, entropy_bits, coded_bytes = _totals(layers) if layers else (0, 0, 0, 0)
    if reported_weights != weights:
        raise DataError(
            f"{checkpoint} holds {weights} quantized weights and its layer report ({layers}) lists "
            f"{reported_weights}: delete both and run the rule that makes them again"
        )
    float_bytes, packed_bytes = (Path(path).stat().st_size for path in (original, checkpoint))
    code_bytes = sum(run.code_bytes for run in runs)
    return Memory(
        weights=weights,
        float_bytes=float_bytes,
        packed_bytes=packed_bytes,
        ratio=packed_bytes / float_bytes,
        entropy_bytes=packed_bytes - code_bytes + math.ceil(entropy_bits / 8),
        bits_per_weight=8 * coded_bytes / weights if weights else 32.0,
        nominal_bits=bits / weights if weights else 32.0,
    )


def _check_report(checkpoint: Source, layers: Source, own: Sequence[Mapping[str, object]]) -> None:
    """Raise ``DataError`` unless the report beside a checkpoint is the one inside it.

    Only their rows tell the reports of two runs of a rule apart.
    """
    table = read_table(layers, ["layer", *_NUMBERS])
    check_numbers(layers, "bits", table["bits"], Kind(0, 32))
    rows = table[["layer", *_NUMBERS]].to_dict("records")
    for row, entry in zip_longest(rows, own, fillvalue={}):
        same = row.get("layer") == entry.get("layer") and all(
            math.isclose(row[name], entry[name], rel_tol=1e-8)
            if entry[name] is not None
            else row[name] != row[name]
            for name in _NUMBERS
        )
        if not same:
            raise DataError(
                f"{layers} is not the layer report of {checkpoint}: they differ at the layer "
                f"{row.get('layer') or entry.get('layer')}: delete both and run the rule that "
                "makes them again"
            )


def _totals(layers: Source) -> tuple[int, float, float, int]:
    """Quantized weights of a layer report, their nominal bits, entropy in bits, and bytes."""
    table = read_table(layers, _NUMBERS)
    table = table[table["bytes"].notna()]
    weights = table["weights"]
    return (
        int(weights.sum()),
        float((weights * table["bits"]).sum()),
        float((weights * table["entropy"]).sum()),
        int(table["bytes"].sum()),
    )
