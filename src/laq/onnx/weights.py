"""Packed weights inside an ONNX graph: integer initializers and the nodes that dequantize them.

A run of rows i of the weight ``layer.weight`` becomes the initializer ``layer.weight.codes.i`` and
those of its grid. Several runs are concatenated. Codes of an equispaced grid become weights by one
DequantizeLinear; with a gap or a shift by the operations of its ``values``, in their order. Codes
of a codebook become weights by a look into its table. So float32 scales give the checkpoint's
weights bit for bit; float64 scales are rounded to float32.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from laq.quantizers.grids import Codebook, Uniform
from laq.quantizers.packed_weight import PackedWeight

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

# The types of codes, narrowest first, with their bits.
TYPES = {"int4": 4, "int8": 8, "int16": 16}
WIDER = "its codes do not fit 16 bits"

# Relative difference of step · c in float32 and in float64, where steps are float64.
_ROUNDING = 2.0**-22


@dataclass(frozen=True)
class StoredWeight:
    """A run of rows of a packed weight in an ONNX file.

    name: of the weight. run: its place among the weight's runs. weights: their number. stored:
    int4, int8, int16, float, or absent. reason: why it is float or absent; empty otherwise.
    """

    name: str
    run: int
    weights: int
    stored: str
    reason: str = ""


def replace(
    graph: ir.Graph, name: str, values: Tensor, runs: Sequence[PackedWeight]
) -> list[StoredWeight]:
    """Put the codes of ``runs`` in the place of the graph's float initializer ``name``.

    ``values``: what the runs stand for, in the weight's shape.

    Raises ``ValueError`` if the graph has no such initializer, or one of other values: a defect
    of the caller.
    """
    import onnx_ir as ir

    initializer = graph.initializers.get(name)
    if initializer is None or not np.array_equal(
        initializer.const_value.numpy(), values.float().numpy()
    ):
        raise ValueError(f"the graph does not hold the weight {name} as it is in the checkpoint")
    types = [_type(run.codes) for run in runs]
    stored = [
        StoredWeight(name, index, run.codes.numel(), kind, WIDER if kind == "float" else "")
        for index, (run, kind) in enumerate(zip(runs, types, strict=True))
    ]
    if set(types) == {"float"}:
        return stored
    graph.initializers.pop(name)
    nodes: list[ir.Node] = []
    values_by_run = [
        _part(graph, nodes, weight, run) for weight, run in zip(stored, runs, strict=True)
    ]
    if len(values_by_run) > 1:
        nodes.append(ir.node("Concat", values_by_run, {"axis": 0}))
    output = nodes[-1].outputs[0]
    # With shape and type the exporter's Shape(weight) is computed once and for all.
    output.name, output.shape, output.type = name, initializer.shape, initializer.type
    initializer.replace_all_uses_with(output)
    graph.insert_before(graph[0], nodes)
    return stored


def one_name(graph: ir.Graph, used: Collection[str], aliases: Mapping[str, str]) -> set[str]:
    """Give initializers that are the same tensor one name; return the names ``used`` after that.

    aliases: further names of a tensor, to its first name.
    """
    for name, first in aliases.items():
        if name not in graph.initializers:
            continue
        value = graph.initializers.pop(name)
        if first in graph.initializers:
            value.replace_all_uses_with(graph.initializers[first])
        else:
            value.name = value.const_value.name = first
            graph.register_initializer(value)
    return {aliases.get(name, name) for name in used}


def left_out(name: str, runs: Sequence[PackedWeight], reason: str) -> list[StoredWeight]:
    """The records of the runs of a weight that the graph does not need."""
    return [
        StoredWeight(name, index, run.codes.numel(), "absent", reason)
        for index, run in enumerate(runs)
    ]


def verify(
    model: onnx.ModelProto, state: Mapping[str, Tensor], stored: Sequence[StoredWeight]
) -> None:
    """Check that a file holds integers where ``stored`` says so, and computes ``state`` of them.

    Raises ``ValueError`` that names the weight: a defect of the export.
    """
    import onnx

    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    node_inputs = {name for node in model.graph.node for name in node.input}
    for weight in stored:
        if weight.stored in TYPES:
            codes = initializers.get(f"{weight.name}.codes.{weight.run}")
            kind = getattr(onnx.TensorProto, weight.stored.upper())
            if codes is None or codes.data_type != kind or weight.name in initializers:
                raise ValueError(f"run {weight.run} of {weight.name} is not {weight.stored}")
    for name in {weight.name for weight in stored if weight.stored in TYPES}:
        if name not in node_inputs:
            raise ValueError(f"{name} is not used by the graph")
        expected, actual = state[name].numpy(), _computed(model, initializers, name)
        tolerance = _ROUNDING if expected.dtype == np.float64 else 0.0
        if actual.shape != expected.shape or not np.allclose(
            actual, expected, rtol=tolerance, atol=0
        ):
            raise ValueError(f"{name} stands for other values in the file than in the checkpoint")


def _type(codes: Tensor) -> str:
    """The narrowest type that holds the codes, or float where none does."""
    low, high = (int(code) for code in codes.aminmax())
    for name, bits in TYPES.items():
        if -(2 ** (bits - 1)) <= low and high < 2 ** (bits - 1):
            return name
    return "float"


def _part(graph: ir.Graph, nodes: list[ir.Node], part: StoredWeight, run: PackedWeight) -> ir.Value:
    """Append the nodes that give a run in float, and its initializers; return their result."""
    import ml_dtypes
    import onnx_ir as ir

    def constant(what: str, array: np.ndarray) -> ir.Value:
        name = f"{part.name}.{what}.{part.run}"
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.shape, value.type = value.const_value.shape, ir.TensorType(value.const_value.dtype)
        graph.register_initializer(value)
        return value

    def compute(operator: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        nodes.append(ir.node(operator, inputs, attributes))
        return nodes[-1].outputs[0]

    if part.stored == "float":
        return constant("values", run.values.float().numpy())
    array_type = ml_dtypes.int4 if part.stored == "int4" else part.stored
    grid, shape = run.grid, run.codes.shape
    flat = isinstance(grid, Codebook) or not grid.by_row
    code_tensor = run.codes.flatten(1) if flat else run.codes
    codes = constant("codes", code_tensor.numpy().astype(array_type))
    if isinstance(grid, Codebook):
        values = _looked_up(codes, grid, shape[0], constant, compute)
    else:
        values = _dequantized(codes, grid, code_tensor.shape, array_type, constant, compute)
    # A Reshape that changes nothing would be optimized away, and the weight's name with it.
    if code_tensor.shape == shape:
        return values
    return compute("Reshape", values, constant("shape", np.array(shape)))


def _dequantized(
    codes: ir.Value,
    grid: Uniform,
    shape: Sequence[int],
    array_type: Any,
    constant: Callable[[str, np.ndarray], ir.Value],
    compute: Callable[..., ir.Value],
) -> ir.Value:
    """The levels of an equispaced grid, in the ``shape`` of the codes."""

    def scales(tensor: Tensor) -> np.ndarray:
        """() or (n,) or, of blocks of columns, (n, B)."""
        if tensor.ndim == 0:
            return tensor.numpy()
        expanded = tensor.repeat_interleave(grid.rows, 0)[: shape[0]]
        return (expanded[:, 0] if grid.by_row else expanded).contiguous().numpy()

    step = scales(grid.step.float())
    blocks = {"axis": 0} if grid.by_row else {"axis": 1, "block_size": grid.columns}
    if not grid.gap and not grid.shift:
        zero = []
        if grid.zero is not None:
            zero = [constant("zero", scales(grid.zero).astype(array_type))]
        return compute("DequantizeLinear", codes, constant("step", step), *zero, **blocks)
    if not grid.by_row or grid.zero is not None:
        raise NotImplementedError("a gap or a shift in blocks of columns or with zero points")
    value = compute("DequantizeLinear", codes, constant("one", np.float32(1)))
    if grid.gap:
        gap = compute("Mul", compute("Sign", value), constant("gap", np.float32(grid.gap)))
        value = compute("Add", value, gap)
    if grid.shift:
        value = compute("Add", value, constant("shift", np.float32(grid.shift)))
    step = step.reshape(-1, *[1] * (len(shape) - 1)) if step.ndim else step
    return compute("Mul", value, constant("step", step))


def _looked_up(
    codes: ir.Value,
    grid: Codebook,
    rows: int,
    constant: Callable[[str, np.ndarray], ir.Value],
    compute: Callable[..., ir.Value],
) -> ir.Value:
    """The levels of a codebook, (n, d)."""
    import onnx_ir as ir

    # Opset 21 casts int4 directly to float, which is exact.
    offset = constant("first", np.float32(grid.low))
    values = compute("DequantizeLinear", codes, constant("one", np.float32(1)))
    indices = compute("Cast", compute("Sub", values, offset), to=ir.DataType.INT64)
    table = grid.table.float()
    if len(table) == 1:
        return compute("Gather", constant("table", table[0].numpy()), indices)
    tables = table.repeat_interleave(grid.rows, 0)[:rows]
    return compute("GatherElements", constant("table", tables.numpy()), indices, axis=1)


def _computed(
    model: onnx.ModelProto, held: Mapping[str, onnx.TensorProto], name: str
) -> np.ndarray:
    """The value ``name`` of the graph, which depends on initializers alone."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    needed, nodes = {name}, []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            nodes.insert(0, node)
            needed |= set(node.input)
    output = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    initializers = [held[key] for key in sorted(needed & held.keys())]
    graph = onnx.helper.make_graph(nodes, "weight", [], [output], initializers)
    submodel = onnx.helper.make_model(graph, opset_imports=model.opset_import)
    return ReferenceEvaluator(submodel).run(None, {})[0]
