"""Checkpoints of compressed networks: safetensors that describe themselves.

A quantized weight ``layer.weight`` is stored as ``layer.weight.codes`` (uint8, the bit string of
``laq.bitpacking``) and ``layer.weight.step`` (float32, () or (N, 1)); every other tensor as it is.
The metadata is one JSON object under the key ``laq``: safetensors writes several keys in random
order, and the same checkpoint must give the same bytes. It holds

    format    1
    packed    {name: {shape, bits, scheme, width, largest}}
    digest    sha256 over the rest of the metadata and every tensor's name, dtype, shape, bytes
    …         the description as given: network, variant, calibration, seed, parent

Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from laq import bitpacking
from laq.errors import CheckpointError
from laq.files import atomic

FORMAT = 1
_KEY = "laq"
_OWN_KEYS = frozenset({"format", "packed", "digest"})
_REMEDY = "delete it and run the rule that makes it again"


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """A quantized weight: integer ``codes`` in its shape (N, …), each worth ``step``.

    step: () or (N, 1) floats. bits, scheme: nominal bits and name of the alphabet, as
    documentation. largest: no code goes beyond ±largest. width: bits a code takes in a file.

    Alphabets themselves are not needed here: what reads a checkpoint (training, evaluation)
    does not depend on how codes were chosen.
    """

    codes: Tensor
    step: Tensor
    bits: int
    scheme: str
    largest: int
    width: int

    @property
    def values(self) -> Tensor:
        """The weights that the codes stand for: shape of the codes, dtype of the step."""
        rows = self.codes.flatten(1).to(self.step.dtype) * self.step
        return rows.view(self.codes.shape)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file holds.

    description: as given to ``save``.
    state: name to tensor, packed weights as the float32 values they stand for.
    packed: name of each packed weight to its shape, bits, scheme, width and largest code.
    """

    description: dict[str, Any]
    state: dict[str, Tensor]
    packed: dict[str, dict[str, Any]]


def save(
    path: str | os.PathLike[str],
    state: Mapping[str, Tensor],
    description: Mapping[str, Any],
    packed: Mapping[str, PackedWeight] = MappingProxyType({}),
) -> None:
    """Write ``state`` to ``path`` atomically, the weights in ``packed`` as bit-packed codes.

    A name in ``packed`` replaces the tensor of that name in ``state``, whose shape it must
    have. ``description`` is JSON; ``load`` needs its ``network``, the arguments of
    ``laq.networks.create``. Equal arguments give equal bytes.

    Raises ``ValueError`` for a description that uses a key of the format's own, and for packed
    weights that do not match ``state`` or their alphabet: defects of the caller.
    """
    if clash := _OWN_KEYS & description.keys():
        raise ValueError(f"description uses keys of the format's own: {sorted(clash)}")
    tensors = {name: tensor for name, tensor in state.items() if name not in packed}
    for name, weight in packed.items():
        _check_packed(name, weight, state)
        tensors |= {
            f"{name}.codes": bitpacking.pack(weight.codes, weight.width),
            f"{name}.step": weight.step.float(),
        }
    # Copies: safetensors refuses views of a shared storage.
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    content = {
        **description,
        "format": FORMAT,
        "packed": {name: _describe(weight) for name, weight in packed.items()},
    }
    content["digest"] = _digest(content, tensors)
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={_KEY: _json(content)})


