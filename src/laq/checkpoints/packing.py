"""Checkpoints of compressed networks: safetensors that describe themselves.

The rows of a quantized weight ``layer.weight`` form one run, or with mixed precision several.
Run i is stored as ``layer.weight.codes.i`` (uint8, the bit string of ``laq.quantizers.bitpacking``)
and the tensors of its grid, such as ``layer.weight.step.i``; every other tensor is stored as it is.
A tensor of several names, such as that of a module in two places, is stored by one of them. The
metadata, ``laq.checkpoints.metadata``, says what the runs are, and holds a digest of everything.

Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from laq.checkpoints import metadata
from laq.checkpoints.metadata import REMEDY, PackedRun
from laq.quantizers import bitpacking, grids
from laq.quantizers.grids import Grid
from laq.quantizers.packed_weight import PackedWeight
from laq.utils.errors import CheckpointError, DataError
from laq.utils.files import atomic


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file holds.

    description: as given to ``save``.
    state: name to tensor, with packed weights as the float32 values they stand for. A tensor of
        several names is one and the same under all of them.
    packed: name of each packed weight to its runs of rows, their codes in the smallest integer
        type that holds their width.
    """

    description: dict[str, Any]
    state: dict[str, Tensor]
    packed: dict[str, tuple[PackedWeight, ...]]


def save(
    path: str | os.PathLike[str],
    state: Mapping[str, Tensor],
    description: Mapping[str, Any],
    packed: Mapping[str, Sequence[PackedWeight]] = MappingProxyType({}),
) -> None:
    """Write ``state`` to ``path`` atomically, the weights in ``packed`` as bit-packed codes.

    A name in ``packed`` replaces the tensor of that name in ``state``. Its runs of rows, one below
    the other, must have that tensor's shape. ``description`` is JSON. ``load`` needs its
    ``network``, the arguments of ``laq.models.networks.create``, and applies its ``transforms``
    (``laq.checkpoints.graph_edits``). Names of the same memory in ``state`` are one tensor in the
    file. Equal arguments give equal bytes.

    Raises ``ValueError`` for a description that uses a key of the format's own, and for packed
    weights that do not match ``state`` or their grid: defects of the caller.
    """
    if clash := metadata.OWN_KEYS & description.keys():
        raise ValueError(f"description uses keys of the format's own: {sorted(clash)}")
    duplicates = aliases(state, packed)
    tensors = {
        name: tensor
        for name, tensor in state.items()
        if name not in packed and name not in duplicates
    }
    runs = {}
    for name, weights in packed.items():
        _check_shape(name, weights, state)
        runs[name] = [_described(name, weight) for weight in weights]
        for index, weight in enumerate(weights):
            run_tensors = {"codes": bitpacking.pack(weight.codes, weight.grid.width)}
            run_tensors |= weight.grid.tensors()
            run_tensors = {_name(name, key, index): tensor for key, tensor in run_tensors.items()}
            if clash := run_tensors.keys() & state.keys():
                raise ValueError(f"state already has {sorted(clash)}")
            tensors |= run_tensors
    # Copies: safetensors refuses views of a shared storage.
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    content = {**description, "format": metadata.FORMAT, "packed": runs}
    if duplicates:
        content["aliases"] = duplicates
    content["digest"] = _digest(content, tensors)
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={metadata.KEY: _json(content)})


