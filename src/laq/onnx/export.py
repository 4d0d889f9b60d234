"""Checkpoints as ONNX files in which quantized weights are integers.

The file computes what the torch module computes: float32 ``images`` (batch, channels, height,
width) in [0, 1] to float32 ``logits`` (batch, classes). Each run of rows of a packed weight is
stored as its codes: INT4 where they lie in −8…7, INT8 or INT16 where they are wider.
DequantizeLinear turns them into float when the network runs. Activations are in float, or quantized
where the checkpoint's are (``laq.onnx.activations``). Operator set 21 is the first whose
DequantizeLinear has INT4 and INT16.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from laq.checkpoints import metadata, packing
from laq.onnx import activations
from laq.onnx import weights as onnx_weights
from laq.onnx.weights import StoredWeight
from laq.utils.errors import ConfigError
from laq.utils.files import atomic

if TYPE_CHECKING:
    import onnx_ir as ir

OPSET = 21
INPUT, OUTPUT, BATCH = "images", "logits", "batch"


@dataclass(frozen=True)
class Export:
    """The written file: its ``bytes``, and each packed weight of the checkpoint."""

    bytes: int
    weights: tuple[StoredWeight, ...]

    def counts(self) -> dict[str, int]:
        """Number of the checkpoint's packed weights by how they are stored: int4, …, float."""
        totals: Counter[str] = Counter()
        for weight in self.weights:
            totals[weight.stored] += weight.weights
        return dict(totals)


def export(
    checkpoint: str | os.PathLike[str],
    target: str | os.PathLike[str],
    shape: Sequence[int] | None = None,
    network: nn.Module | None = None,
) -> Export:
    """Write ``checkpoint`` as the ONNX file ``target``, whole or not at all.

    ``shape``: channels, height and width of an image; by default those that the checkpoint's
    network was trained on. ``network``: as in ``laq.load``. The number of images is dynamic. Equal
    checkpoints give equal bytes. The file's metadata has ``network``, ``variant``, ``bits``,
    ``classes`` (names, in the order of the logits) and ``subset`` (positions of the classes it was
    made for), each in JSON.

    The written file is checked: it is valid ONNX, and each packed weight is in it as integers that
    stand for the checkpoint's values. ``Export.weights`` says which weights are not, and why.

    Raises ``CheckpointError`` as ``laq.checkpoints.packing.load`` does, and ``ConfigError`` without
    a shape, or where the network does not take such images or cannot be expressed in ONNX.
    """
    try:
        import onnx
        import onnx_ir as ir
        import onnxscript  # noqa: F401, torch's exporter needs it
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{error.name} is not installed: run pip install onnx onnxscript"
        ) from error

    content = packing.read(checkpoint)
    network = packing.build(checkpoint, content, network)
    transforms = content.description.get("transforms", ())
    units = activations.bias_units(network, content.packed, transforms)
    activations.prepare(network)
    model, names = _traced(network, _shape(checkpoint, content.description, shape), checkpoint)
    names = onnx_weights.one_name(
        model.graph, names, packing.aliases(network.state_dict(), content.packed)
    )
    stored = []
    for name, runs in content.packed.items():
        if name in names:
            values = content.state[name]
            stored += onnx_weights.replace(model.graph, name, values, runs)
        else:
            stored += onnx_weights.left_out(name, runs, _why_unused(network, name, names))
    activations.replace_biases(model.graph, content.state, units)
    _tidy(model)
    activations.repeat_behind_moves(model.graph)
    activations.pool_means(model.graph)
    model.metadata_props.update(_metadata(content.description))
    with atomic(target) as temporary:
        proto = ir.to_proto(model)
        temporary.write_bytes(proto.SerializeToString(deterministic=True))
        onnx.checker.check_model(temporary, full_check=True)
        onnx_weights.verify(onnx.load(temporary), content.state, stored)
        return Export(temporary.stat().st_size, tuple(stored))


def _shape(
    path: str | os.PathLike[str], description: Mapping[str, Any], given: Sequence[int] | None
) -> tuple[int, ...]:
    shape = tuple(given or description.get("images") or ())
    if len(shape) != 3 or not all(type(size) is int and size > 0 for size in shape):
        detail = (
            f"{list(shape)} is no shape of an image" if shape else "it does not say of what size"
        )
        raise ConfigError(
            f"{path} cannot be exported without the images' shape ({detail}): "
            "give shape=(channels, height, width)"
        )
    return shape


def _traced(
    network: nn.Module, shape: tuple[int, ...], path: str | os.PathLike[str]
) -> tuple[ir.Model, set[str]]:
    """The float graph, not optimized: every weight under its name in ``state_dict``.

    Returns it with the names of the parameters that the outputs depend on.
    """
    example = torch.zeros(2, *shape)
    with _quiet():
        try:
            program = torch.export.export(
                network, (example,), dynamic_shapes=({0: torch.export.Dim(BATCH)},)
            )
            # Optimizing would transpose, fold and fuse weights, which must stay recognisable.
            model = torch.onnx.export(
                program,
                dynamo=True,
                optimize=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            ).model
        except Exception as error:  # whatever a network's own code and the exporter raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConfigError(
                f"{path} cannot be exported for images of shape {shape} ({reason}): give the shape "
                "it was trained on, or deploy it with laq.checkpoints.packing.load"
            ) from error
    has_users = {node.name: bool(node.users) for node in program.graph.nodes}
    parameters = program.graph_signature.inputs_to_parameters
    return model, {name for node, name in parameters.items() if has_users[node]}


def _why_unused(network: nn.Module, name: str, used: set[str]) -> str:
    """Why a packed weight is not in the graph."""
    parameters = dict(network.named_parameters(remove_duplicate=False))
    for other in sorted(used):
        if parameters[other] is parameters[name]:
            return f"the same tensor as {other}"
    return "the outputs do not depend on it"


def _tidy(model: ir.Model) -> None:
    """Fold shapes to constants, and drop what depends on this machine: paths, symbols' numbers."""
    import onnx_ir as ir
    from onnx_ir.passes import common
    from onnxscript import optimizer

    with _quiet():
        # DequantizeLinear is never folded, so that weights stay integers.
        optimizer.fold_constants(model, onnx_shape_inference=True)
        ir.passes.Sequential(
            common.IdentityEliminationPass(),
            common.RemoveUnusedNodesPass(),
            common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
            common.CommonSubexpressionEliminationPass(),
            common.RemoveUnusedOpsetsPass(),
            common.ClearMetadataAndDocStringPass(),
        )(model)
    for node in model.graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = value.type = None
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.shape = ir.Shape([BATCH, *value.shape[1:]])
    model.graph.name = "laq"


def _metadata(description: Mapping[str, Any]) -> dict[str, str]:
    entries = {key: description.get(key) for key in ("network", "variant", "bits", "classes")}
    entries["subset"] = metadata.subset(description) if "classes" in description else None
    return {key: json.dumps(value, ensure_ascii=False) for key, value in entries.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters: they warn of their own deprecations, which a user cannot mend."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
