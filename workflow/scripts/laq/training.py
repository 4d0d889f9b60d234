"""Training and fine-tuning of a network on images held in memory."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from laq.errors import DataError
from laq.networks import predict, to_input

logger = logging.getLogger(__name__)

# Images, uint8 (n, c, h, w), and their labels, int64 (n,).
Split = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Epoch:
    """One row of the training history.

    learning_rate: of the epoch's last step. train_loss: mean cross-entropy in nats, with label
    smoothing where that is set; like train_top1 it is taken while the network learns, in
    training mode and on shifted images. test_top1: after the epoch, in evaluation mode.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_top1: float
    test_top1: float


def random_shift(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Shift each image (n, c, h, w) by up to ``pixels`` either way, edges repeated."""
    if pixels == 0:
        return images
    n, _, h, w = images.shape
    padded = nn.functional.pad(images, (pixels,) * 4, mode="replicate")
    dy, dx = torch.randint(0, 2 * pixels + 1, (2, n), generator=generator).to(images.device)
    rows = dy[:, None] + torch.arange(h, device=images.device)  # (n, h)
    columns = dx[:, None] + torch.arange(w, device=images.device)  # (n, w)
    index = torch.arange(n, device=images.device)[:, None, None]
    # Advanced indices around a slice put the channel last: (n, h, w, c).
    return padded[index, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def train(
    network: nn.Module,
    train_split: Split,
    test_split: Split,
    settings: dict[str, Any],
    generator: torch.Generator,
    device: torch.device,
) -> list[dict[str, Any]]:
    """Train ``network`` in place from scratch: SGD with Nesterov momentum, one-cycle schedule.

    ``settings``: epochs, batch_size, learning_rate (the cycle's peak), weight_decay,
    label_smoothing, shift (pixels of random translation). Schedule: Smith and Topin 2018.
    Returns one ``Epoch`` row an epoch, as a dictionary, and leaves the network on the CPU in
    evaluation mode.

    Raises:
        DataError: the loss, or an output on the test images, is not finite.
    """
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=settings["learning_rate"],
        momentum=0.9,
        nesterov=True,
        weight_decay=settings["weight_decay"],
    )
    steps = len(_batches(torch.arange(len(train_split[0])), settings["batch_size"]))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings["learning_rate"], total_steps=settings["epochs"] * steps
    )
    splits = (train_split, test_split)
    return _fit(network, *splits, optimizer, schedule.step, settings, generator, device)


def finetune(
    network: nn.Module,
    train_split: Split,
    test_split: Split,
    settings: dict[str, Any],
    generator: torch.Generator,
    device: torch.device,
) -> list[dict[str, Any]]:
    """Fine-tune ``network`` in place with AdamW at a constant rate, as the published study did.

    Arguments, result and errors as in ``train``; labels keep their numbers among all
    classes, so that the head keeps its size and the All accuracy stays defined.
    """
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings["learning_rate"], weight_decay=settings["weight_decay"]
    )
    splits = (train_split, test_split)
    return _fit(network, *splits, optimizer, lambda: None, settings, generator, device)


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


def _fit(
    network: nn.Module,
    train_split: Split,
    test_split: Split,
    optimizer: torch.optim.Optimizer,
    after_step: Callable[[], Any],
    settings: dict[str, Any],
    generator: torch.Generator,
    device: torch.device,
) -> list[dict[str, Any]]:
    # Images stay uint8 on the device: a quarter of the memory, and no copy a step.
    images, labels = train_split[0].to(device), train_split[1].to(device)
    criterion = nn.CrossEntropyLoss(label_smoothing=settings["label_smoothing"])
    network.to(device, memory_format=torch.channels_last)
    history = []
    for epoch in range(1, settings["epochs"] + 1):
        network.train()
        order = torch.randperm(len(images), generator=generator).to(device)
        loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        correct = torch.zeros((), dtype=torch.int64, device=device)
        batches = _batches(order, settings["batch_size"])
        for batch in tqdm(batches, f"epoch {epoch}/{settings['epochs']}", mininterval=2):
            inputs = random_shift(to_input(images[batch], device), settings["shift"], generator)
            logits = network(inputs.contiguous(memory_format=torch.channels_last))
            loss = criterion(logits, labels[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            learning_rate = optimizer.param_groups[0]["lr"]
            after_step()
            loss_sum += loss.detach().double() * len(batch)
            correct += (logits.detach().argmax(1) == labels[batch]).sum()
        test_logits = predict(network, test_split[0], device)
        if not (torch.isfinite(loss_sum) and torch.isfinite(test_logits).all()):
            raise DataError(
                f"training diverged in epoch {epoch}: the loss or the outputs are not finite; "
                "lower learning_rate (config key networks or variants) and run again"
            )
        row = Epoch(
            epoch,
            learning_rate,
            loss_sum.item() / len(images),
            correct.item() / len(images),
            (test_logits.argmax(1) == test_split[1]).double().mean().item(),
        )
        logger.info(
            "epoch %d/%d: loss %.3f, train top-1 %.3f, test top-1 %.3f",
            epoch,
            settings["epochs"],
            row.train_loss,
            row.train_top1,
            row.test_top1,
        )
        history.append(asdict(row))
    network.to("cpu", memory_format=torch.contiguous_format).eval()
    return history


def _batches(order: Tensor, size: int) -> list[Tensor]:
    """``order`` in batches of ``size``; a lone last image joins the batch before it.

    BatchNorm has no variance over one value a channel, and no image is left out.
    """
    batches = list(order.split(size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches
