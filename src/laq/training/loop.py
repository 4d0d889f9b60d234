"""Epochs and steps of a training, in one process or as one of several."""

from __future__ import annotations

import logging
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from laq.models.networks import predict, to_fastest_layout, to_input
from laq.training import optimizers, schedules
from laq.training.augmentation import Augmentation
from laq.training.constraints import Constraint, Progress
from laq.training.distributed import Team
from laq.training.exchange import FLOAT, Exchange
from laq.training.recipe import Recipe
from laq.training.resume import Keeper
from laq.utils import devices
from laq.utils.errors import ConfigError, DataError

# Mixed precision: products in 16 bits, the rest in float32 (Micikevicius et al. 2018).


def check(precision: str, device: torch.device) -> None:
    """Raise ``ConfigError`` where the device cannot train in this precision."""
    if precision == "float16" and device.type == "cpu":
        raise ConfigError(
            "precision: float16 needs a GPU, and the network is trained on the CPU; set bfloat16 "
            "or float32 (config key networks or variants)"
        )
    if precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError(
            "precision: this GPU has no bfloat16; set float16 or float32 (config key networks or "
            "variants)"
        )


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of a forward pass."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))


def scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Keeps small gradients from vanishing in float16; without effect in the other precisions."""
    return torch.amp.GradScaler(device.type, enabled=precision == "float16")


logger = logging.getLogger(__name__)

# Images, uint8 (n, c, h, w), and their labels, int64 (n,).
Split = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Epoch:
    """One row of the training history.

    learning_rate: of the epoch's last step. train_loss: mean cross-entropy in nats, with label
    smoothing where that is set and without a constraint's penalty. train_loss and train_top1 are
    taken while the network learns, in training mode and on augmented images. test_top1: after the
    epoch, in evaluation mode, float32.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_top1: float
    test_top1: float


def fit(
    network: nn.Module,
    train_split: Split,
    test_split: Split,
    recipe: Recipe,
    generator: torch.Generator,
    device: torch.device,
    keeper: Keeper | None = None,
    team: Team | None = None,
    constraint: Constraint | None = None,
) -> list[dict[str, Any]]:
    """Train ``network`` in place; arguments, result and errors as of ``laq.training.train``.

    ``keeper``: has the state of an interrupted training. ``team``: the processes that share every
    batch. Each gets the same arguments and ends with the same network.
    """
    team, constraint = team or Team(), constraint or Constraint()
    # Images stay uint8 on the device: a quarter of the memory, and no transfer in each step.
    images, labels = train_split[0].to(device), train_split[1].to(device)
    layout = to_fastest_layout(network.to(device), to_input(images[:1], device))
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    augmentation = Augmentation(recipe, generator)
    steps = len(batches(torch.arange(len(images)), recipe.batch_size, team.size))
    state = State(network, recipe, steps, generator, device, constraint)
    if keeper is not None:
        state.restore(keeper.load(team))
    exchange = None
    if recipe.gradient_bits < FLOAT:
        parameters, seed = constraint.coded(network), generator.initial_seed()
        completed = state.progress.done
        exchange = Exchange(team.rank, team.size, recipe.gradient_bits, parameters, seed, completed)
    parallel = team.prepare(network, exchange)
    for epoch in range(len(state.history) + 1, recipe.epochs + 1):
        network.train()
        constraint.begin_epoch(network)
        if team.size > 1:
            # Dropout draws in each process for itself, after a resume as without it.
            devices.seed_everything(generator.initial_seed(), "noise", team.rank, epoch)
        order = torch.randperm(len(images), generator=generator).to(device)
        loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        correct = torch.zeros((), dtype=torch.int64, device=device)
        title, quiet = f"epoch {epoch}/{recipe.epochs}", team.rank > 0
        plan = batches(order, recipe.batch_size, team.size)
        for batch in tqdm(plan, title, mininterval=2, disable=quiet):
            share = team.part(len(batch))
            local_batch = batch[share]
            inputs = to_input(augmentation(images[local_batch], len(batch), share), device, layout)
            with autocast(recipe.precision, device):
                logits = parallel(inputs)
            logits = logits.float()
            loss = criterion(logits, labels[local_batch])
            # Gradients are averaged over processes: this factor makes it the mean over the batch.
            state.step(loss * (len(local_batch) * team.size / len(batch)))
            loss_sum += loss.detach().double() * len(local_batch)
            correct += (logits.detach().argmax(1) == labels[local_batch]).sum()
        team.average(network)
        row = _row(epoch, state, team, loss_sum, correct, len(images), test_split, device)
        logger.info(
            "epoch %d/%d: loss %.3f, train top-1 %.3f, test top-1 %.3f",
            epoch,
            recipe.epochs,
            row.train_loss,
            row.train_top1,
            row.test_top1,
        )
        state.history.append(asdict(row))
        if keeper is not None and epoch < recipe.epochs and team.rank == 0:
            keeper.save(state.content)
    network.to("cpu", memory_format=torch.contiguous_format).eval()
    return state.history


