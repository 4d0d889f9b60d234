"""What ``benchmarks/peers.py`` measures: each tool's calls for one network, and what it can save.

A recipe is one row of the table. Its ``make`` takes a float network and uint8 calibration images,
and gives the quantized network as a function of uint8 images, what writes the tool's own file, and
the mean bits of a weight of the convolutions and linear layers. Modules of ``IMPORTS`` are loaded
before a row's seconds and memory are counted.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pretrained
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import laq
from laq.checkpoints import packing
from laq.models.networks import to_input
from laq.onnx import runtime
from laq.onnx.export import export

BITS = (4, 8, 3, 2)
BATCH = 32
# Tool: its distribution, none for this project's, and the modules that its recipes load.
IMPORTS = {
    "laq": ("", ("laq.api.quantization", "laq.ptq.kernels_cpu")),
    "Brevitas": (
        "brevitas",
        (
            "brevitas_examples.imagenet_classification.ptq.ptq_common",
            "brevitas_examples.imagenet_classification.ptq.learned_round_utils",
        ),
    ),
    "torchao": (
        "torchao",
        (
            "torchao.quantization",
            "torchao.quantization.pt2e.quantize_pt2e",
            "torchao.quantization.pt2e.quantizer.x86_inductor_quantizer",
        ),
    ),
    "ONNX Runtime": ("onnxruntime", ("onnxruntime.quantization", "onnx")),
    "NNCF": ("nncf", ("nncf", "nncf.torch", "onnx")),
    "neural-compressor": ("neural_compressor", ("neural_compressor.torch.quantization",)),
}


@dataclass(frozen=True)
class Task:
    """network: float, in evaluation mode. images: uint8 (n, c, h, w). described: of its file."""

    network: nn.Module
    images: Tensor
    described: dict[str, Any]

    def batches(self) -> DataLoader:
        """Batches of (images in [0, 1], a label that nobody reads)."""
        images = to_input(self.images)
        labels = torch.zeros(len(images))
        return DataLoader(torch.utils.data.TensorDataset(images, labels), BATCH)


@dataclass(frozen=True)
class Made:
    """logits: of uint8 images (n, c, h, w). save: writes the tool's file. weights: numbers of
    weights of the convolutions and linear layers by their bits, float ones at 32."""

    logits: Callable[[Tensor], Tensor]
    save: Callable[[Path], Any]
    weights: dict[int, int]


@dataclass(frozen=True)
class Recipe:
    """One row. lines: the calls, in short. input_bits: 32 where inputs of layers stay in float."""

    tool: str
    method: str
    bits: int
    input_bits: int
    lines: str
    make: Callable[[Task], Made]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Its columns that tell it from the other rows of a network."""
        return self.tool, self.method, str(self.bits), str(self.input_bits)


