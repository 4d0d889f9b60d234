"""Packed weights in ONNX graphs: integers that stand for the checkpoint's values, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laq.onnx import weights
from laq.onnx.export import OPSET
from laq.quantizers.packed_weight import PackedWeight
from tests.onnx_cases import pack

SHAPE = (6, 5, 3, 3)


def graph_of(values: np.ndarray) -> ir.Graph:
    """A graph that gives the float weight ``w`` as its output."""
    weight = ir.Value(name="w", const_value=ir.tensor(values, name="w"))
    weight.shape, weight.type = ir.Shape(values.shape), ir.TensorType(ir.DataType.FLOAT)
    node = ir.node("Identity", [weight])
    output = node.outputs[0]
    output.name, output.shape, output.type = "result", weight.shape, weight.type
    graph = ir.Graph([], [output], nodes=[node], opset_imports={"": OPSET}, name="weight")
    graph.register_initializer(weight)
    return graph


def replaced(
    runs: list[PackedWeight],
) -> tuple[onnx.ModelProto, list[weights.StoredWeight], torch.Tensor]:
    """A model that computes a weight of ``runs``, what is said of it, and the weight."""
    values = torch.cat([run.values for run in runs])
    graph = graph_of(values.float().numpy())
    stored = weights.replace(graph, "w", values, runs)
    return ir.to_proto(ir.Model(graph, ir_version=10)), stored, values


def run_by_onnxruntime(model: onnx.ModelProto) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    # Else the whole graph, which has no input, is computed and the integers are never run.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {})[0]


KINDS = {
    "packed": ({"bits": 4}, ["int4"]),
    "3 bits": ({"bits": 3}, ["int4"]),
    "a step a filter": ({"bits": 4, "per_channel": True}, ["int4"]),
    "paper": ({"bits": 4, "scheme": "paper", "scale": 0.5}, ["int8"]),
    "8 bits": ({"bits": 8, "per_channel": True}, ["int8"]),
    "12 bits": ({"bits": 12}, ["int16"]),
    "runs": ({"bits": [5, 3]}, ["int8", "int4"]),
    "runs, a step a filter": ({"bits": [5, 3], "per_channel": True}, ["int8", "int4"]),
    "a gap": ({"bits": 4, "gap": 1.5}, ["int4"]),
    "a gap, a step a filter": ({"bits": 4, "gap": 1.5, "per_channel": True}, ["int4"]),
    "a gap and a run without": ({"bits": [6, 4], "gap": 0.3}, ["int8", "int4"]),
    "wide": ({"bits": 32}, ["float"]),
    "one wide run": ({"bits": [20, 4]}, ["float", "int4"]),
}


def packed(shape: tuple[int, ...], bits: int | list[int], **how: Any) -> list[PackedWeight]:
    torch.manual_seed(0)
    widths = bits if isinstance(bits, list) else [bits]
    parts = torch.randn(shape).flatten(1).tensor_split(len(widths))
    how = {"scheme": "packed", **how}
    return [
        pack(rows, torch.Size(shape), width, **how)
        for rows, width in zip(parts, widths, strict=True)
    ]


@pytest.mark.parametrize("shape", [SHAPE, (4, 7)], ids=["convolution", "linear"])
@pytest.mark.parametrize(("how", "types"), KINDS.values(), ids=KINDS)
def test_codes_take_the_narrowest_type_and_give_the_same_floats(
    how: dict[str, Any], types: list[str], shape: tuple[int, ...]
) -> None:
    runs = packed(shape, **how)
    model, stored, values = replaced(runs)
    assert [weight.stored for weight in stored] == types
    assert [weight.run for weight in stored] == list(range(len(runs)))
    assert [weight.weights for weight in stored] == [run.codes.numel() for run in runs]
    assert [bool(weight.reason) for weight in stored] == [kind == "float" for kind in types]
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_array_equal(run_by_onnxruntime(model), values.numpy())
    weights.verify(model, {"w": values}, stored)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for weight in stored:
        if weight.stored != "float":
            wanted = getattr(onnx.TensorProto, weight.stored.upper())
            assert kinds[f"w.codes.{weight.run}"] == wanted
    assert ("w" in kinds) == (types == ["float"])


@settings(deadline=None, max_examples=30)
@given(
    bits=st.integers(2, 16),
    scheme=st.sampled_from(["packed", "paper"]),
    scale=st.sampled_from([0.3, 1.0, 2.5]),
    per_channel=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_type_is_that_of_the_codes_and_not_of_the_alphabet(
    bits: int, scheme: str, scale: float, per_channel: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    rows = torch.randn(3, 11)
    run = pack(rows, rows.shape, bits, scheme, scale=scale, per_channel=per_channel)
    model, (stored,), values = replaced([run])
    low, high = int(run.codes.min()), int(run.codes.max())
    holding = [(-8, 7, "int4"), (-128, 127, "int8"), (-(2**15), 2**15 - 1, "int16")]
    wanted = next((kind for least, most, kind in holding if least <= low and high <= most), "float")
    assert stored.stored == wanted
    weights.verify(model, {"w": values}, [stored])


def test_float64_steps_are_rounded_to_float32() -> None:
    runs = packed(SHAPE, 6, per_channel=True, double=True)
    model, stored, values = replaced(runs)
    assert values.dtype == torch.float64
    found = run_by_onnxruntime(model)
    assert found.dtype == np.float32
    difference = np.abs(found - values.numpy())
    assert difference.max() > 0 and (difference <= 2.0**-23 * np.abs(values.numpy())).all()
    weights.verify(model, {"w": values}, stored)


def test_a_weight_that_the_exporter_changed_is_not_replaced() -> None:
    (run,) = packed((2, 3), 4)
    changed = graph_of(2 * run.values.numpy())
    for name in ("w", "another"):
        with pytest.raises(ValueError, match=f"does not hold the weight {name}"):
            weights.replace(changed, name, run.values, [run])
    assert "w" in changed.initializers