def untrained(network: nn.Module, test_split: Split, device: torch.device) -> list[dict[str, Any]]:
    """The history of a network that is taken as it is: epoch 0 alone, with its accuracy.

    Raises ``DataError`` if its outputs are not finite.
    """
    logits = predict(network, test_split[0], device)
    if not torch.isfinite(logits).all():
        raise DataError("the network's outputs are not finite: take other weights")
    network.to("cpu")
    top1 = (logits.argmax(1) == test_split[1]).double().mean().item()
    logger.info("taken as it is: test top-1 %.3f", top1)
    return [asdict(Epoch(0, math.nan, math.nan, math.nan, top1))]


class State:
    """All that a training goes on from. ``restore`` takes what ``content`` gave."""

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        steps: int,
        generator: torch.Generator,
        device: torch.device,
        constraint: Constraint,
    ) -> None:
        self.network, self.recipe, self.constraint = network, recipe, constraint
        self.generator, self.device = generator, device
        self.steps = recipe.epochs * steps
        self.optimizer = optimizers.create(network, recipe, constraint.groups(network))
        self.schedule = schedules.create(self.optimizer, recipe, steps)
        self.scaler = scaler(recipe.precision, device)
        self.learning_rate = 0.0  # of the last step
        self.history: list[dict[str, Any]] = []

    @property
    def progress(self) -> Progress:
        return Progress(self.schedule.last_epoch, self.steps)

    def step(self, loss: Tensor) -> None:
        """One step of all parameters against the gradients of ``loss`` and of the penalty."""
        self.optimizer.zero_grad(set_to_none=True)
        penalty = self.constraint.penalty(self.network, self.progress)
        if penalty is not None:
            loss = loss + penalty
        self.scaler.scale(loss).backward()
        if self.recipe.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.learning_rate = self.optimizer.param_groups[0]["lr"]
        self.schedule.step()
        with torch.no_grad():
            self.constraint.after_step(self.network, self.progress)

    def content(self) -> dict[str, Any]:
        """Tensors, numbers, strings, lists and mappings of these: nothing that needs unpickling."""
        on_gpu = self.device.type == "cuda"
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "history": self.history,
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.device) if on_gpu else None,
        }

    def restore(self, content: dict[str, Any] | None) -> None:
        if content is None:
            return
        for name in ("network", "optimizer", "schedule", "scaler"):
            getattr(self, name).load_state_dict(content[name])
        self.history = content["history"]
        self.generator.set_state(content["generator"])
        torch.set_rng_state(content["torch"])
        if content["cuda"] is not None:
            torch.cuda.set_rng_state(content["cuda"], self.device)


def batches(order: Tensor, size: int, processes: int = 1) -> list[Tensor]:
    """``order`` in batches of ``size``; a last one of too few images joins the batch before it.

    Each of ``processes`` gets two images or more: BatchNorm has no variance over one value a
    channel. So no image is left out.
    """
    chunks = list(order.split(size))
    if len(chunks) > 1 and len(chunks[-1]) < 2 * processes:
        chunks[-2:] = [torch.cat(chunks[-2:])]
    return chunks


def _row(
    epoch: int,
    state: State,
    team: Team,
    loss_sum: Tensor,
    correct: Tensor,
    count: int,
    test_split: Split,
    device: torch.device,
) -> Epoch:
    """The epoch's row, over all processes. Raises ``DataError`` where the training diverged."""
    images, labels = (tensor[team.part(len(tensor))] for tensor in test_split)
    logits = predict(state.network, images, device)
    hits = (logits.argmax(1) == labels).sum()
    broken = ~(torch.isfinite(loss_sum).cpu() & torch.isfinite(logits).all())
    sums = torch.stack([value.double().cpu() for value in (loss_sum, correct, hits, broken)])
    loss, train_correct, test_correct, faults = team.total(sums.to(device)).tolist()
    if faults:
        raise DataError(
            f"training diverged in epoch {epoch}: the loss or the outputs are not finite; "
            "lower learning_rate (config key networks or variants) and run again"
        )
    return Epoch(
        epoch,
        state.learning_rate,
        loss / count,
        train_correct / count,
        test_correct / len(test_split[1]),
    )
