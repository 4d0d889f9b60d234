"""Files of weights: read, and nothing in them run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from laq.utils.errors import DataError

# As torch's own: what the loading of modules looks at is in an attribute ``_metadata``.
State = OrderedDict[str, Tensor]

# Mappings within mappings are looked into so far.
_DEPTH = 8


def read(path: Path) -> State:
    """All tensors in a safetensors file, or in a torch file of plain data, by their names.

    Tensors in mappings within mappings have the names of both, as in ``net.conv1.weight``. Torch
    files are read with ``weights_only=True``. A checkpoint of this workflow is unpacked. Raises
    ``DataError`` for a file that is damaged, or holds no tensors by name.
    """
    content = _opened(path)
    if not isinstance(content, Mapping) or not content:
        raise DataError(
            f"{path} holds a {type(content).__name__}, not weights by name: save state_dict()"
        )
    state: State = OrderedDict()
    state._metadata = OrderedDict()
    _add(content, "", state, path, _DEPTH)
    if not state:
        first = next(iter(content))
        raise DataError(f"{path} holds {first!r}, which is no tensor: save state_dict() alone")
    return state


def describe_own(path: Path) -> dict[str, Any] | None:
    """What a checkpoint of this workflow says of itself; None for any other file."""
    from laq.checkpoints import metadata, packing

    return packing.describe(path) if _metadata(path).get(metadata.KEY) else None


def _add(content: Mapping[Any, Any], prefix: str, state: State, path: Path, depth: int) -> None:
    """Put the tensors of ``content`` into ``state``, and the versions that their modules have."""
    versions = getattr(content, "_metadata", None)
    for module, version in versions.items() if isinstance(versions, Mapping) else ():
        state._metadata[f"{prefix}{module}".removesuffix(".")] = version
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Tensor):
            if name in state:
                raise DataError(f"{path} holds {name} twice: save state_dict() alone")
            state[name] = value
        elif isinstance(value, Mapping) and depth:
            _add(value, f"{name}.", state, path, depth - 1)


def _metadata(path: Path) -> Mapping[str, str]:
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _opened(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return _opened_safetensors(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds: no archive, cut off, or a pickle with code in it
        lines = str(error).strip().splitlines() or [repr(error)]
        reason = lines[0]
        if "weights_only" in str(error):
            reason = "it holds more than tensors, such as a whole module, which would run code"
        raise DataError(
            f"{path} holds no weights that can be read safely ({reason}): give a .safetensors "
            "file, or a torch file of tensors alone (torch.save(network.state_dict(), …))"
        ) from error


def _opened_safetensors(path: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from laq.checkpoints import packing

    if describe_own(path) is not None:
        return packing.read(path).state
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is truncated or no safetensors file ({error}): fetch it again")
