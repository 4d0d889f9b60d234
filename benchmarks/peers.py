"""The same network, images and bits through other tools: accuracy, agreement, bytes, time, memory.

    python benchmarks/peers.py NAME NETWORK.safetensors DATASET --csv docs/findings/peers.csv
    python benchmarks/peers.py lite0 WEIGHTS.pth PHOTOGRAPHS --csv docs/findings/peers.csv

None of the tools is a dependency of this project. To have them for this alone, in an environment
that sees this project's packages beside its own:

    python -m venv benchmarks/results/peers
    echo "$(python -c 'import site; print(site.getsitepackages()[0])')" \\
        > $(ls -d benchmarks/results/peers/lib/python*/site-packages)/shared.pth
    benchmarks/results/peers/bin/pip install --no-deps brevitas==0.13.4 dependencies==2.0.1 \\
        unfoldNd==0.2.3 accelerate==1.15.0 torchao==0.18.0 nncf==3.4.0 rich==15.0.0 \\
        neural_compressor==3.10 prettytable==3.18.0 wcwidth==0.9.4 \\
        py-cpuinfo==9.0.0

and run the program with ``benchmarks/results/peers/bin/python``.

DATASET is a study's ``dataset`` folder, with ``train.npz``, from which calibration images are
drawn, and ``test.npz``. PHOTOGRAPHS are as for ``benchmarks/pretrained.py``, and have no labels.
Every tool is given the same calibration images, and is measured on the same held-out ones.

A row is measured in a process of its own. ``seconds`` are those that a core worked for its calls,
imports left out. ``megabytes`` is what its memory grew by at most meanwhile. ``weight_share`` is
the share of weights of convolutions and linear layers that are quantized, ``mean_bits`` the mean
over all of these with float ones at 32. ``bytes`` are of what the tool saves by itself. Rows are
added to the CSV file; those that it has are not measured again. What fails leaves its message in
``error``.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import multiprocessing
import resource
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import peer_tools
import pretrained
from peer_tools import Recipe, Task

import laq
from laq.analysis.statistics.rates import wilson_interval
from laq.checkpoints import packing
from laq.models.networks import predict
from laq.utils import seeds

COLUMNS = (
    *("network", "tool", "version", "method", "bits", "input_bits", "weight_share", "mean_bits"),
    *("calibration", "n", "top1", "low", "high", "agreement", "logit_error", "bytes", "seconds"),
    *("megabytes", "lines", "error"),
)
KEY = ("network", "tool", "method", "bits", "input_bits")
FORKED = multiprocessing.get_context("fork")


def of_study(path: Path, folder: Path, count: int, tested: int) -> tuple[Task, Tensor, Tensor]:
    """The task, held-out images and their labels, of a checkpoint and its study's data set."""
    images, labels = [], []
    for part, number in (("train", count), ("test", tested)):
        with np.load(folder / f"{part}.npz") as data:
            drawn = np.sort(seeds.stream(0, "peers").permutation(len(data["labels"]))[:number])
            images.append(torch.from_numpy(data["images"][drawn]))
            labels.append(torch.from_numpy(data["labels"][drawn]))
    found = packing.describe(path)
    described = {"network": found["network"], "images": found["images"], "bits": 32}
    return Task(laq.load(path), images[0], described), images[1], labels[1]


def of_photographs(path: Path, folder: Path, count: int) -> tuple[Task, Tensor, None]:
    """The same of published weights and photographs without labels."""
    network, described = pretrained.load(path)
    images = pretrained.photographs(folder, described["network"]["side"], count)
    shown, calibrating = images[: pretrained.HELD_OUT], images[pretrained.HELD_OUT :]
    return Task(network.eval(), calibrating, described), shown, None


def measured(logits: Tensor, reference: Tensor, labels: Tensor | None) -> dict[str, Any]:
    """Top-1 with its interval where there are labels, and distances from the float network."""
    found: dict[str, Any] = {"n": len(logits), **pretrained.measured(logits, reference)}
    if labels is not None:
        correct = int((logits.argmax(1) == labels).sum())
        low, high = wilson_interval(correct, len(labels), 0.95)
        found["top1"] = round(correct / len(labels), 4)
        found |= {"low": round(float(low), 4), "high": round(float(high), 4)}
    return found


