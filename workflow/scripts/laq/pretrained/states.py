"""Files of weights: read, and nothing in them run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from laq.errors import DataError

State = dict[str, Tensor]

# What training frameworks put around a state.
_WRAPPERS = ("state_dict", "model_state_dict", "model")


def read(path: Path) -> State:
    """The weights in a safetensors file, or in a torch file of tensors alone, by parameter name.

    Torch files are read with ``weights_only=True``. A checkpoint of this workflow is unpacked.
    Raises ``DataError`` for a file that is damaged, no weights, or holds NaN.
    """
    state = _plain(_opened(path), path)
    for name, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise DataError(f"{path}: {name} holds NaN or infinite values; take other weights")
    return state


def describe_own(path: Path) -> dict[str, Any] | None:
    """What a checkpoint of this workflow says of itself; None for any other file."""
    from laq import metadata, packing

    return packing.describe(path) if _metadata(path).get(metadata.KEY) else None


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


def _opened_safetensors(path: Path) -> State:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from laq import packing

    if describe_own(path) is not None:
        return packing.read(path).state
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is truncated or no safetensors file ({error}): fetch it again")


def _plain(content: Any, path: Path) -> State:
    """The state alone, without what frameworks wrap it in."""
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise DataError(
            f"{path} holds a {type(content).__name__}, not weights by name: save state_dict()"
        )
    if odd := [name for name, value in content.items() if not isinstance(value, Tensor)]:
        raise DataError(f"{path} holds {odd[0]!r}, which is no tensor: save state_dict() alone")
    return dict(content)
