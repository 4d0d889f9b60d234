"""Several processes: what each has of a batch, and real runs under torchrun."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from laq.training import TRAINING, Recipe, distributed, launch, loop
from laq.training.distributed import Team
from laq.utils.errors import ConfigError, DataError, ProcessError

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"

torch.set_num_threads(1)

CPU = torch.device("cpu")

# Parts


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [1, 2, 7, 16])
def test_parts_are_the_whole_in_order_and_about_equal(count, size):
    parts = [range(count)[Team(rank, size).part(count)] for rank in range(size)]
    assert [index for part in parts for index in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(("n", "sizes"), [(19, [8, 11]), (20, [8, 8, 4])])
def test_each_process_gets_two_images_or_more_of_the_last_batch(n, sizes):
    assert [len(batch) for batch in loop.batches(torch.arange(n), 8, processes=2)] == sizes


# Layers


def test_batch_norms_are_made_synchronous_in_place_on_cuda():
    from timm.layers import BatchNormAct2d

    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), BatchNormAct2d(4))
    network(torch.randn(5, 3, 6, 6))
    network.eval()
    x, parameters = torch.randn(2, 3, 6, 6), list(network.parameters())
    expected, names = network(x), list(network.state_dict())
    distributed._synchronize_on_cuda(network)
    assert all(isinstance(network[place], nn.SyncBatchNorm) for place in (1, 2))
    # The very parameters that the optimizer was given, under their names, doing the same.
    pairs = zip(network.parameters(), parameters, strict=True)
    assert all(one is other for one, other in pairs)
    assert list(network.state_dict()) == names
    assert torch.equal(network(x), expected) and (expected >= 0).all()


def test_running_statistics_become_the_mean_over_processes_and_frozen_ones_stay(monkeypatch):
    norm, frozen = nn.BatchNorm2d(2), nn.BatchNorm2d(2).eval()
    monkeypatch.setattr(distributed.distributed, "all_reduce", lambda x: x.add_(3.0))
    Team(0, 2).average(nn.Sequential(norm, frozen))
    assert norm.running_mean.tolist() == [1.5, 1.5] and norm.running_var.tolist() == [2.0, 2.0]
    assert not frozen.running_mean.any() and (frozen.running_var == 1).all()


class Drawing(nn.Linear):
    """A layer that draws as dropout does, and notes what it drew."""

    def __init__(self) -> None:
        super().__init__(4, 2)
        self.draws: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.draws.append(torch.rand(()).item())
        return super().forward(x.mean((2, 3)).repeat(1, 4))


def test_every_process_draws_for_itself_in_each_epoch_whatever_was_drawn_before(monkeypatch):
    monkeypatch.setattr(nn.parallel, "DistributedDataParallel", lambda network, **_: network)
    monkeypatch.setattr(distributed.distributed, "all_reduce", lambda x: x)
    split = torch.zeros(8, 1, 2, 2, dtype=torch.uint8), torch.zeros(8, dtype=torch.int64)
    recipe = Recipe.of(TRAINING, {"epochs": 2, "batch_size": 8, "schedule": "constant"})

    def drawn(rank: int, before: int) -> list[float]:
        network = Drawing()
        torch.manual_seed(before)
        generator = torch.Generator().manual_seed(5)
        loop.fit(network, split, split, recipe, generator, CPU, team=Team(rank, 2))
        return network.draws

    first, again, second = drawn(0, 1), drawn(0, 2), drawn(1, 1)
    assert first == again and len({*first, *second}) == 4


# Real processes

SPEC = {"name": "small_resnet", "classes": 4, "channels": 3, "widths": [4, 8]}
SETTINGS = {
    "epochs": 3,
    "batch_size": 13,
    "learning_rate": 0.05,
    "label_smoothing": 0.1,
    "weight_decay": 0.01,
    "clip_norm": 1.0,
    "flip": True,
    "erase": 2,
}

JOB = """
import json, logging, os, runpy, sys
os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, SCRIPTS)
import job
logging.basicConfig(level=logging.INFO, format="%(message)s")
from laq.utils.errors import LaqError
train_network = runpy.run_path(SCRIPTS + "/train_network.py")["train_network"]
settings = json.loads(sys.argv[1])
try:
    train_network(
        "train.npz", "test.npz", "classes.json", [], "original.safetensors", "training.csv",
        "small", json.loads(sys.argv[2]), None, settings, 0, "cpu", {},
    )
except LaqError as error:
    print(type(error).__name__, error, file=sys.stderr)
    sys.exit(3)
