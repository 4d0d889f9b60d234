"""What a checkpoint holds: as numbers, and as text for a person to read."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laq.checkpoints import packing
from laq.checkpoints.packing import Checkpoint
from laq.quantizers.entropy import entropy
from laq.quantizers.packed_weight import PackedWeight

if TYPE_CHECKING:
    from torch import Tensor

Row = dict[str, Any]


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a whole checkpoint and summarise it, ready for JSON.

    - ``file``: its path. ``description``: as written, but for the layer report.
    - ``packed``: a row for each run of rows with one grid (with mixed precision a layer may
      have several): layer, shape, weights, bits, scheme, width, levels, zeros (number of
      weights), entropy (bits a code), bytes (packed codes and the grid's scales), step
      (mean; None for a codebook). From the layer report, None without one, and of the whole layer:
      error, samples, silent.
    - ``coded``: of a deeply compressed file, a row for each of these weights: layer, and the
      fields of ``laq.checkpoints.deep_container.size_formula.Stored``.
    - ``floats``: a row for each other weight of two dimensions or more: layer, shape, weights,
      and from the layer report the reason why it was left in float.
    - ``totals``: weights (quantized), file_bytes (on the disk), float_bytes (all tensors, packed
      ones as float32), ratio (of the first to the second), entropy_bytes (the file, were the
      codes of each run entropy-coded), bits_per_weight (packed codes and scales; None where
      nothing is quantized).

    Rows are in the order of the layer report, and by name without one. Raises
    ``CheckpointError`` as ``laq.checkpoints.packing.read`` does.
    """
    checkpoint = packing.read(path)
    report = {row["layer"]: row for row in checkpoint.description.get("layers", [])}
    order = {layer: index for index, layer in enumerate(report)}

    def in_order(rows: Iterable[Row]) -> list[Row]:
        return sorted(rows, key=lambda row: order.get(row["layer"], len(order)))

    packed = in_order(_packed_rows(checkpoint, report))
    return {
        "file": str(path),
        "description": {k: v for k, v in checkpoint.description.items() if k != "layers"},
        "packed": packed,
        "coded": in_order(_coded_rows(checkpoint)),
        "floats": in_order(_float_rows(checkpoint, report)),
        "totals": _totals(checkpoint, packed, Path(path).stat().st_size),
    }


def _packed_rows(checkpoint: Checkpoint, report: Mapping[str, Row]) -> Iterator[Row]:
    for name, runs in sorted(checkpoint.packed.items()):
        layer = name.removesuffix(".weight")
        row = report.get(layer, {})
        facts = {key: row.get(key) for key in ("error", "samples", "silent")}
        for run in runs:
            yield {"layer": layer, **_of_run(run), **facts}


def _of_run(run: PackedWeight) -> Row:
    return {
        "shape": list(run.codes.shape),
        "weights": run.codes.numel(),
        "bits": run.grid.bits,
        "scheme": run.grid.scheme,
        "width": run.grid.width,
        "levels": run.grid.levels,
        "zeros": run.grid.zeros(run.codes.flatten(1)),
        "entropy": run.coding.entropy if run.coding else entropy(run.codes),
        "bytes": run.nbytes,
        "step": run.grid.mean_step,
    }


def _coded_rows(checkpoint: Checkpoint) -> Iterator[Row]:
    for name, runs in sorted(checkpoint.packed.items()):
        for run in runs:
            if run.coding:
                yield {"layer": name.removesuffix(".weight"), **asdict(run.coding.sizes)}


def _float_rows(checkpoint: Checkpoint, report: Mapping[str, Row]) -> Iterator[Row]:
    for name, tensor in sorted(_tensors(checkpoint).items()):
        if tensor.ndim >= 2 and name not in checkpoint.packed:
            layer = name.removesuffix(".weight")
            yield {
                "layer": layer,
                "shape": list(tensor.shape),
                "weights": tensor.numel(),
                "reason": report.get(layer, {}).get("reason"),
            }


def _tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The checkpoint's tensors, each by one name alone."""
    duplicates = packing.aliases(checkpoint.state, checkpoint.packed)
    return {name: tensor for name, tensor in checkpoint.state.items() if name not in duplicates}


def _totals(checkpoint: Checkpoint, packed: Sequence[Row], file_bytes: int) -> Row:
    weights = sum(row["weights"] for row in packed)
    float_bytes = sum(tensor.nbytes for tensor in _tensors(checkpoint).values())
    runs = [run for weight in checkpoint.packed.values() for run in weight]
    code_bytes = sum(run.code_bytes for run in runs)
    entropy_bits = sum(row["weights"] * row["entropy"] for row in packed)
    return {
        "weights": weights,
        "file_bytes": file_bytes,
        "float_bytes": float_bytes,
        "ratio": file_bytes / float_bytes if float_bytes else None,
        "entropy_bytes": file_bytes - code_bytes + math.ceil(entropy_bits / 8),
        "bits_per_weight": 8 * sum(row["bytes"] for row in packed) / weights if weights else None,
    }


# Keys of the description that come first. The others follow in their order.
_FIRST = ("variant", "parent", "network", "steps", "calibration", "seed")
_LINE = 100  # characters