def aliases(state: Mapping[str, Tensor], packed: Collection[str] = ()) -> dict[str, str]:
    """Further names of tensors that ``state`` has under several names, to the name that each is
    stored by: the one in ``packed``, or else the first."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, tensor in state.items():
        if tensor.numel():
            key = tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()
            groups.setdefault(key, []).append(name)
    duplicates = {}
    for names in groups.values():
        preferred = [name for name in names if name in packed]
        canonical = preferred[0] if preferred else names[0]
        duplicates |= {
            name: canonical for name in names if name != canonical and name not in packed
        }
    return duplicates


def derived(
    description: Mapping[str, Any],
    variant: str,
    recipe: Mapping[str, Any],
    **facts: Any,
) -> dict[str, Any]:
    """The description of a variant, from that of its parent and the recipe of its step.

    ``description``: of the parent, as ``laq.checkpoints.lineage.describe`` gives it. Its ``steps``
    are the lineage: variant name to recipe, from the trained network on. ``facts`` (subset, seed,
    bits, …) replace the parent's.
    """
    lineage = {
        "variant": variant,
        "parent": recipe["parent"],
        "parent_digest": description["digest"],
        "steps": [*description["steps"], {variant: recipe}],
    }
    inherited = {key: value for key, value in description.items() if key != "digest"}
    return {**inherited, **lineage, **facts}


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a whole checkpoint, check its digest, and unpack its codes.

    Raises ``CheckpointError``, which names the file and the remedy, for a file that is missing,
    truncated, altered, no safetensors, of another tool or of another format version, and for one
    whose tensors are not those that its metadata describes.
    """
    with metadata.opened(path, "pt") as file:
        content = metadata.content(path, file)
        if metadata.is_deep(file):
            from laq.checkpoints.deep_container import file as deep_file

            return deep_file.read(path, file)
        names = file.keys()  # safe_open is no dict: it cannot be iterated
        state = {name: file.get_tensor(name) for name in names}
    if not _intact(content, state):
        raise CheckpointError(f"{path} was altered after it was written: {REMEDY}")
    packed = {}
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinite values: {REMEDY}")
    for name, runs in metadata.runs(path, content).items():
        try:
            packed[name] = tuple(
                _unpacked(
                    run,
                    *(state.pop(_name(name, key, index)) for key in ("codes", *run.tensors)),
                )
                for index, run in enumerate(runs)
            )
        except (KeyError, DataError) as error:
            raise CheckpointError(
                f"{path} holds other codes or scales of {name} than it describes ({error}): "
                f"{REMEDY}"
            ) from error
        if name in state:
            raise CheckpointError(f"{path} holds {name} both packed and in float: {REMEDY}")
        state[name] = torch.cat([weight.values for weight in packed[name]])
    for name, original in content.get("aliases", {}).items():
        if original not in state or name in state:
            raise CheckpointError(f"{path} names {original} {name} too, wrongly: {REMEDY}")
        state[name] = state[original]
    return Checkpoint(metadata.description(content), state, packed)


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the description alone, without any tensor. The digest is not checked.

    Raises ``CheckpointError`` as ``read`` does, but for altered or misdescribed tensors.
    """
    with metadata.opened(path) as file:
        return metadata.description(metadata.content(path, file))


def classes(path: str | os.PathLike[str]) -> dict[int, str]:
    """The classes that the checkpoint was made for: output of the network to the class's name.

    They are those of its subset, in the order of the outputs, or all where it has no subset.
    Raises ``CheckpointError`` as ``describe`` does, and for a checkpoint that names no classes.
    """
    description = describe(path)
    names = description.get("classes")
    if names is None:
        raise CheckpointError(f"{path} does not name its classes: {REMEDY}")
    return {output: names[output] for output in metadata.subset(description)}


def load(
    path: str | os.PathLike[str],
    network: nn.Module | None = None,
    device: torch.device | str = "cpu",
) -> nn.Module:
    """Build the network that the checkpoint describes, with its weights, in evaluation mode.

    network: a module like the one that was quantized, for a checkpoint of ``laq.quantize``; its
    weights do not matter, and it is left as it was. Networks of a study are built from their
    description. These take float images in [0, 1], (n, channels, height, width), and give logits
    (n, classes), whose order is that of ``classes`` in the description.

    Raises ``CheckpointError`` as ``read`` does, and if the tensors are not those of the network.
    """
    return build(path, read(path), network).to(device)


def build(
    path: str | os.PathLike[str], checkpoint: Checkpoint, network: nn.Module | None = None
) -> nn.Module:
    """The network of a checkpoint that was read from ``path``, as ``load`` gives it on the CPU."""
    from laq.checkpoints import graph_edits
    from laq.models import networks
    from laq.ptq.module_state import copied

    if network is None and (module := checkpoint.description.get("module")):
        raise CheckpointError(
            f"{path} is of a {module}: give one, as in laq.load(path, network); its weights do not "
            "matter"
        )
    if network is None and "network" not in checkpoint.description:
        raise CheckpointError(f"{path} does not say which network it is of: {REMEDY}")
    try:
        if network is None:
            network = graph_edits.create(**graph_edits.spec(checkpoint.description))
        else:
            transforms = checkpoint.description.get("transforms", ())
            network = graph_edits.applied(copied(network), transforms)
        networks.load_state(network, checkpoint.state)
    except CheckpointError as error:
        raise CheckpointError(f"{path} describes itself wrongly: {error}: {REMEDY}") from error
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"{path} is of a network of {error.name}, which is not installed: pip install it"
        ) from error
    # Arguments that no network takes raise nearly anything: TypeError, IndexError, …
    except Exception as error:
        raise CheckpointError(
            f"{path} does not fit the network it names ({error}): {REMEDY}"
        ) from error
    return network.eval()


def _name(name: str, part: str, place: int) -> str:
    """The tensor that holds the codes, or a part of the grid, of a weight's run."""
    return f"{name}.{part}.{place}"


