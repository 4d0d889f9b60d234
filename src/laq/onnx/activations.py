"""Quantized activations inside an ONNX graph: pairs of QuantizeLinear and DequantizeLinear.

A static quantizer becomes such a pair with its step and zero. Codes are UINT8 and count from 0, as
ONNX Runtime's kernels for x86 need activations. Fewer than 8 bits become a clip of codes between
the two nodes. So the operations before still end in QuantizeLinear, and run in integers. Where all
values between layers are quantized, biases become INT32 in units of their accumulators. So runtimes
find whole layers in integers (QLinearConv). Other quantizers become the operations that they are
made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from laq.ptq.activation_quantizer import InputQuantizer, limits
from laq.quantizers.packed_weight import PackedWeight

if TYPE_CHECKING:
    import onnx_ir as ir

_MOVES = ("Flatten", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


class _Pair(nn.Module):
    """A static quantizer that the exporter turns into QuantizeLinear and DequantizeLinear."""

    def __init__(self, quantizer: InputQuantizer) -> None:
        super().__init__()
        step, zero = quantizer.step.float(), quantizer.zero
        self.register_buffer("step", step)
        low, high = limits(quantizer.bits)
        self.register_buffer("zero", (zero - low).to(torch.uint8))
        self.last = high - low

    def forward(self, x: Tensor) -> Tensor:
        def operator(name: str, value: Tensor, dtype: torch.dtype) -> Tensor:
            inputs = [value, self.step, self.zero]
            return torch.onnx.ops.symbolic(name, inputs, dtype=dtype, shape=x.shape)

        codes = operator("QuantizeLinear", x, torch.uint8)
        if self.last < 255:
            codes = codes.clamp(max=self.last)
        return operator("DequantizeLinear", codes, x.dtype)


def prepare(network: nn.Module) -> None:
    """Replace static quantizers of ``network``, of 8 bits at most, by pairs for the exporter."""
    for name, module in list(network.named_modules()):
        static = isinstance(module, InputQuantizer) and module.mode == "static"
        if static and module.bits <= 8:
            owner, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(owner), attribute, _Pair(module))


def repeat_behind_moves(graph: ir.Graph) -> None:
    """Repeat a pair behind each operation that only moves its values, which changes nothing.

    So a runtime sees that the operation may move codes as well. ONNX Runtime 1.31 otherwise puts
    such pairs there itself, and fails on them (its issue 25526).
    """
    import onnx_ir as ir

    for node in graph:
        producer = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
        quantized = producer is not None and producer.op_type == "DequantizeLinear"
        # Weights start from an initializer: their codes are moved when the file is loaded.
        if node.op_type not in _MOVES or not quantized or producer.inputs[0].producer() is None:
            continue
        output, grid = node.outputs[0], producer.inputs[1:]
        codes = ir.node("QuantizeLinear", [output, *grid])
        values = ir.node("DequantizeLinear", [codes.outputs[0], *grid])
        uses = [use for use in output.uses() if use.node is not codes]
        for use in uses:
            use.node.replace_input_with(use.idx, values.outputs[0])
        graph.insert_after(node, [codes, values])


def pool_means(graph: ir.Graph) -> None:
    """Turn means over all pixels, from a grid to a grid, into GlobalAveragePool.

    ONNX Runtime has a kernel in integers for GlobalAveragePool, and none for ReduceMean.
    """
    import onnx_ir as ir

    for node in graph:
        if node.op_type != "ReduceMean" or len(node.inputs) != 2:
            continue
        values, axes = node.inputs
        uses = node.outputs[0].uses()
        if (
            axes.const_value is None
            or sorted(axes.const_value.numpy().tolist()) not in ([2, 3], [-2, -1])
            or values.producer() is None
            or values.producer().op_type != "DequantizeLinear"
            or [use.node.op_type for use in uses] != ["QuantizeLinear"]
        ):
            continue
        pool, (quantize,) = ir.node("GlobalAveragePool", [values]), (use.node for use in uses)
        nodes, mean = [pool], pool.outputs[0]
        if "keepdims" in node.attributes and not node.attributes["keepdims"].as_int():
            # The axes of the pixels are squeezed behind a further pair, so that the mean still ends
            # in a pair.
            grid = quantize.inputs[1:]
            codes = ir.node("QuantizeLinear", [mean, *grid])
            dequantize = ir.node("DequantizeLinear", [codes.outputs[0], *grid])
            squeeze = ir.node("Squeeze", [dequantize.outputs[0], axes])
            nodes, mean = [pool, codes, dequantize, squeeze], squeeze.outputs[0]
        quantize.replace_input_with(0, mean)
        graph.insert_after(node, nodes)
        graph.remove(node, safe=True)


def replace_biases(
    graph: ir.Graph, state: Mapping[str, Tensor], units: Mapping[str, Tensor]
) -> None:
    """Store biases as INT32.

    units: what 1 stands for in each bias, (n,) float64, by parameter name.
    """
    import onnx_ir as ir

    for name, unit in units.items():
        initializer = graph.initializers.pop(name)
        arrays = {
            "codes": (state[name].double() / unit).round().to(torch.int32).numpy(),
            "step": unit.float().numpy(),
        }
        values = []
        for suffix, array in arrays.items():
            value = ir.Value(name=f"{name}.{suffix}", const_value=ir.tensor(array))
            value.const_value.name = value.name
            value.shape = value.const_value.shape
            value.type = ir.TensorType(value.const_value.dtype)
            graph.register_initializer(value)
            values.append(value)
        node = ir.node("DequantizeLinear", values, {"axis": 0})
        output = node.outputs[0]
        output.name, output.shape, output.type = name, initializer.shape, initializer.type
        initializer.replace_all_uses_with(output)
        graph.insert_before(graph[0], [node])


def bias_units(
    network: nn.Module,
    packed: Mapping[str, Sequence[PackedWeight]],
    transforms: Sequence[Mapping[str, Any]],
) -> dict[str, Tensor]:
    """Units of biases by name where all values of ``network`` are quantized; otherwise none."""
    if all(entry["kind"] != "integer" for entry in transforms):
        return {}
    from laq.integer import placement

    return placement.bias_units(network, packed)
