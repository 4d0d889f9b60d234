"""The arms of a job, one after another: made, written, weighed, read back and tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from laq import data
from laq.checkpoints import inference, lineage, packing
from laq.data import Dataset
from laq.experiments.evaluation import score
from laq.experiments.partial import cost, selection, tensors, traffic, updates
from laq.experiments.partial.arms import ALL, Arm, controls, drawn
from laq.experiments.partial.control import make as train_control
from laq.experiments.trial_cache import Kept
from laq.experiments.variants import compressed, quantized
from laq.experiments.variants.task import MadeVariant, Task
from laq.models.networks import predict
from laq.training import resume
from laq.training.exchange import FLOAT
from laq.training.recipe import of_training
from laq.utils import disks, seeds

# Functions that make the network of an arm, by its method.
MAKERS: dict[str, Callable[[Task], MadeVariant]] = {
    "float": train_control,
    "qat": quantized.make,
    "compress": compressed.make,
}

# Test images of a training's history, which nothing of the study reads.
_WATCHED = 64
# Steps that are timed.
_STEPS = 3


@dataclass(eq=False)
class PartialResults:
    """What is known of arms: rows of the table, of times, and of tensors."""

    rows: list[dict[str, Any]]
    seconds: list[dict[str, Any]]
    tensors: list[dict[str, Any]]


@dataclass(eq=False)
class PartialRunner:
    """The arms of the network in ``parent``, which ``described`` is of.

    subsets: members of each, by id. images: of a training's pass. train, test: of all classes.
    training: settings of every arm's training. memory: that quantizing keeps activations in, in
    bytes. place: folder in which networks are written, weighed and removed again. job: what tells
    this job from others in that folder.
    """

    network: str
    parent: str
    described: Mapping[str, Any]
    train: Dataset
    test: Dataset
    subsets: Mapping[str, list[int]]
    images: int | None
    training: Mapping[str, Any]
    seed: int
    memory: int
    device: torch.device
    place: Path
    job: str
    _controls: dict[tuple[int, str], tuple[nn.Module, Mapping[str, Any]]] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        self.original = packing.load(self.parent)
        self.layers = selection.layers_of(self.original, torch.from_numpy(self.train.images[:1]))

    @property
    def arrays(self) -> list[np.ndarray]:
        """All images and labels."""
        return [each for split in (self.train, self.test) for each in (split.images, split.labels)]

    def facts(self, arms: Sequence[Arm]) -> dict[str, Any]:
        """All that the result of an arm depends on, beside images and what the arm is.

        It imports what makes ``arms``, so that this code is known, and counts.
        """
        for method in {arm.method for arm in arms}:
            MAKERS[method]
        own = (self.described["digest"], self.subsets, self.images, self.training, self.seed)
        return {"network": self.network, "of": own, "device": self.device.type}

    def run(self, arms: Sequence[Arm], kept: Kept) -> PartialResults:
        """Measure ``arms``, but for those that are kept from before the job was killed."""
        whole = PartialResults([], [], [])
        for arm in tqdm(arms, desc="arms"):
            own = asdict(arm)
            found = kept.find(own)
            if found is None:
                found = vars(self.measure(arm))
                kept.keep(own, found)
            for name, rows in found.items():
                getattr(whole, name).extend(rows)
        # Of one layer at a time a step costs about the same.
        weighed = [arm for arm in arms if _first(arm) and arm.position != "single"]
        costs = dict(zip(map(repr, weighed), self._costs(weighed), strict=True))
        for arm, row in zip(arms, whole.seconds, strict=True):
            row.update(costs.get(repr(arm), dict.fromkeys(("step_seconds", "step_memory"))))
        return whole

    def measure(self, arm: Arm) -> PartialResults:
        """Make the arm and measure it. Raises what its training and its quantizer raise."""
        began = perf_counter()
        state = resume.beside(self.place / f"{self.job}.arm")
        made = self.make(arm, state)
        ready = perf_counter()
        network, weight, _ = self._stored(made)
        in_float, in_codes = updates.sizes(
            self.original.state_dict(), made.state, made.packed, self.place
        )
        own = {
            "network": self.network,
            **arm.columns,
            **_bits(made, arm),
            **selection.described(arm.choice, self.layers),
            "repeat": arm.repeat,
            "classes": arm.classes,
        }
        weights = {
            "bytes": weight,
            "update_bytes_float": in_float.bytes,
            "update_bytes": in_codes.bytes,
            **self._step_bytes(arm),
        }
        rows = [{**own, **counted, **weights} for counted in self._scores(network, arm)]
        seconds = {
            **{
                key: own[key] for key in ("network", *arm.columns, "bits", "k", "repeat", "classes")
            },
            "make": ready - began,
            "measure": perf_counter() - ready,
        }
        resume.clear(state)
        return PartialResults(rows, [seconds], self._told(arm, made, network))

    def make(self, arm: Arm, state: Path | None = None) -> MadeVariant:
        """The arm's network; ``state``: file that an interrupted training goes on from."""
        return MAKERS[arm.method](self.task(arm, state))

    def task(self, arm: Arm, state: Path | None = None) -> Task:
        members = self._members(arm.classes)
        train, test = (data.only(each, members) for each in (self.train, self.test))
        network, described = self.original, self.described
        if arm.method == "compress":
            network, described = self.control(arm)
            train = self.train
        else:
            seed = seeds.of_repeat(self.seed, arm.repeat)
            train = drawn(train, self.images, seed, *members)
        return Task(
            network=network,
            described=described,
            name=arm.choice.label,
            recipe=arm.recipe,
            members=members,
            taken=members,
            train=train,
            test=Dataset(test.images[:_WATCHED], test.labels[:_WATCHED], test.classes),
            seed=self.seed,
            repeat=arm.repeat,
            memory=self.memory,
            device=self.device,
            state=state,
        )

    def control(self, arm: Arm) -> tuple[nn.Module, Mapping[str, Any]]:
        """The control of the same seed and classes, made once, and what its file says of it."""
        place = arm.repeat, arm.classes
        if place not in self._controls:
            own = next(
                each
                for each in controls(
                    {"training": self.training, "repeats": arm.repeat}, [*self.subsets]
                )
                if (each.repeat, each.classes) == place
            )
            network, _, described = self._stored(self.make(own))
            self._controls[place] = network.to(self.device), described
        return self._controls[place]

    def _stored(self, made: MadeVariant) -> tuple[nn.Module, int, Mapping[str, Any]]:
        """Write a network and read it back: with its bytes on the disk, and its description."""
        with disks.folder(self.place, ".arm") as folder:
            path = folder / "network.safetensors"
            packing.save(path, made.state, made.description, made.packed)
            return inference.load(path), path.stat().st_size, lineage.describe(path)

    def _members(self, classes: str) -> list[int]:
        return list(range(len(self.train.classes))) if classes == ALL else self.subsets[classes]

    def _scores(self, network: nn.Module, arm: Arm) -> list[dict[str, Any]]:
        """Counts on the test images of the arm's own classes, and of every subset where these are
        all."""
        tested = [ALL, *self.subsets] if arm.classes == ALL else [arm.classes]
        shown = data.only(self.test, self._members(tested[0]))
        logits = predict(network, torch.from_numpy(shown.images), self.device)
        labels = torch.from_numpy(shown.labels)
        found = []
        for name in tested:
            members = torch.tensor(self._members(name))
            own = torch.isin(labels, members)
            for each in score(logits[own], labels[own], members.tolist()):
                if name == ALL and each.scope != ALL:
                    continue  # the same numbers again
                counts = {key: getattr(each, key) for key in ("scope", "n", "correct", "top1")}
                found.append({"tested": name, **counts})
        return found

    def _step_bytes(self, arm: Arm) -> dict[str, int]:
        """Bytes that each of two processes sends in a step, gradients in float and in codes."""
        asked = [
            tensors.weighed(self.described, arm, self.training, each)
            for each in tensors.gradient_bits(arm)
        ]
        sent = (traffic.computed(each).sent for each in asked)
        return dict(zip(("step_bytes_float", "step_bytes"), map(round, sent), strict=True))

    def _costs(self, arms: Sequence[Arm]) -> list[dict[str, Any]]:
        """Seconds and memory of a step of each arm, a row for each."""
        batch = torch.from_numpy(self.train.images[: self.training["batch_size"]])
        recipe = of_training(self.training)
        asked = [tensors.weighed(self.described, arm, self.training) for arm in arms]
        found = cost.measured(asked, batch, self.device, recipe, _STEPS)
        return [{"step_seconds": one.seconds, "step_memory": one.memory} for one in found]

    def _told(self, arm: Arm, made: MadeVariant, network: nn.Module) -> list[dict[str, Any]]:
        """What became of every tensor. It is the same for every seed: told of the first alone."""
        if not _first(arm):
            return []
        bits = {
            name: sum(w.codes.numel() * w.grid.bits for w in runs) / made.state[name].numel()
            for name, runs in made.packed.items()
        }
        place = {"network": self.network, **arm.columns, **_bits(made, arm), "k": arm.choice.k}
        batchnorm = self.training["batchnorm"]
        rows = tensors.rows(network, bits, arm.words(self.layers), self.layers.others, batchnorm)
        held = {name: tensor.nbytes for name, tensor in network.state_dict().items()}
        held |= {name: sum(w.nbytes for w in runs) for name, runs in made.packed.items()}
        return [{**place, **row, "bytes": held.get(row["tensor"])} for row in rows]


def _first(arm: Arm) -> bool:
    """Whether it stands for those of other seeds and classes."""
    return arm.repeat == 1 and arm.classes == ALL


def _bits(made: MadeVariant, arm: Arm) -> dict[str, Any]:
    """Bits of the quantized weights, in the mean over them, and of these layers' inputs; 32 where
    there are none."""
    runs = [run for runs in made.packed.values() for run in runs]
    count = sum(run.codes.numel() for run in runs)
    mean = sum(run.codes.numel() * run.grid.bits for run in runs) / count if count else FLOAT
    inputs = arm.recipe.get(arm.method, {}).get("activations")
    return {"bits": mean, "input_bits": inputs["bits"] if inputs else FLOAT}
