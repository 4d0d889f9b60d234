"""Starting a training in several processes, as ``torchrun --standalone`` does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from laq import disks, errors
from laq.errors import ConfigError, LaqError, ProcessError
from laq.training import resume, worker
from laq.training.constraints import Constraint
from laq.training.loop import Split
from laq.training.recipe import Recipe
from laq.training.resume import Keeper

_SCRIPTS = Path(__file__).resolve().parents[2]


def fit(
    network: nn.Module,
    train_split: Split,
    test_split: Split,
    recipe: Recipe,
    generator: torch.Generator,
    device: torch.device,
    keeper: Keeper | None,
    spec: Mapping[str, Any] | None,
    constraint: Constraint | None = None,
) -> list[dict[str, Any]]:
    """As ``laq.training.loop.fit``, in ``recipe.processes`` processes of this machine.

    Each rebuilds the network from ``spec`` and ``constraint``. On CUDA each has a GPU of its own.
    All files lie in a folder that is removed at the end, and by the next training if this one is
    killed.
    """
    if spec is None:
        raise ValueError("more processes than one build the network anew: give its spec")
    _check_devices(recipe.processes, device)
    with _folder(keeper) as folder:
        task = {
            "spec": dict(spec),
            "recipe": asdict(recipe),
            "constraint": constraint.description if constraint else None,
            "device": device.type,
            "threads": torch.get_num_threads(),
            "state": [str(keeper.path), keeper.identity.hex()] if keeper else None,
            "job": os.getpid(),
        }
        with disks.writing(folder / worker.TASK):
            (folder / worker.TASK).write_text(json.dumps(task), encoding="utf-8")
            for name, (images, labels) in (("train", train_split), ("test", test_split)):
                split = {"images": images.cpu().contiguous(), "labels": labels.cpu().contiguous()}
                save_file(split, folder / worker.SPLIT.format(name=name))
            # Copies: safetensors refuses tensors that share storage, as tied weights do.
            state = network.state_dict().items()
            start = {f"network.{key}": x.cpu().contiguous().clone() for key, x in state}
            start |= {"generator": generator.get_state(), "torch": torch.get_rng_state()}
            save_file(start, folder / worker.START)
        run(folder, recipe.processes, worker.__name__)
        network.load_state_dict(load_file(folder / worker.NETWORK))
        history = json.loads((folder / worker.HISTORY).read_text(encoding="utf-8"))
    network.to("cpu", memory_format=torch.contiguous_format).eval()
    return history


def _check_devices(processes: int, device: torch.device) -> None:
    if device.type == "cuda" and (there := torch.cuda.device_count()) < processes:
        raise ConfigError(
            f"processes: {processes} need as many GPUs, and torch sees {there}; set processes to "
            f"{there} or fewer (config key networks or variants)"
        )


@contextmanager
def _folder(keeper: Keeper | None) -> Iterator[Path]:
    """An empty folder on the disk that takes the results: images may not fit the temporary one."""
    if keeper is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
        return
    folder = resume.files_of_processes(keeper.path)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(folder: Path, processes: int, module: str) -> None:
    """Run ``module`` on ``folder`` in several processes to their end.

    Raises ``ProcessError``, or what a process noted, for the first that failed.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    arguments = [
        "--standalone",
        f"--nproc-per-node={processes}",
        "--local-addr=127.0.0.1",  # a machine's own name need not be known to it
        f"--log-dir={folder / 'torchrun'}",
        "--module",
        module,
        str(folder),
    ]
    with _environment(), _signals():
        try:
            torchrun.run(torchrun.parse_args(arguments))
        except ChildFailedError as failed:
            raise _error(folder, failed) from None
        except SignalException as told:
            raise ProcessError(
                f"the training was ended from outside ({told.sigval.name}): run again, it goes on "
                "from the last state written"
            ) from None


def _error(folder: Path, failed: Any) -> Exception:
    """What ended the workers, as far as can be told from their notes and exit codes."""
    for note in sorted(folder.glob(worker.NOTE.format(rank="*"))):
        kind, message = json.loads(note.read_text(encoding="utf-8"))
        return getattr(errors, kind, LaqError)(message)
    codes = {rank: failure.exitcode for rank, failure in failed.failures.items()}
    # One that was killed takes the others with it: they lose the connection, or torchrun ends them.
    killed = [rank for rank, code in codes.items() if code < 0 and code != -signal.SIGTERM]
    if not killed and any(code > 0 for code in codes.values()):
        return RuntimeError(f"processes of the training failed, see above: exit codes {codes}")
    rank = min(killed or codes)
    return ProcessError(
        f"process {rank} of the training was ended by {signal.Signals(-codes[rank]).name}; if "
        "nobody did that, memory was short: set fewer processes or a smaller batch_size (config "
        "key networks or variants), or give the job more. Run again: it goes on from the last "
        "state written"
    )


@contextmanager
def _environment() -> Iterator[None]:
    """Let workers find this library."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_SCRIPTS), before]))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@contextmanager
def _signals() -> Iterator[None]:
    """Put back the handlers that torchrun replaces by its own."""
    names = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {name: signal.getsignal(name) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
