"""Starting a training in several processes, of this machine or of a SLURM job's tasks."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from laq.models import networks
from laq.training import agent, resume, worker
from laq.training.constraints import Constraint
from laq.training.loop import Split
from laq.training.recipe import Recipe
from laq.training.resume import Keeper
from laq.utils import disks, slurm
from laq.utils.errors import ConfigError, DataError

_LIBRARY = Path(__file__).resolve().parents[2]


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
    """As ``laq.training.loop.fit``, in ``recipe.processes`` processes.

    Each rebuilds the network from ``spec`` and ``constraint``. On CUDA each has a GPU of its own.
    All files are in a folder that is removed at the end, or by the next training if this one is
    killed.
    """
    if spec is None:
        raise ValueError("more processes than one build the network anew: give its spec")
    _check_devices(recipe.processes, device)
    if (count := len(train_split[1])) < 2 * recipe.processes:
        raise DataError(
            f"{count} training images are too few for {recipe.processes} processes, of which each "
            "takes two of every batch; lower processes (config key networks or variants)"
        )
    with _folder(keeper) as folder:
        task = {
            "spec": dict(spec),
            "recipe": asdict(recipe),
            "constraint": constraint.description if constraint else None,
            "device": device.type,
            "threads": torch.get_num_threads(),
            "state": [str(keeper.path), keeper.identity.hex()] if keeper else None,
        }
        with disks.writing(folder / worker.TASK):
            (folder / worker.TASK).write_text(json.dumps(task), encoding="utf-8")
            for name, (images, labels) in (("train", train_split), ("test", test_split)):
                split = {"images": images.cpu().contiguous(), "labels": labels.cpu().contiguous()}
                save_file(split, folder / worker.SPLIT.format(name=name))
            # Copies: safetensors refuses tensors that share storage, as tied weights do.
            state = network.state_dict().items()
            start = {f"network.{key}": tensor.cpu().contiguous().clone() for key, tensor in state}
            save_file(start | {"generator": generator.get_state()}, folder / worker.START)
        run(folder, recipe.processes, worker.__name__)
        networks.load_state(network, load_file(folder / worker.NETWORK))
        history = json.loads((folder / worker.HISTORY).read_text(encoding="utf-8"))
    network.to("cpu", memory_format=torch.contiguous_format).eval()
    return history


def _check_devices(processes: int, device: torch.device) -> None:
    if slurm.asked():  # GPUs of other nodes are not seen from here
        return
    if device.type == "cuda" and (available := torch.cuda.device_count()) < processes:
        raise ConfigError(
            f"processes: {processes} need as many GPUs, and torch sees {available}; set processes "
            f"to {available} or fewer (config key networks or variants)"
        )


@contextmanager
def _folder(keeper: Keeper | None) -> Iterator[Path]:
    """An empty folder, on the disk of the results: images may not fit the temporary one."""
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

    They are processes of this machine, or tasks of a SLURM job where it has tasks. Raises
    ``ProcessError``, or the error that a process noted, for the first that failed.
    """
    with _environment():
        if slurm.asked():
            codes = slurm.run(processes, torch.get_num_threads(), folder, module)
        else:
            codes = agent.run(processes, folder, module)
    if codes:
        raise agent.reason(folder, codes)


@contextmanager
def _environment() -> Iterator[None]:
    """Set the environment by which workers find this library, and no other copy of it."""
    variables = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_LIBRARY), os.environ.get("PYTHONPATH")])),
        "PYTHONSAFEPATH": "1",  # -m would put the working directory before it
    }
    previous = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in previous.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
