"""One of several processes of a training: ``-m laq.training.worker <folder>``.

Torchrun or ``laq.utils.slurm`` starts it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import distributed

from laq.checkpoints import graph_edits
from laq.models import networks
from laq.training import agent, constraints
from laq.training.distributed import Team
from laq.training.loop import fit
from laq.training.recipe import TRAINING, Recipe
from laq.training.resume import Keeper
from laq.utils import devices, disks, signals
from laq.utils.errors import LaqError

# Files in the folder: the task and its inputs, and the result.
TASK, SPLIT, START = "task.json", "{name}.safetensors", "start.safetensors"
NETWORK, HISTORY = "network.safetensors", "history.json"


def main(folder: Path) -> None:
    """Do the task that ``folder`` holds as one of the processes that torchrun or srun started."""
    task = json.loads((folder / TASK).read_text(encoding="utf-8"))
    signals.end_with_starter()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it silently: the job reports it
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    if rank == 0:
        logging.getLogger("laq").setLevel(logging.INFO)
    torch.set_num_threads(task["threads"])
    device = devices.pick(task["device"])
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        _fit(folder, task, Team(rank, size, device))
    except LaqError as error:
        note = json.dumps([type(error).__name__, str(error)])
        (folder / agent.NOTE.format(rank=rank)).write_text(note, encoding="utf-8")
        sys.exit(1)
    distributed.destroy_process_group()


def _fit(folder: Path, task: dict, team: Team) -> None:
    start = load_file(folder / START)
    generator = torch.Generator()
    generator.set_state(start.pop("generator"))
    network = graph_edits.create(**task["spec"])
    constraint = constraints.create(task["constraint"])
    constraint.prepare(network)
    networks.load_state(network, {name.removeprefix("network."): x for name, x in start.items()})
    keeper = None
    if task["state"] is not None:
        path, identity = task["state"]
        keeper = Keeper(Path(path), bytes.fromhex(identity))
    files = [load_file(folder / SPLIT.format(name=name)) for name in ("train", "test")]
    splits = [(split["images"], split["labels"]) for split in files]
    recipe = Recipe.of(TRAINING, task["recipe"])
    with networks.safe_kernels(network):
        history = fit(network, *splits, recipe, generator, team.device, keeper, team, constraint)
    if team.rank == 0:
        state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        with disks.writing(folder / NETWORK):
            (folder / HISTORY).write_text(json.dumps(history), encoding="utf-8")
            save_file(state, folder / NETWORK)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
