"""Bytes of a checkpoint by its format alone: tensors, and the header that describes them.

A safetensors file is 8 bytes, a JSON header padded to a multiple of 8, and the tensors. The header
has an entry a tensor and the metadata of ``laq.checkpoints.packing``. The metadata of a network
with quantized layers are longer than those of one in float: they say how it was trained, each
packed weight's grid, and a report of every weight. All of it is written out here, so that nothing
is fitted. Numbers that are known only after training (steps, entropies) are replaced by others of
usual length. Tests compare the result with files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# safetensors puts wide types first. Names of types of the same width are equally long.
_DTYPES = {64: "I64", 32: "F32", 16: "F16", 8: "U8"}
# Examples of numbers that are known only after training, of their usual length.
_STEP, _ENTROPY, _INPUT_STEP = 0.12228906713426113, 2.769353082839965, 0.01568627543747425
_IMAGES = 1000
_NOT_CHOSEN = "not among the layers that the config chooses"


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file. bits: of each number."""

    name: str
    shape: tuple[int, ...]
    bits: int = 32

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.bits // 8


@dataclass(frozen=True)
class WeightHeader:
    """A weight of two dimensions or more, as the layer report has it.

    layer: its layer's name, followed by the weight's own where that is not ``weight``. kind: of the
    module. called: whether its layer can be called, as a convolution or linear layer.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    called: bool = True

    @property
    def values(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Packed:
    """A weight that becomes codes of ``bits``, with so many ``steps``, and its input's bits."""

    weight: WeightHeader
    steps: int
    bits: int
    input_bits: int | None = None

    @property
    def name(self) -> str:
        return f"{self.weight.layer}.weight"

    @property
    def code_bytes(self) -> int:
        return -(-self.weight.values * self.bits // 8)

    def tensors(self) -> Iterator[Tensor]:
        """The tensors in the file in place of the float weight."""
        yield Tensor(f"{self.name}.codes.0", (self.code_bytes,), 8)
        yield Tensor(f"{self.name}.step.0", () if self.steps == 1 else (self.steps, 1))
        if self.input_bits:
            for part in ("step", "zero"):
                yield Tensor(f"{self.weight.layer}.input_quantizer.{part}", ())


def size(tensors: Iterable[Tensor], metadata: int) -> int:
    """Bytes of a file with ``metadata`` bytes of metadata in its header."""
    data, header = 0, len('{"__metadata__":{"laq":}}') + metadata
    for tensor in sorted(tensors, key=lambda tensor: (-tensor.bits, tensor.name)):
        entry = {
            "dtype": _DTYPES[tensor.bits],
            "shape": tensor.shape,
            "data_offsets": [data, data + tensor.nbytes],
        }
        text = json.dumps({tensor.name: entry}, separators=(",", ":"), ensure_ascii=False)
        header += len(text.encode()) - 1  # a comma in the place of the braces
        data += tensor.nbytes
    return 8 + -(-header // 8) * 8 + data


def quantized(
    before: int,
    tensors: Sequence[Tensor],
    weights: Sequence[WeightHeader],
    packed: Sequence[Packed],
    label: str = "last 10",
) -> int:
    """Bytes of the file with the weights ``packed``, to within a few bytes for each of them.

    before: bytes of the file of the same network trained as long in float. tensors: in that file.
    weights: those that the layer report has. label: the arm's.
    """
    if not packed:
        return before
    packed_names = {packed_weight.name for packed_weight in packed}
    quantized_tensors = [tensor for tensor in tensors if tensor.name not in packed_names]
    quantized_tensors += [tensor for packed_weight in packed for tensor in packed_weight.tensors()]
    metadata = before - size(tensors, 0)  # up to 7 more: the padding of the header
    return size(quantized_tensors, metadata + _said(weights, packed, label))


def _said(weights: Sequence[WeightHeader], packed: Sequence[Packed], label: str) -> int:
    """Bytes by which the arm's metadata are longer than those of the float arm."""
    training = {"parent": "original", "finetune": {"activations": None, "layers": "all"}}
    control = {"variant": "float", "steps": [{"float": training}], "packed": {}}
    input_bits = packed[0].input_bits
    entry = {
        "activations": None,  # in the settings of both, so their values do not matter
        "bits": packed[0].bits,
        "layers": [packed_weight.weight.layer for packed_weight in packed],
        "train": "all",
    }
    layers = {
        packed_weight.weight.layer: {"bits": input_bits, "mode": "static"}
        for packed_weight in packed
    }
    by_layer = {packed_weight.weight.layer: packed_weight for packed_weight in packed}
    arm = {
        "variant": label,
        "steps": [{label: {"parent": "original", "qat": entry}}],
        "packed": {packed_weight.name: [_run(packed_weight)] for packed_weight in packed},
        "alphabet": "packed",
        "bits": float(packed[0].bits),
        "calibration": {"classes": "all", "images": _IMAGES},
        "layers": [_reported(weight, by_layer.get(weight.layer)) for weight in weights],
        "transforms": [{"kind": "input_quantizers", "layers": layers}] if input_bits else [],
    }
    return _written(arm) - _written(control)


def _run(packed: Packed) -> dict[str, Any]:
    high = 2 ** (packed.bits - 1) - 1
    grid: dict[str, Any] = {"low": -high, "high": high, "gap": 0.0, "shift": 0.0}
    if packed.steps > 1:
        grid |= {"rows": 1, "columns": None}
    return {
        "shape": packed.weight.shape,
        "width": packed.bits,
        "bits": packed.bits,
        "scheme": "packed",
        "kind": "uniform",
        "grid": grid,
        "tensors": ["step"],
    }


def _reported(weight: WeightHeader, packed: Packed | None) -> dict[str, Any]:
    reason = f"{weight.kind} is not quantized, only Conv2d and Linear are"
    row: dict[str, Any] = {
        "layer": weight.layer,
        "kind": weight.kind,
        "shape": "x".join(map(str, weight.shape)),
        "weights": weight.values,
        "bits": 32,
        "split": "",
        "reason": _NOT_CHOSEN if weight.called else reason,
        "warning": "",
        **dict.fromkeys(("levels", "step", "samples", "inputs", "clipped", "error", "zeros")),
        **dict.fromkeys(("silent", "entropy", "bytes", "input_bits", "input_step", "input_zero")),
    }
    if packed:
        levels = 2**packed.bits - 1
        row |= {"bits": packed.bits, "reason": "", "levels": levels, "step": _STEP}
        # About so many codes of normally distributed weights are 0.
        row |= {"zeros": max(1, weight.values // 2 ** (packed.bits - 1)), "entropy": _ENTROPY}
        row |= {"bytes": packed.code_bytes + 4 * packed.steps, "input_bits": packed.input_bits}
        if packed.input_bits:
            row |= {"input_step": _INPUT_STEP, "input_zero": -(2 ** (packed.input_bits - 1))}
    return row


def _written(content: dict[str, Any]) -> int:
    """Bytes of a JSON object as a string within another."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return len(json.dumps(text, ensure_ascii=False).encode())
