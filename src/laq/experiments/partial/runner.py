"""The arms of a job, one after another: made, written, measured, read back and tested."""

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
    """Results of arms: rows of the table, of times, and of tensors."""

    rows: list[dict[str, Any]]
    seconds: list[dict[str, Any]]
    tensors: list[dict[str, Any]]


@dataclass(eq=False)
class PartialRunner:
    """The arms of the network in ``parent``, whose description is ``described``.

    subsets: members of each, by id. images: number of images of a training's pass. train, test: of
    all classes. training: settings of every arm's training. memory: bytes in which quantizing keeps
    activations. place: folder in which networks are written, measured and removed again. job: a
    name for this job that no other job in that folder has.
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
        return [
            array for split in (self.train, self.test) for array in (split.images, split.labels)
        ]

    def facts(self) -> dict[str, Any]:
        """All that the result of an arm depends on, beside images and what the arm is."""
        origin = (self.described["digest"], self.subsets, self.images, self.training, self.seed)
        return {"network": self.network, "of": origin, "device": self.device.type}

    def run(self, arms: Sequence[Arm], kept: Kept) -> PartialResults:
        """Measure ``arms``, but for those that are kept from before the job was killed."""
        results = PartialResults([], [], [])
        for arm in tqdm(arms, desc="arms"):
            key = asdict(arm)
            tables = kept.find(key)
            if tables is None:
                tables = vars(self.measure(arm))
                kept.keep(key, tables)
            for name, rows in tables.items():
                getattr(results, name).extend(rows)
        # With one quantized layer a step costs about the same, whichever layer it is.
        timed_arms = [arm for arm in arms if _first(arm) and arm.position != "single"]
        costs = dict(zip(map(repr, timed_arms), self._costs(timed_arms), strict=True))
        for arm, row in zip(arms, results.seconds, strict=True):
            row.update(costs.get(repr(arm), dict.fromkeys(("step_seconds", "step_memory"))))
        return results

    def measure(self, arm: Arm) -> PartialResults:
        """Make the arm and measure it. Raises the errors of its training and its quantizer."""
        start_time = perf_counter()
        state = resume.beside(self.place / f"{self.job}.arm")
        variant = self.make(arm, state)
        made_time = perf_counter()
        network, file_bytes, _ = self._stored(variant)
        float_update, code_update = updates.sizes(
            self.original.state_dict(), variant.state, variant.packed, self.place
        )
        columns = {
            "network": self.network,
            **arm.columns,
            **_bits(variant, arm),
            **selection.described(arm.choice, self.layers),
            "repeat": arm.repeat,
            "classes": arm.classes,
        }
        byte_columns = {
            "bytes": file_bytes,
            "update_bytes_float": float_update.bytes,
            "update_bytes": code_update.bytes,
            **self._step_bytes(arm),
        }
        rows = [{**columns, **counts, **byte_columns} for counts in self._scores(network, arm)]
        seconds = {
            **{
                key: columns[key]
                for key in ("network", *arm.columns, "bits", "k", "repeat", "classes")
            },
            "make": made_time - start_time,
            "measure": perf_counter() - made_time,
        }
        resume.clear(state)
        return PartialResults(rows, [seconds], self._told(arm, variant, network))

    def make(self, arm: Arm, state: Path | None = None) -> MadeVariant:
        """The arm's network; ``state``: file that an interrupted training resumes from."""
        return MAKERS[arm.method](self.task(arm, state))

    def task(self, arm: Arm, state: Path | None = None) -> Task:
        members = self._members(arm.classes)
        train, test = (data.only(split, members) for split in (self.train, self.test))
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
        """The control of the same seed and classes, made once, and its description."""
        key = arm.repeat, arm.classes
        if key not in self._controls:
            control_arm = next(
                candidate
                for candidate in controls(
                    {"training": self.training, "repeats": arm.repeat}, [*self.subsets]
                )
                if (candidate.repeat, candidate.classes) == key
            )
            network, _, described = self._stored(self.make(control_arm))
            self._controls[key] = network.to(self.device), described
        return self._controls[key]

    def _stored(self, made: MadeVariant) -> tuple[nn.Module, int, Mapping[str, Any]]:
        """Write a network and read it back; returns it with its file's bytes and description."""
        with disks.folder(self.place, ".arm") as folder:
            path = folder / "network.safetensors"
            packing.save(path, made.state, made.description, made.packed)
            return inference.load(path), path.stat().st_size, lineage.describe(path)

    def _members(self, classes: str) -> list[int]:
        return list(range(len(self.train.classes))) if classes == ALL else self.subsets[classes]

    def _scores(self, network: nn.Module, arm: Arm) -> list[dict[str, Any]]:
        """Counts on the test images of the arm's own classes, and of every subset too where the
        arm's are all classes."""
        class_sets = [ALL, *self.subsets] if arm.classes == ALL else [arm.classes]
        dataset = data.only(self.test, self._members(class_sets[0]))
        logits = predict(network, torch.from_numpy(dataset.images), self.device)
        labels = torch.from_numpy(dataset.labels)
        rows = []
        for name in class_sets:
            members = torch.tensor(self._members(name))
            mask = torch.isin(labels, members)
            for result in score(logits[mask], labels[mask], members.tolist()):
                if name == ALL and result.scope != ALL:
                    continue  # the same numbers again
                counts = {key: getattr(result, key) for key in ("scope", "n", "correct", "top1")}
                rows.append({"tested": name, **counts})
        return rows

    def _step_bytes(self, arm: Arm) -> dict[str, int]:
        """Bytes that each of two processes sends in a step, gradients in float and in codes."""
        traffic_arms = [
            tensors.weighed(self.described, arm, self.training, bits)
            for bits in tensors.gradient_bits(arm)
        ]
        sent = (traffic.computed(traffic_arm).sent() for traffic_arm in traffic_arms)
        return dict(zip(("step_bytes_float", "step_bytes"), map(round, sent), strict=True))

    def _costs(self, arms: Sequence[Arm]) -> list[dict[str, Any]]:
        """Seconds and memory of a step of each arm, a row for each."""
        batch = torch.from_numpy(self.train.images[: self.training["batch_size"]])
        recipe = of_training(self.training)
        traffic_arms = [tensors.weighed(self.described, arm, self.training) for arm in arms]
        costs = cost.measured(traffic_arms, batch, self.device, recipe, _STEPS)
        return [
            {"step_seconds": step_cost.seconds, "step_memory": step_cost.memory}
            for step_cost in costs
        ]

    def _told(self, arm: Arm, made: MadeVariant, network: nn.Module) -> list[dict[str, Any]]:
        """Rows of every tensor. They are the same for every seed: only the first has them."""
        if not _first(arm):
            return []
        bits = {
            name: sum(w.codes.numel() * w.grid.bits for w in runs) / made.state[name].numel()
            for name, runs in made.packed.items()
        }
        columns = {"network": self.network, **arm.columns, **_bits(made, arm), "k": arm.choice.k}
        batchnorm = self.training["batchnorm"]
        rows = tensors.rows(network, bits, arm.words(self.layers), self.layers.others, batchnorm)
        sizes = {name: tensor.nbytes for name, tensor in network.state_dict().items()}
        sizes |= {name: sum(w.nbytes for w in runs) for name, runs in made.packed.items()}
        return [{**columns, **row, "bytes": sizes.get(row["tensor"])} for row in rows]


def _first(arm: Arm) -> bool:
    """Whether the arm stands for those of other seeds and classes."""
    return arm.repeat == 1 and arm.classes == ALL


def _bits(made: MadeVariant, arm: Arm) -> dict[str, Any]:
    """Mean bits of the quantized weights, and bits of their layers' inputs; 32 without either."""
    runs = [run for runs in made.packed.values() for run in runs]
    count = sum(run.codes.numel() for run in runs)
    mean = sum(run.codes.numel() * run.grid.bits for run in runs) / count if count else FLOAT
    inputs = arm.recipe.get(arm.method, {}).get("activations")
    return {"bits": mean, "input_bits": inputs["bits"] if inputs else FLOAT}
