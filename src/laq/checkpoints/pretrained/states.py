"""Files of weights, read without running any code in them."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from laq.utils.errors import DataError

# Which of a file's names are a network's, whatever frameworks have put before and between them.
#
# A file's names are flat: those in a mapping ``{"net": {"conv1.weight": …}}`` begin with ``net.``.
# So a mapping around a state and a prefix of its names are the same thing, a prefix: ``net.``,
# ``module.``, ``state_dict.model._orig_mod.``.


# Modules that wrap another and call it so: DataParallel, compile, FSDP, activation checkpoints.
_WRAPPING = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}

# torchvision's DenseNet weights are older than its names (torchvision.models.densenet).
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)")

# A network that stands behind another module (``laq.models.architectures.Classifier``).
_BODY = "body."


@dataclass(frozen=True)
class Part:
    """The tensors of a file that have one prefix.

    state: name to tensor. A name is the network's, or what follows the prefix in the file's.
    sources: name to the file's name. versions: name of a module to its ``_metadata``, which its
    loading reads.
    """

    prefix: str
    state: dict[str, Tensor]
    sources: dict[str, str]
    versions: dict[str, Mapping[str, object]]

    def source(self, name: str) -> str:
        """What the file calls ``name``, or would if it had it."""
        return self.sources.get(name, self.prefix + name.removeprefix(_BODY))


def parts(state: Mapping[str, Tensor], network: nn.Module) -> list[Part]:
    """The parts of a file that may be ``network``, the one with most of its names first.

    ``state``: as ``laq.checkpoints.pretrained.read`` gives it. Names that are in no part belong to
    something else. Raises ``DataError`` for two tensors that have the same name in the network.
    """
    names = {name.removeprefix(_BODY): name for name in network.state_dict()}
    wrappers = _WRAPPING - {piece for name in names for piece in name.split(".")}
    votes: Counter[str] = Counter()
    for name in state:
        votes.update(prefix for prefix, suffix in _splits(name, wrappers) if suffix in names)
    if not votes:
        return []
    best = max(votes.values())
    prefixes = [prefix for prefix, count in votes.most_common() if 2 * count >= best]
    return [_part(prefix, prefixes, state, names, wrappers) for prefix in prefixes]


def _part(
    prefix: str,
    others: Collection[str],
    state: Mapping[str, Tensor],
    own: Mapping[str, str],
    wrapping: Collection[str],
) -> Part:
    nested = [other for other in others if other != prefix and other.startswith(prefix)]
    body = _BODY if any(name.startswith(_BODY) for name in own.values()) else ""

    def rest(name: str) -> str | None:
        """What follows the prefix in one of the file's names, None for one of another part."""
        if not name.startswith(prefix) or any(name.startswith(other) for other in nested):
            return None
        return _unwrapped(name.removeprefix(prefix), wrapping)

    tensors: dict[str, Tensor] = {}
    sources: dict[str, str] = {}
    for name, value in state.items():
        if (suffix := rest(name)) is None:
            continue
        target = own.get(suffix, body + suffix)
        if target in tensors and not same(tensors[target], value):
            raise DataError(
                f"{sources[target]} and {name} are both the network's {target}, and differ: leave "
                "one of them in the file"
            )
        tensors[target], sources[target] = value, name
    versions = {}
    for name, version in getattr(state, "_metadata", {}).items():
        if (suffix := rest(f"{name}." if name else "")) is not None:
            versions[(body + suffix).removesuffix(".")] = version
    return Part(prefix, tensors, sources, versions)


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers."""
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)


def _splits(name: str, wrapping: Collection[str]) -> Iterator[tuple[str, str]]:
    """Each prefix that a name may have, and the rest, which begins with no wrapping module."""
    pieces = name.split(".")
    for index, piece in enumerate(pieces):
        if piece not in wrapping:
            prefix = "".join(f"{parent}." for parent in pieces[:index])
            yield prefix, _unwrapped(".".join(pieces[index:]), wrapping)


def _unwrapped(name: str, wrapping: Collection[str]) -> str:
    pieces = [piece for piece in name.split(".") if piece not in wrapping]
    return _OLD_DENSENET.sub(r"\1", ".".join(pieces))


def in_order(
    state: Mapping[str, Tensor], network: nn.Module, where: str, new_head: bool = False
) -> dict[str, Tensor]:
    """The tensors of a file by the network's names, matched in the order of both.

    It is for the same architecture under other names. Counters of batches are left out. With a
    ``new_head`` the number of outputs may differ; ``load_into`` checks which layers have them.
    Raises ``DataError`` that names the first pair whose shapes, or last names (weight, bias),
    differ.
    """
    counter = "num_batches_tracked"
    targets = {name: x for name, x in network.state_dict().items() if not name.endswith(counter)}
    sources = {name: x for name, x in state.items() if not name.endswith(counter)}
    for (name, target), (other, source) in zip(targets.items(), sources.items(), strict=False):
        last_names = [full_name.rpartition(".")[2] for full_name in (name, other)]
        shapes = [x.shape[new_head:] for x in (target, source)]
        if shapes[0] != shapes[1] or last_names[0] != last_names[1]:
            raise DataError(
                f"{where}: {other} {tuple(source.shape)} comes where the network has {name} "
                f"{tuple(target.shape)}: they are of another architecture, or in another order "
                "(weights.match)"
            )
    if len(targets) != len(sources):
        raise DataError(
            f"{where} hold {len(sources)} tensors, and the network has {len(targets)}: they are of "
            "another architecture (weights.match)"
        )
    return dict(zip(targets, sources.values(), strict=True))


# As torch's own: versions of modules, which their loading reads, are an attribute ``_metadata``.
State = OrderedDict[str, Tensor]

# Levels of mappings within mappings that are searched.
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