def recipes() -> Iterator[Recipe]:
    """All rows, 4 bits first."""
    yield Recipe("laq", "float", 32, 32, "laq.load", ours_float)
    for bits in BITS:
        for scheme, names in (("packed", OURS), ("symmetric", ("gptq", "qronos"))):
            for name in names:
                options = OURS[name]
                lines = f"laq.quantize(scheme={scheme!r}, {_text(options)})"
                make = partial(ours, bits=bits, scheme=scheme, **options)
                yield Recipe("laq", f"{name}, {scheme}", bits, 32, lines, make)
        for scale, names in (("stats", BREVITAS), ("mse", ("rounding", "Qronos"))):
            for name in names:
                lines, steps = BREVITAS[name]
                lines = f"quantize_model('layerwise', weight_param_method={scale!r}); {lines}"
                make = partial(brevitas, bits=bits, scale=scale, steps=steps)
                yield Recipe("Brevitas", f"{name}, {scale}", bits, 32, lines, make)
        lines = f"quantize_(IntxWeightOnlyConfig(torch.int{bits}, PerAxis(0)), Linear and Conv2d)"
        make = partial(torchao_weights, bits=bits)
        yield Recipe("torchao", "rounding", bits, 32, lines, make)
        lines = f"prepare(RTNConfig(bits={bits}, group_size=-1)); convert"
        make = partial(compressor, bits=bits)
        yield Recipe("neural-compressor", "rounding", bits, 32, lines, make)
    options = {"scheme": "symmetric", "method": "gpfq", "activations": 8}
    lines = f"laq.quantize({_text(options)})"
    yield Recipe("laq", "gpfq, symmetric, inputs", 8, 8, lines, partial(ours, bits=8, **options))
    for name, options in RUNTIME.items():
        lines = f"quant_pre_process; quantize_static(per_channel=True, QInt8, QUInt8{name[6:]})"
        yield Recipe("ONNX Runtime", name, 8, 8, lines, partial(runtime_static, **options))
    lines = "torch.export.export(strict=True); prepare_pt2e(X86InductorQuantizer); convert_pt2e"
    yield Recipe("torchao", "static", 8, 8, lines, torchao_static)
    lines = "nncf.quantize(ONNX model, preset=MIXED)"
    yield Recipe("NNCF", "static", 8, 8, lines, nncf_static)
    for bits, mode in ((8, "INT8_SYM"), (4, "INT4_SYM")):
        grouped = {} if bits == 8 else {"group_size": -1, "all_layers": True}
        lines = f"nncf.compress_weights({_text({'mode': mode, **grouped})})"
        make = partial(nncf_weights, mode=mode, options=grouped)
        yield Recipe("NNCF", "weights", bits, 32, lines, make)
    lines = "export; prepare(get_default_static_config()); convert"
    yield Recipe("neural-compressor", "static", 8, 8, lines, compressor_static)


def _text(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in options.items())


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield name, module


def _sizes(network: nn.Module) -> dict[str, int]:
    return {name: module.weight.numel() for name, module in _layers(network)}


def _total(network: nn.Module) -> int:
    return sum(_sizes(network).values())