_PACKED: dict[str, Callable[[Row], str]] = {
    "layer": lambda row: row["layer"],
    "shape": lambda row: _shape(row),
    "weights": lambda row: _human(row["weights"]),
    "bits": lambda row: str(row["bits"]),
    "width": lambda row: str(row["width"]),
    "levels": lambda row: _human(row["levels"]),
    "zeros": lambda row: f"{row['zeros'] / row['weights']:.1%}",
    "entropy": lambda row: f"{row['entropy']:.2f}",
    "bytes": lambda row: _human(row["bytes"], "B"),
    "step": lambda row: "" if row["step"] is None else f"{row['step']:.3g}",
    "error": lambda row: "" if row["error"] is None else f"{row['error']:.3g}",
}
_CALIBRATED: dict[str, Callable[[Row], str]] = {
    "calibrated": lambda row: row["layer"],
    "samples": lambda row: str(row["samples"]),
    "silent inputs": lambda row: str(row["silent"]),
}
_CODED: dict[str, Callable[[Row], str]] = {
    "coded": lambda row: row["layer"],
    "by": lambda row: row["coder"],
    "kept": lambda row: f"{row['kept'] / row['weights']:.1%}",
    "fillers": lambda row: _human(row["entries"] - row["kept"]),
    "centroids": lambda row: str(row["centroids"]),
    "bits a code": lambda row: _each(row, "codes"),
    "entropy": lambda row: f"{row['code_entropy']:.2f}",
    "bits an index": lambda row: _each(row, "indices"),
    "its entropy": lambda row: f"{row['index_entropy']:.2f}",
    "tables": lambda row: _human(row["tables"], "B"),
    "codebook": lambda row: _human(row["values"], "B"),
}
_FLOATS: dict[str, Callable[[Row], str]] = {
    "in float": lambda row: row["layer"],
    "shape": lambda row: _shape(row),
    "weights": lambda row: _human(row["weights"]),
    "reason": lambda row: row["reason"] or "",
}
_TEXTS = {"layer", "coded", "by", "calibrated", "in float", "reason"}


def render(inspection: Mapping[str, Any]) -> str:
    """The result of ``inspect`` as aligned text."""
    packed = inspection["packed"]
    samples = {row["layer"]: row for row in packed if row["samples"] is not None}
    sections = [
        inspection["file"],
        _description(inspection["description"]),
        _table(packed, _PACKED) or "No weight is quantized: every tensor is stored in float.",
        _table(samples.values(), _CALIBRATED),
        _table(inspection["coded"], _CODED),
        _table(inspection["floats"], _FLOATS),
        _sums(inspection["totals"]),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _description(description: Mapping[str, Any]) -> str:
    keys = sorted(description, key=lambda key: (*_FIRST, key).index(key))
    lines = []
    for key in keys:
        label, value = key, description[key]
        for entry in value if key == "steps" else [value]:
            lines += textwrap.wrap(
                _plain(entry), _LINE, initial_indent=f"{label:14}", subsequent_indent=" " * 14
            )
            label = ""
    return "\n".join(lines)


def _plain(value: Any) -> str:
    """A JSON value as text: {"a": {"b": [1, 2]}} as ``a (b 1 2)``. Long lists are counted."""
    if isinstance(value, dict):
        return ", ".join(
            f"{key} ({_plain(inner)})" if isinstance(inner, dict) else f"{key} {_plain(inner)}"
            for key, inner in value.items()
        )
    if isinstance(value, list) and value:
        return " ".join(map(_plain, value)) if len(value) <= 20 else f"{len(value)} values"
    return str(value) if value or value == 0 else "none"


def _sums(totals: Row) -> str:
    line = f"size          {_human(totals['file_bytes'], 'B')}"
    if not totals["weights"]:
        return line
    return (
        f"{line}, {totals['ratio']:.2%} of the "
        f"{_human(totals['float_bytes'], 'B')} its tensors take in float\n"
        f"entropy bound {_human(totals['entropy_bytes'], 'B')}\n"
        f"quantized     {_human(totals['weights'])} weights, "
        f"{totals['bits_per_weight']:.3f} bits each with their scales"
    )


def _table(rows: Iterable[Row], columns: Mapping[str, Callable[[Row], str]]) -> str:
    """Aligned text, numbers to the right; empty without rows."""
    lines = [[cell(row) for cell in columns.values()] for row in rows]
    if not lines:
        return ""
    table = [list(columns), *lines]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    alignments = ["<" if header in _TEXTS else ">" for header in columns]
    return "\n".join(
        " ".join(
            f"{cell:{alignment}{width}}"
            for cell, alignment, width in zip(line, alignments, widths, strict=True)
        ).rstrip()
        for line in table
    )


def _each(row: Row, part: str) -> str:
    """Mean bits an entry of ``part``, ``codes`` or ``indices``."""
    return f"{8 * row[part] / row['entries']:.2f}" if row["entries"] else ""


def _shape(row: Row) -> str:
    return "x".join(map(str, row["shape"]))


def _human(number: float, unit: str = "") -> str:
    """Three digits and a decimal prefix: 1.23 MB."""
    prefixes = iter(("", "k", "M", "G", "T", "P"))
    prefix = next(prefixes)
    while number >= 999.5:
        number, prefix = number / 1000, next(prefixes)
    digits = f"{number:#.3g}".rstrip(".") if prefix else str(number)
    return f"{digits} {prefix}{unit}".rstrip()