def _described(name: str, weight: PackedWeight) -> dict[str, Any]:
    grid = weight.grid
    run = PackedRun(
        list(weight.codes.shape),
        grid.width,
        grid.bits,
        grid.scheme,
        grids.kind(grid),
        grid.fields(),
        list(grid.tensors()),
    )
    try:
        _check_fit(weight.codes, grid)
    except DataError as error:
        raise ValueError(f"packed weight {name}: {error}") from error
    return {key: value for key, value in asdict(run).items() if key != "stored"}


def _check_shape(name: str, weights: Sequence[PackedWeight], state: Mapping[str, Tensor]) -> None:
    shapes = [tuple(weight.codes.shape) for weight in weights]
    rows = sum(shape[0] for shape in shapes)
    if name not in state or {(rows, *shape[1:]) for shape in shapes} != {tuple(state[name].shape)}:
        raise ValueError(f"packed weight {name} {shapes} is not one of state's")


def _unpacked(run: PackedRun, codes: Tensor, *parts: Tensor) -> PackedWeight:
    """A run as it was saved. Raises ``DataError`` if its tensors do not match its fields."""
    tensors = dict(zip(run.tensors, parts, strict=True))
    grid = grids.restore(run.kind, run.bits, run.scheme, run.grid, tensors)
    if grid.width != run.width:
        raise DataError(f"codes of {run.width} bits for {grid.levels} levels")
    unpacked = bitpacking.unpack(codes, run.weights, run.width).view(*run.shape)
    _check_fit(unpacked, grid)
    return PackedWeight(unpacked, grid)


def _check_fit(codes: Tensor, grid: Grid) -> None:
    low, high = (int(code) for code in codes.aminmax())
    if low < grid.low or high > grid.high:
        raise DataError(f"codes from {low} to {high} go beyond {grid.low} to {grid.high}")
    if not grid.fits(codes.flatten(1).shape):
        raise DataError(f"{grids.kind(grid)} grid of other weights than {tuple(codes.shape)}")


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _intact(content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bool:
    try:
        return _digest(content, tensors) == content["digest"]
    except (ValueError, RecursionError):  # a description that could not have been written
        return False


def _digest(content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    fields = {key: value for key, value in content.items() if key != "digest"}
    digest = hashlib.sha256(_json(fields).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(_json({name: [str(tensor.dtype), list(tensor.shape)]}).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