def own_version() -> str:
    """Of this project, which need not be installed."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def peak() -> int:
    """Bytes of memory that this process had at most."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def row(recipe: Recipe, task: Task, shown: Tensor, reference: Tensor, labels: Any) -> dict:
    """Quantize, save and measure; what fails leaves its message instead."""
    try:
        before, start = peak(), time.process_time()
        made = recipe.make(task)
        found = {"seconds": round(time.process_time() - start, 1)}
        found["megabytes"] = round((peak() - before) / 1e6)
        total = sum(made.weights.values())
        found["weight_share"] = round(1 - made.weights.get(32, 0) / total, 4)
        found["mean_bits"] = round(sum(b * n for b, n in made.weights.items()) / total, 2)
        with tempfile.TemporaryDirectory() as folder:
            made.save(Path(folder, "saved"))
            found["bytes"] = Path(folder, "saved").stat().st_size
        return {**found, **measured(made.logits(shown), reference, labels)}
    except Exception as error:
        traceback.print_exc()
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return {"error": text[:200]}


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What ``function`` gives in a copy of this process; an error where that ends early."""
    receiver, sender = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=lambda: sender.send(function(*arguments)))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        return {"error": f"the process ended with code {process.exitcode}"}
    finally:
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of the network in the table")
    parser.add_argument("network", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--calibration", type=int, default=256)
    parser.add_argument("--tested", type=int, default=2000)
    parser.add_argument("--tools", nargs="*", default=list(peer_tools.IMPORTS))
    parser.add_argument("--bits", type=int, nargs="*", default=[32, *peer_tools.BITS])
    parser.add_argument("--without", nargs="*", default=[], help="methods to leave out")
    chosen = parser.parse_args()
    torch.set_num_threads(1)

    if chosen.network.suffix == ".pth":
        case = of_photographs(chosen.network, chosen.images, chosen.calibration)
    else:
        case = of_study(chosen.network, chosen.images, chosen.calibration, chosen.tested)
    task, shown, labels = case
    reference = predict(task.network, shown, torch.device("cpu"))
    if not chosen.csv.exists():
        chosen.csv.parent.mkdir(parents=True, exist_ok=True)
        chosen.csv.write_text(",".join(COLUMNS) + "\n")

    def missing(tool: str) -> list[Recipe]:
        """Recipes of a tool that are asked for and have no row."""
        with chosen.csv.open(newline="") as file:
            done = {tuple(r[name] for name in KEY) for r in csv.DictReader(file)}
        return [
            recipe
            for recipe in peer_tools.recipes()
            if recipe.tool == tool and recipe.bits in chosen.bits
            if not recipe.method.startswith(tuple(chosen.without))
            if (chosen.name, *recipe.key) not in done
        ]

    def measure(tool: str) -> None:
        """Rows of one tool, in a process that has loaded it."""
        distribution, modules = peer_tools.IMPORTS[tool]
        problem = {}
        try:
            version = metadata.version(distribution) if distribution else own_version()
            for module in modules:
                importlib.import_module(module)
        except Exception as error:
            version, problem = "", {"error": f"{type(error).__name__}: {error}"[:200]}
        # Asked for again before each row: another run may have added it.
        while wanted := missing(tool):
            recipe = wanted[0]
            found = problem or apart(row, recipe, task, shown, reference, labels)
            facts = dict(zip(KEY, (chosen.name, *recipe.key), strict=True))
            facts |= {"version": version, "calibration": len(task.images), "lines": recipe.lines}
            facts |= found
            with chosen.csv.open("a", newline="") as file:
                csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(facts)
            print(*facts.values(), flush=True)

    for tool in chosen.tools:
        if missing(tool):
            apart(measure, tool)


if __name__ == "__main__":
    main()