def _of_torch(network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    @torch.no_grad()
    def logits(images: Tensor) -> Tensor:
        return torch.cat([network(to_input(batch)) for batch in images.split(64)]).detach()

    return logits


def _of_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    return lambda images: torch.from_numpy(runtime.predict(path, images.numpy()))


def _state(network: nn.Module) -> Callable[[Path], None]:
    return lambda path: torch.save(network.state_dict(), path)


OURS: dict[str, dict[str, Any]] = {
    "rounding": {"method": "rtn"},
    "gpfq": {"method": "gpfq"},
    "gptq": {"method": "gptq"},
    "qronos": {"method": "qronos"},
    "qronos, 2 sweeps": {"method": "qronos", "sweeps": 2},
}


def ours_float(task: Task) -> Made:
    """The float network."""

    def save(path: Path) -> None:
        packing.save(path, task.network.state_dict(), task.described)

    return Made(_of_torch(task.network), save, {32: _total(task.network)})


def ours(task: Task, bits: int, **options: Any) -> Made:
    """``laq.quantize``."""
    made = laq.quantize(task.network, task.images, bits, **options)
    return Made(_of_torch(made.network), made.save, {bits: _total(task.network)})


def _learned_round(model: nn.Module, batches: DataLoader) -> None:
    """Brevitas' ``apply_learned_round`` with its command line's defaults, in float32.

    Its own mixed precision is float16, which is for GPUs.
    """
    from brevitas_examples.imagenet_classification.ptq import learned_round_utils as utils

    arguments = Namespace(
        learned_round="hard_sigmoid",
        learned_round_loss="regularised_mse",
        learned_round_lr_scheduler=None,
        learned_round_lr=1e-3,
        learned_round_iters=1000,
        learned_round_batch_size=1,
    )
    config = utils.parse_args_to_dataclass(arguments)
    config.training_args.use_amp = False
    utils.LearnedRoundTrainer(config=config).train(
        model=model,
        model_forward=utils.vision_forward,
        block_forward=utils.vision_block_forward,
        data_loader=batches,
        cache=utils.CacheVision(),
        get_blocks_fn=partial(utils.get_blocks, block_check_fn=utils.is_layer),
        keep_gpu=True,
    )


def _brevitas_step(name: str, **options: Any) -> Callable[[nn.Module, DataLoader], None]:
    def step(model: nn.Module, batches: DataLoader) -> None:
        from brevitas_examples.imagenet_classification.ptq import ptq_common

        getattr(ptq_common, name)(model=model, calib_loader=batches, **options)

    return step


BREVITAS: dict[str, tuple[str, Callable[[nn.Module, DataLoader], None]]] = {
    "rounding": ("no more", lambda model, batches: None),
    "GPFQ": ("apply_gpfq(act_order=False)", _brevitas_step("apply_gpfq", act_order=False)),
    "GPTQ": (
        "apply_gptq(act_order=False, create_weight_orig=True)",
        _brevitas_step("apply_gptq", act_order=False, create_weight_orig=True),
    ),
    "Qronos": ("apply_qronos(act_order=True)", _brevitas_step("apply_qronos", act_order=True)),
    "learned round": (
        "LearnedRoundTrainer.train(hard_sigmoid, 1000 iterations a layer, batch of 1)",
        _learned_round,
    ),
}


def brevitas(
    task: Task, bits: int, scale: str, steps: Callable[[nn.Module, DataLoader], None]
) -> Made:
    """Weights alone, all layers at ``bits``, a scale a filter that the weights do not move."""
    from brevitas_examples.imagenet_classification.ptq.ptq_common import quantize_model

    model = quantize_model(
        copy.deepcopy(task.network),
        "layerwise",
        weight_bit_width=bits,
        act_bit_width=None,
        bias_bit_width=None,
        weight_quant_granularity="per_channel",
        weight_param_method=scale,
        act_quant_percentile=99.999,
        act_quant_type="sym",
        scale_factor_type="float_scale",
        quant_format="int",
        layerwise_first_last_bit_width=bits,
    ).eval()
    batches = task.batches()
    with torch.no_grad():
        model(next(iter(batches))[0])  # takes the scales from the weights
    steps(model, batches)
    return Made(_of_torch(model.eval()), _state(model), {bits: _total(task.network)})


def torchao_weights(task: Task, bits: int) -> Made:
    """Rounding of weights; of a convolution with a scale a filter and position of its window.

    Layers with one input channel a group stay in float: it has no scales for them.
    """
    from torchao.quantization import IntxWeightOnlyConfig, quantize_
    from torchao.quantization.granularity import PerAxis

    model = copy.deepcopy(task.network)
    config = IntxWeightOnlyConfig(getattr(torch, f"int{bits}"), PerAxis(0))
    names = [name for name, module in _layers(model) if module.weight.shape[1] > 1]
    quantize_(model, config, lambda _, name: name in names)
    quantized = sum(size for name, size in _sizes(task.network).items() if name in names)
    counts = {bits: quantized, 32: _total(task.network) - quantized}
    return Made(_of_torch(model), _state(model), counts)


def torchao_static(task: Task) -> Made:
    """Weights and inputs in 8 bits on an exported graph."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    images = to_input(task.images)
    shapes = ({0: torch.export.Dim("batch")},)
    # With strict=False the quantizer does not find the layers of a module that is called twice.
    graph = torch.export.export(
        task.network, (images[:2],), dynamic_shapes=shapes, strict=True
    ).module()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(graph, quantizer)
    with torch.no_grad():
        for batch in images.split(BATCH):
            prepared(batch)
    model = convert_pt2e(prepared)

    def save(path: Path) -> None:
        torch.export.save(torch.export.export(model, (images[:2],), dynamic_shapes=shapes), path)

    return Made(_of_torch(model), save, _stored(task.network, model.state_dict()))


def _stored(network: nn.Module, state: dict[str, Any]) -> dict[int, int]:
    """Weights of ``network`` by bits, as ``state`` has integer tensors of as many numbers."""
    left = [
        tensor.numel()
        for tensor in state.values()
        if isinstance(tensor, Tensor) and tensor.dtype in (torch.int8, torch.uint8)
    ]
    counts: dict[int, int] = {}
    for size in _sizes(network).values():
        bits = 8 if size in left else 4 if (size + 1) // 2 in left else 32
        if bits < 32:
            left.remove(size if bits == 8 else (size + 1) // 2)
        counts[bits] = counts.get(bits, 0) + size
    return counts


def _float_onnx(task: Task, folder: Path) -> Path:
    packing.save(folder / "float.safetensors", task.network.state_dict(), task.described)
    export(folder / "float.safetensors", folder / "float.onnx")
    return folder / "float.onnx"


def _of_file(task: Task, path: Path) -> Made:
    """A quantized ONNX file."""
    counts, total = runtime.stored(path), _total(task.network)
    quantized = min(total, counts["int8"])
    return Made(
        _of_onnx(path),
        lambda target: shutil.copyfile(path, target),
        {8: quantized, 32: total - quantized},
    )


# On CPUs without VNNI its products of 8 bits overflow unless weights have 7 (``reduce_range``).
RUNTIME: dict[str, dict[str, Any]] = {
    "static": {},
    "static, reduce_range": {"reduce_range": True},
}


def runtime_static(task: Task, **options: Any) -> Made:
    """ONNX Runtime's static quantization, as ``benchmarks/pretrained.py`` calls it."""
    folder = Path(tempfile.mkdtemp())
    model = _float_onnx(task, folder)
    pretrained.of_runtime(model, folder / "quantized.onnx", task.images, **options)
    return _of_file(task, folder / "quantized.onnx")


def nncf_static(task: Task) -> Made:
    """NNCF's 8 bits of weights and inputs of an ONNX model."""
    import nncf
    import onnx

    folder = Path(tempfile.mkdtemp())
    model = onnx.load(_float_onnx(task, folder))
    dataset = nncf.Dataset(
        [image[None].numpy().astype(np.float32) / 255 for image in task.images],
        lambda image: {"images": image},
    )
    made = nncf.quantize(
        model,
        dataset,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(task.images),
    )
    onnx.save(made, folder / "quantized.onnx")
    return _of_file(task, folder / "quantized.onnx")


def nncf_weights(task: Task, mode: str, options: dict[str, Any]) -> Made:
    """NNCF's rounding of weights in torch."""
    import nncf

    dataset = nncf.Dataset([to_input(task.images[:1])])
    model = nncf.compress_weights(
        copy.deepcopy(task.network),
        mode=getattr(nncf.CompressWeightsMode, mode),
        dataset=dataset,
        **options,
    )
    return Made(_of_torch(model), _state(model), _stored(task.network, model.state_dict()))


def compressor(task: Task, bits: int) -> Made:
    """neural-compressor's rounding, which is of linear layers.

    Its GPTQ is for stacks of transformer blocks, and fails without the path of a model.
    """
    from neural_compressor.torch import quantization

    config = quantization.RTNConfig(bits=bits, group_size=-1, use_layer_wise=False)
    model = quantization.convert(quantization.prepare(copy.deepcopy(task.network), config))
    linear = sum(m.weight.numel() for _, m in _layers(task.network) if isinstance(m, nn.Linear))
    counts = {bits: linear, 32: _total(task.network) - linear}
    return Made(_of_torch(model), _state(model), counts)


def compressor_static(task: Task) -> Made:
    """neural-compressor's 8 bits of weights and inputs on an exported graph."""
    from neural_compressor.torch import quantization
    from neural_compressor.torch.export import export as export_graph

    images = to_input(task.images)
    shapes = ({0: torch.export.Dim("batch")},)
    graph = export_graph(task.network, (images[:2],), dynamic_shapes=shapes)
    model = quantization.prepare(graph, quantization.get_default_static_config())
    with torch.no_grad():
        for batch in images.split(BATCH):
            model(batch)
    model = quantization.convert(model)
    # Weights stay in float, and the graph rounds them whenever it runs.
    quantized = sum(
        model.get_parameter(node.args[0].target).numel()
        for node in model.graph.nodes
        if "quantize_per_channel" in str(node.target) and node.args[0].op == "get_attr"
    )
    counts = {8: quantized, 32: _total(task.network) - quantized}
    return Made(_of_torch(model), _state(model), counts)
