"""Activations between two layers: in memory up to a budget, in files beyond it.

The values of one chunk of images in one network are a frame. Tensors are kept by their storages,
so that views of one storage stay views of one storage, with the same strides and bits, whether they
went through a file or not.
"""

from __future__ import annotations

import copy
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from laq.ptq.layer import Pair
from laq.utils import disks
from laq.utils.errors import LaqError

# Bytes of activations held in memory.
MEMORY = 2**26


@dataclass(frozen=True, eq=False)
class _Block:
    """One storage: in memory with the frame's tensors, or written to ``path``."""

    size: int
    path: Path | None


@dataclass(frozen=True, eq=False)
class _Written:
    """A tensor whose storage was written to a file."""

    block: _Block
    shape: torch.Size
    stride: tuple[int, ...]
    offset: int
    dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True, eq=False)
class Frame:
    """Values by name, kept by an ``Activations``."""

    values: Mapping[str, Any] = field(default_factory=dict)
    blocks: frozenset[_Block] = frozenset()

    def shape(self, name: str) -> torch.Size:
        """Shape of the tensor called ``name``."""
        return self.values[name].shape


class Activations:
    """Keeps frames, at most ``budget`` bytes of them in memory and the rest in temporary files.

    Files are in the folder that ``tempfile`` chooses (TMPDIR). Each is removed with its value, and
    all of them when the context is left. Reading maps a file privately: its pages are resident
    while the tensor lives, and in-place operations do not reach the file.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.held = 0  # bytes in memory
        self._folder: Path | None = None
        self._numbers = itertools.count()
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def get(self, frame: Frame, name: str) -> Any:
        """The value called ``name``, to be read only."""
        return _mapped(frame.values[name], partial(_opened, storages={}))

    def update(self, frame: Frame, change: Callable[[dict[str, Any]], None]) -> Frame:
        """Let ``change`` work on the frame's values, also in place, and keep the result.

        ``frame`` is invalid afterwards. Raises ``LaqError`` where a file cannot be written.
        """
        storages: dict[_Block, torch.UntypedStorage] = {}
        versions: list[tuple[Tensor, int]] = []

        def load(leaf: Any) -> Any:
            value = _opened(leaf, storages)
            if value is not leaf:
                versions.append((value, value._version))
            return value

        values = {name: _mapped(value, load) for name, value in frame.values.items()}
        change(values)
        # A file has the values of its tensors, unless one of them was changed in place.
        intact = all(value._version == version for value, version in versions)
        blocks = {storages[block].data_ptr(): block for block in storages} if intact else {}
        self.held -= sum(block.size for block in frame.blocks if block.path is None)
        updated = self._stored(values, blocks)
        self._remove(frame.blocks - updated.blocks)
        return updated

    def put(self, values: Mapping[str, Any]) -> Frame:
        """Keep ``values`` in a frame of their own."""
        return self.update(Frame(), lambda empty: empty.update(values))

    def copy(self, frame: Frame) -> Frame:
        """A second frame of the same values that shares no memory with the first."""
        storages: dict[_Block, torch.UntypedStorage] = {}
        values = {
            name: _mapped(value, partial(_opened, storages=storages))
            for name, value in frame.values.items()
        }
        return self.put(copy.deepcopy(values))

    def drop(self, frame: Frame) -> None:
        """Forget a frame."""
        self.held -= sum(block.size for block in frame.blocks if block.path is None)
        self._remove(frame.blocks)

    def _stored(self, values: Mapping[str, Any], blocks: dict[int, _Block]) -> Frame:
        """``blocks``: storages known to be in a file already, by address."""
        frame_blocks: set[_Block] = set()

        def store(leaf: Any) -> Any:
            if not _plain(leaf):
                return leaf
            storage = leaf.untyped_storage()
            block = blocks.get(storage.data_ptr())
            if block is None:
                block = blocks[storage.data_ptr()] = self._block(storage)
            frame_blocks.add(block)
            if block.path is None:
                return leaf
            offset = leaf.storage_offset()
            return _Written(block, leaf.shape, leaf.stride(), offset, leaf.dtype, leaf.device)

        stored = {name: _mapped(value, store) for name, value in values.items()}
        return Frame(stored, frozenset(frame_blocks))

    def _block(self, storage: torch.UntypedStorage) -> _Block:
        size = storage.nbytes()
        if self.held + size <= self.budget:
            self.held += size
            return _Block(size, None)
        try:
            if self._folder is None:
                folder = disks.folder(Path(tempfile.gettempdir()), "laq-activations")
                self._folder = self._cleanup.enter_context(folder)
            path = self._folder / str(next(self._numbers))
            path.write_bytes(_bytes(storage).cpu().numpy().data)
        except OSError as error:
            raise LaqError(
                f"{size} bytes of activations could not be written to "
                f"{self._folder or tempfile.gettempdir()} ({error}): free space there, set TMPDIR "
                "to a folder on a larger disk, use fewer images, or hold more of them in memory "
                f"(memory, now {self.budget} bytes)"
            ) from error
        return _Block(size, path)

    def _remove(self, blocks: frozenset[_Block]) -> None:
        for block in blocks:
            if block.path is not None:
                block.path.unlink()


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """The input of one layer in both networks, chunk by chunk.

    frames: of each chunk, that of the float network and, where they differ by now, that of the
    quantized one. The input is their value called ``name``. images: the chunks of images.
    """

    activations: Activations
    frames: Sequence[Sequence[Frame]]
    name: str
    images: Iterable[Tensor] = ()

    @property
    def shapes(self) -> list[torch.Size]:
        """Shape of the input, a chunk each."""
        return [frames[0].shape(self.name) for frames in self.frames]

    def chunks(self) -> Iterator[Pair]:
        """Start a pass: both networks' inputs, one and the same tensor while they agree."""
        for frames in self.frames:
            inputs = [self.activations.get(frame, self.name) for frame in frames]
            yield inputs[0], inputs[-1]


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """``value`` with its leaves changed. Containers of tensors are tuples and lists."""
    if type(value) in (tuple, list):
        return type(value)(_mapped(element, change) for element in value)
    return change(value)


def _plain(value: Any) -> bool:
    return type(value) is Tensor and value.layout == torch.strided and value.numel() > 0


def _bytes(storage: torch.UntypedStorage) -> Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def _opened(leaf: Any, storages: dict[_Block, torch.UntypedStorage]) -> Any:
    """The tensor that was written; all tensors of a block share one storage. Others unchanged."""
    if not isinstance(leaf, _Written):
        return leaf
    block = leaf.block
    if block not in storages:
        mapped = torch.UntypedStorage.from_file(str(block.path), shared=False, nbytes=block.size)
        storages[block] = _bytes(mapped).to(leaf.device).untyped_storage()
    empty = torch.empty(0, dtype=leaf.dtype, device=leaf.device)
    return empty.set_(storages[block], leaf.offset, leaf.shape, leaf.stride)
