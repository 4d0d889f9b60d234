"""Seconds and memory of a training step, so that arms can be compared.

Memory is what torch allocates for tensors, not what the process takes. The interpreter and the
libraries, some hundred MB, are the same for every arm. What the system's allocator keeps depends on
what ran before. On the CPU the profiler reports every allocation, so that the peak is the same each
time; scratch memory that oneDNN allocates itself is not in it. On CUDA it is the peak of torch's
own allocator.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from laq.experiments.partial.traffic import TrafficArm, built
from laq.models.networks import safe_kernels, to_fastest_layout, to_input
from laq.qat import grid, inputs
from laq.training import FINETUNING, loop
from laq.training.loop import State
from laq.training.recipe import Recipe

# Steps before those that are timed: compilers and caches, the optimizer's state.
_WARM = 2


@dataclass(frozen=True)
class StepCost:
    """Of a step with forward and backward pass and optimizer.

    seconds: the median over steps. fastest: the least over steps. memory: the most bytes of tensors
    at a time, with the parameters, their gradients and the optimizer's state.
    """

    seconds: float
    fastest: float
    memory: int


def measured(
    arms: Sequence[TrafficArm],
    images: Tensor,
    device: torch.device,
    settings: dict[str, Any] | None = None,
    steps: int = 10,
) -> list[StepCost]:
    """The cost of a step of each arm, in one process, on a batch ``images``, uint8 (n, c, h, w).

    settings: fields of ``Recipe`` (``optimizer``, ``precision``); other fields are those of
    fine-tuning. Arms take their steps in turn, so that a slow machine slows all of them.
    """
    recipe = Recipe.of(FINETUNING, {**(settings or {}), "epochs": 1, "schedule": "constant"})
    trainings = [_Training(arm, images, device, recipe, _WARM + steps) for arm in arms]
    memory = [training.held + peak(training.begin, device) for training in trainings]
    seconds: list[list[float]] = [[] for _ in arms]
    for _ in range(steps):
        for training, times in zip(trainings, seconds, strict=True):
            _synchronize(device)
            start = time.perf_counter()
            training.step()
            _synchronize(device)
            times.append(time.perf_counter() - start)
    return [
        StepCost(statistics.median(times), min(times), peak_memory)
        for times, peak_memory in zip(seconds, memory, strict=True)
    ]


class _Training:
    """An arm's network and its steps on one batch."""

    def __init__(
        self, arm: TrafficArm, images: Tensor, device: torch.device, recipe: Recipe, steps: int
    ) -> None:
        torch.manual_seed(0)
        network, self.constraint = built(arm)
        grid.fit(network)
        if any(True for _ in inputs.attached(network)):
            inputs.calibrate(network, to_input(images))
        self.network = network.to(device)
        self.layout = to_fastest_layout(network, to_input(images[:1], device))
        self.images, self.device, self.recipe, self.steps = images, device, recipe, steps
        self.network.train()
        self.constraint.begin_epoch(self.network)

    @property
    def held(self) -> int:
        """Bytes of parameters and buffers, those that are shared once."""
        tensors: list[Tensor] = [*self.network.parameters(), *self.network.buffers()]
        storages = {
            tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
            for tensor in tensors
        }
        return sum(storages.values())

    def begin(self) -> None:
        """Make inputs and the training's state, and take the first steps."""
        self.inputs = to_input(self.images, self.device, self.layout)
        self.labels = torch.zeros(len(self.images), dtype=torch.int64, device=self.device)
        self.state = State(
            self.network, self.recipe, self.steps, torch.Generator(), self.device, self.constraint
        )
        for _ in range(_WARM):
            self.step()

    def step(self) -> None:
        with safe_kernels(self.network):
            with loop.autocast(self.recipe.precision, self.device):
                logits = self.network(self.inputs)
            loss = functional.cross_entropy(
                logits.float(), self.labels, label_smoothing=self.recipe.label_smoothing
            )
            self.state.step(loss)


def peak(work: Callable[[], None], device: torch.device) -> int:
    """The most bytes of tensors that ``work`` allocates at a time, beside those before it."""
    if device.type == "cuda":
        _synchronize(device)
        baseline = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device) - baseline
    from torch.profiler import ProfilerActivity, profile

    gc.collect()  # older tensors that are freed within the profile would count as negative
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = profiler.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    allocated = maximum = 0
    for _, change in sorted(changes, key=lambda change: change[0]):
        allocated += change
        maximum = max(maximum, allocated)
    return maximum


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
