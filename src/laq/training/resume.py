"""Going on from the last epoch after a kill, with the same bytes as an undisturbed training.

The state is a hidden file beside the checkpoint. It is no output of any rule, so that Snakemake
leaves it when a job fails. It is valid only for the training that wrote it: the same recipe, data,
initial network, seed, code and versions.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from laq.training.constraints import Constraint
from laq.training.recipe import Recipe
from laq.utils.errors import StorageError
from laq.utils.files import atomic, remove

if TYPE_CHECKING:
    from laq.training.distributed import Team

logger = logging.getLogger(__name__)

# The most that writing states takes, as a share of the time.
SHARE = 0.1

_DIGEST = hashlib.sha256().digest_size


def beside(checkpoint: str | Path) -> Path:
    """Where the state of the training that makes ``checkpoint`` is kept."""
    path = Path(checkpoint)
    return path.with_name(f".{path.stem}.state")


def files_of_processes(state: Path) -> Path:
    """The folder of a training in several processes that keeps its state in ``state``."""
    return state.with_suffix(".processes")


def clear(state: Path) -> None:
    """Remove all that a training keeps, once its result is stored."""
    remove(state)
    shutil.rmtree(files_of_processes(state), ignore_errors=True)


def identity(
    network: nn.Module,
    train_split: tuple[Tensor, Tensor],
    test_split: tuple[Tensor, Tensor],
    recipe: Recipe,
    generator: torch.Generator,
    device: torch.device,
    constraint: Constraint | None = None,
) -> bytes:
    """Digest of all that the result of a training depends on, taken before it starts.

    Of the device only the type counts: a job may go on on another node of a cluster.
    """
    facts = {
        "recipe": asdict(recipe),
        "constraint": constraint.description if constraint else None,
        # Modules with their settings: a stride or a resizing is in no weight.
        "network": repr(network),
        "names": list(network.state_dict()),
        "code": code(),
        "versions": [_version(name) for name in ("torch", "torchvision", "timm")],
        "device": device.type,
        "threads": torch.get_num_threads(),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    rng_states = [generator.get_state(), torch.get_rng_state()]
    # Buffers as well, of which some are not in the state, such as the images' mean.
    values = (*network.state_dict().values(), *network.buffers())
    _update(digest, (*values, *train_split, *test_split, *rng_states))
    return digest.digest()


class Keeper:
    """The file that a training goes on from.

    The file has the identity, a digest of the payload, and the payload, which ``torch.save`` makes.
    """

    def __init__(self, path: Path, own: bytes) -> None:
        self.path, self.identity = path, own
        self._written = time.monotonic()
        self._cost = 0.0

    def load(self, team: Team) -> dict[str, Any] | None:
        """The state, or None unless it is whole, of this training, and read by all of ``team``."""
        content = self._read()
        epochs = len(content["history"]) if content else 0
        # Processes that start at different epochs would wait for each other for ever.
        if not team.agree(epochs) or content is None:
            return None
        if team.rank == 0:
            logger.info("going on after epoch %d: %s", epochs, self.path)
        return content

    def save(self, content: Callable[[], dict[str, Any]]) -> bool:
        """Write the state atomically, unless that would take more than ``SHARE`` of the time.

        A training goes on where the disk does not take the state. Returns whether it was written.
        """
        started, written = time.monotonic(), True
        if started - self._written < self._cost / SHARE:
            return False
        buffer = io.BytesIO()
        torch.save(content(), buffer)
        payload = buffer.getbuffer()
        try:
            with atomic(self.path) as temporary, temporary.open("wb") as file:
                file.write(self.identity + hashlib.sha256(payload).digest())
                file.write(payload)
        except (OSError, StorageError) as error:
            logger.warning("the training goes on without its state: %s", error)
            written = False
        self._written = time.monotonic()
        self._cost = self._written - started
        return written

    def _read(self) -> dict[str, Any] | None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("%s cannot be read (%s): training starts anew", self.path, error)
            return None
        file_identity, digest, payload = _parts(content)
        if hashlib.sha256(payload).digest() != digest:
            logger.warning("%s is damaged: training starts anew", self.path)
            return None
        if file_identity != self.identity:
            logger.info(
                "%s is of other settings, data, seed, code or versions: training starts anew",
                self.path,
            )
            return None
        return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)


def _parts(written: bytes) -> tuple[bytes, bytes, memoryview]:
    head = written[: 2 * _DIGEST]
    return head[:_DIGEST], head[_DIGEST:], memoryview(written)[2 * _DIGEST :]


def _update(digest: Any, tensors: Iterable[Tensor]) -> None:
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())


def code() -> list[str]:
    """Digests of this library's loaded modules, which make the network and train it."""
    loaded = {name: module for name, module in sys.modules.items() if name.startswith("laq.")}
    files = [Path(loaded[name].__file__) for name in sorted(loaded)]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def _version(package: str) -> str | None:
    """A package's version without importing it, which takes seconds."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