"""


# Without BatchNorm, so that two processes can make what one makes; and with it.
VIT = {"name": "small_vit", "patch": 2, "convolutions": [], "width": 8, "depth": 1}
RESNET = {"name": "small_resnet", "widths": [4, 8]}


def folder(path: Path, n: int = 40) -> Path:
    """A folder with a small data set and the job that trains on it."""
    path.mkdir()
    generator = np.random.default_rng(0)
    for name, count in (("train", n), ("test", 15)):
        labels = np.arange(count) % 4
        images = generator.integers(0, 128, (count, 3, 8, 8)).astype(np.uint8)
        images[np.arange(count), :, 2 * labels] += 100
        np.savez(path / f"{name}.npz", images=images, labels=labels.astype(np.int64))
    (path / "classes.json").write_text(json.dumps(list("abcd")))
    (path / "job.py").write_text(JOB.replace("SCRIPTS", repr(str(SCRIPTS))))
    return path


def start(path: Path, network: dict = RESNET, **changes) -> subprocess.Popen:
    command = [sys.executable, "job.py", json.dumps(SETTINGS | changes), json.dumps(network)]
    return subprocess.Popen(command, cwd=path, stderr=subprocess.PIPE, text=True)


def finish(job: subprocess.Popen, code: int = 0) -> str:
    """Wait for a job; what it said."""
    said = job.communicate(timeout=300)[1]
    assert job.returncode == code, said
    return said


def left(path: Path) -> set[str]:
    """What a job left beside what it was given."""
    given = {"train.npz", "test.npz", "classes.json", "job.py"}
    return {entry.name for entry in path.iterdir()} - given


MADE = {"original.safetensors", "training.csv"}


def test_two_processes_make_what_one_makes(tmp_path):
    # 40 images in batches of 13, 13 and 14 (the lone last one joins): odd, and parted unequally.
    alone, path = folder(tmp_path / "one"), folder(tmp_path / "two")
    finish(start(alone, VIT))
    said = finish(start(path, VIT, processes=2))
    assert left(path) == MADE
    one, two = (load_file(p / "original.safetensors") for p in (alone, path))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda m: name + m)  # noqa: B023
    rows = [np.loadtxt(p / "training.csv", delimiter=",", skiprows=1) for p in (alone, path)]
    np.testing.assert_allclose(rows[1], rows[0], rtol=1e-4)
    # Told once, by the first process.
    assert said.count("epoch 3/3: loss") == 1


def test_what_the_user_can_mend_is_told_by_the_job(tmp_path):
    path = folder(tmp_path / "diverges")
    said = finish(start(path, processes=2, learning_rate=1e30, clip_norm=0.0), 3)
    last = said.strip().splitlines()[-1]
    assert last.startswith("DataError training diverged in epoch 1") and "learning_rate" in last
    assert "Traceback" not in said
    assert left(path) == set()


def wait_for(what, job: subprocess.Popen, seconds: float = 120):
    """What ``what`` gives once it gives anything, while the job runs."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert job.poll() is None and time.monotonic() < deadline, job.stderr.read()
        time.sleep(0.005)
    return found


LONG = {"epochs": 24, "clip_norm": 0.0}


@pytest.mark.long
def test_a_job_that_loses_a_worker_and_is_then_killed_goes_on_to_the_same_bytes(tmp_path):
    undisturbed, path = (folder(tmp_path / name) for name in ("whole", "killed"))
    finish(start(undisturbed, processes=2, **LONG))
    state = path / ".original.state"

    job = start(path, processes=2, **LONG)
    wait_for(state.exists, job)
    workers = psutil.Process(job.pid).children()
    assert len(workers) == 2
    next(worker for worker in workers if worker.environ()["RANK"] == "1").kill()
    said = finish(job, 3)
    last = said.strip().splitlines()[-1]
    assert last.startswith("ProcessError process 1 of") and "was ended by SIGKILL" in last
    assert "fewer processes" in last and "goes on from" in last
    assert not any(worker.is_running() for worker in workers)
    assert left(path) == {state.name}

    before = state.stat().st_mtime_ns
    job = start(path, processes=2, **LONG)
    wait_for(lambda: state.stat().st_mtime_ns != before, job)
    workers = psutil.Process(job.pid).children()
    job.kill()
    said = job.communicate()[1]
    assert "going on after epoch" in said and "epoch 1/24" not in said
    assert left(path) <= {state.name, ".original.processes"}
    # Nobody is left to take their result, nor to write a state beside the next run's.
    assert psutil.wait_procs(workers, timeout=60)[1] == []

    said = finish(start(path, processes=2, **LONG))
    assert "going on after epoch" in said and "epoch 1/24" not in said
    assert left(path) == MADE
    for name in MADE:
        assert (path / name).read_bytes() == (undisturbed / name).read_bytes(), name


def arguments(**settings) -> tuple:
    recipe = Recipe.of(TRAINING, settings)
    split = torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
    return nn.Linear(1, 1), split, split, recipe, torch.Generator()


def test_a_training_that_is_told_to_end_says_so(monkeypatch, tmp_path):
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException

    def ended(_):
        raise SignalException("", signal.SIGTERM)

    monkeypatch.setattr(torchrun, "run", ended)
    with pytest.raises(ProcessError, match=r"ended from outside \(SIGTERM\): run again"):
        launch.run(tmp_path, 2, "no.module")


def test_more_processes_than_gpus_are_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="4 need as many GPUs, and torch sees 2; set processes"):
        launch.fit(*arguments(processes=4), torch.device("cuda"), None, SPEC)


def test_processes_need_to_know_how_to_build_the_network():
    with pytest.raises(ValueError, match="give its spec"):
        launch.fit(*arguments(processes=2), torch.device("cpu"), None, None)


def test_fewer_images_than_processes_need_are_refused_with_the_remedy():
    network, split, *others = arguments(processes=2)
    few = tuple(tensor[:3] for tensor in split)
    with pytest.raises(DataError, match=r"3 training images are too few for 2 processes.*lower"):
        launch.fit(network, few, *others, torch.device("cpu"), None, {})