def derived(
    description: Mapping[str, Any],
    variant: str,
    recipe: Mapping[str, Any],
    **facts: Any,
) -> dict[str, Any]:
    """The description of a variant, from that of its parent and the recipe of the step taken.

    ``steps`` is the lineage: variant name to recipe, from the trained network on. ``facts``
    (subset, seed, bits, …) replace the parent's.
    """
    lineage = {
        "variant": variant,
        "parent": recipe["parent"],
        "steps": [*description["steps"], {variant: recipe}],
    }
    return {**description, **lineage, **facts}


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint whole, check its digest, and unpack its codes.

    Raises ``CheckpointError``, which names the file and the remedy, for one that is missing,
    truncated, altered, no safetensors, of another tool or of another format version.
    """
    with _opened(path) as file:
        content = _content(path, file.metadata())
        names = file.keys()  # safe_open is no dict: it cannot be iterated
        state = {name: file.get_tensor(name) for name in names}
    if _digest(content, state) != content["digest"]:
        raise CheckpointError(f"{path} was altered after it was written: {_REMEDY}")
    for name, entry in content["packed"].items():
        state[name] = _unpacked(entry, state.pop(f"{name}.codes"), state.pop(f"{name}.step"))
    return Checkpoint(_description(content), state, content["packed"])


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the description alone, without any tensor and so without checking the digest.

    Raises ``CheckpointError`` as ``read`` does, but for altered tensors.
    """
    with _opened(path) as file:
        return _description(_content(path, file.metadata()))


def load(path: str | os.PathLike[str]) -> nn.Module:
    """Build the network that the checkpoint describes, with its weights, in evaluation mode.

    Raises ``CheckpointError`` as ``read`` does, and if the tensors are not those of the network.
    """
    from laq import networks

    checkpoint = read(path)
    if "network" not in checkpoint.description:
        raise CheckpointError(f"{path} does not say which network it is of: {_REMEDY}")
    network = networks.create(**checkpoint.description["network"])
    try:
        network.load_state_dict(checkpoint.state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} does not fit the network it names ({error}): {_REMEDY}"
        ) from error
    return network.eval()


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist: run the rule that makes it") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is truncated or no safetensors file ({error}): {_REMEDY}"
        ) from error


def _content(path: str | os.PathLike[str], metadata: dict[str, str] | None) -> dict[str, Any]:
    """The JSON object in a file's metadata, of a format that this code knows."""
    text = (metadata or {}).get(_KEY)
    if text is None:
        raise CheckpointError(
            f"{path} holds no description of this workflow, so another tool wrote it: "
            "give a checkpoint made here"
        )
    try:
        content = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{path} has a damaged description ({error}): {_REMEDY}") from error
    version = content.get("format") if isinstance(content, dict) else None
    if version != FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {version!r}, this version of the workflow reads "
            f"{FORMAT}: {_REMEDY}"
        )
    if missing := _OWN_KEYS - content.keys():
        raise CheckpointError(f"{path} lacks {sorted(missing)} in its description: {_REMEDY}")
    return content


def _description(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in _OWN_KEYS}


def _check_packed(name: str, weight: PackedWeight, state: Mapping[str, Tensor]) -> None:
    if name not in state or state[name].shape != weight.codes.shape or weight.codes.ndim < 2:
        raise ValueError(f"packed weight {name} {tuple(weight.codes.shape)} is not one of state's")
    if clash := {f"{name}.codes", f"{name}.step"} & state.keys():
        raise ValueError(f"state already has {sorted(clash)}")
    if bool((weight.codes.abs() > weight.largest).any()):
        raise ValueError(f"codes of {name} go beyond ±{weight.largest}")


def _describe(weight: PackedWeight) -> dict[str, Any]:
    return {
        "shape": list(weight.codes.shape),
        "bits": weight.bits,
        "scheme": weight.scheme,
        "largest": weight.largest,
        "width": weight.width,
    }


def _unpacked(entry: dict[str, Any], codes: Tensor, step: Tensor) -> Tensor:
    """The float32 values of a packed weight, in its shape."""
    settings = {key: value for key, value in entry.items() if key != "shape"}
    shape = torch.Size(entry["shape"])
    unpacked = bitpacking.unpack(codes, shape.numel(), entry["width"]).view(shape)
    return PackedWeight(unpacked, step, **settings).values


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _digest(content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    described = {key: value for key, value in content.items() if key != "digest"}
    digest = hashlib.sha256(_json(described).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(_json({name: [str(tensor.dtype), list(tensor.shape)]}).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
