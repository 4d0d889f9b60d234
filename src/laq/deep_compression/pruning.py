"""Pruning in rounds, each followed by retraining of what is left.

Han et al. 2015, section 3: in every round the smallest weights of each layer are pruned, and the
others are retrained. Every round prunes the same share of the remaining weights. So late rounds, in
which each weight counts, prune few. Between rounds the learning rate stays at its highest. The
recipe's schedule is that of the last retraining.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from laq.deep_compression import masks, sensitivity
from laq.deep_compression.masks import Masked
from laq.deep_compression.stages import Memo, Row, Trainer
from laq.training import Split
from laq.utils import devices
from laq.utils.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Pruned:
    """The result of pruning.

    kept: number of weights of each layer after ``rounds`` rounds. history: a row an epoch.
    table: for each round a row for each point of its scan, or for each layer without a scan. A row
    is a ``SensitivityPoint`` with ``round``, and ``chosen``, the number of weights that the layer
    then kept.
    """

    kept: dict[str, int]
    rounds: int = 0
    history: list[Row] = field(default_factory=list)
    table: list[Row] = field(default_factory=list)


def prune(
    network: nn.Module,
    images: Split,
    layers: Sequence[str],
    settings: Mapping[str, Any],
    trainer: Trainer,
    memo: Memo,
) -> Pruned:
    """Prune ``network`` in place, which ``Masked(layers)`` has prepared, and retrain it.

    settings: a variant's ``deep`` entry. Scans use images held back from the trainings before them;
    the last retraining uses all images.
    """
    layers, rounds = tuple(layers), settings["rounds"]
    sizes = {name: network.get_submodule(name).weight.numel() for name in layers}
    scanning = settings["pruning"] == "scan"
    shares = {} if scanning else final_shares(network, layers, settings)
    train_split, scan_split = images, None
    if scanning:
        train_split, scan_split = hold_back(images, settings["held_back"], trainer.seed)
    result = Pruned(dict(sizes))
    if content := memo.load():
        network.load_state_dict(content.pop("network"))
        result = Pruned(**content)
    for number in range(result.rounds + 1, rounds + 1):
        exponent = number / rounds
        if scanning:
            points = sensitivity.sensitivity(network.to(trainer.device), *scan_split, result.kept)
            remaining = masks.count(settings["density"] ** exponent, sum(sizes.values()))
            kept = sensitivity.spend(points, remaining)
        else:
            kept = {name: masks.count(shares[name] ** exponent, sizes[name]) for name in layers}
            points = [sensitivity.unmeasured(name, sizes[name], kept[name]) for name in layers]
        result.table += [
            {"round": number, **asdict(point), "chosen": kept[point.layer]} for point in points
        ]
        masks.prune(network, kept)
        stage, remaining = f"round {number}", sum(kept.values()) / sum(sizes.values())
        logger.info("%s of %d: %.2f %% of the weights are kept", stage, rounds, 100 * remaining)
        split, changes = images, {}
        if number < rounds:
            split = train_split
            changes = {"epochs": settings["round_epochs"], "schedule": "constant", "warmup": 0}
        result.history += trainer(network, split, Masked(layers), stage, **changes)
        result.kept, result.rounds = kept, number
        memo.save({"network": network.state_dict(), **vars(result)})
    return result


def final_shares(
    network: nn.Module, layers: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, float]:
    """Share of weights that each layer keeps: by the config, or by its weights' deviation now."""
    if settings["pruning"] == "ratios":
        return {name: settings["ratios"].get(name, 1.0) for name in layers}
    weights = {name: network.get_submodule(name).weight for name in layers}
    return {name: masks.beyond(weight, settings["quality"]) for name, weight in weights.items()}


def hold_back(images: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Images to train on, and of each class a share, one at least, that are held back from it.

    Raises ``DataError`` for a class of one image, which cannot be in both.
    """
    generator = devices.generator(seed, "held back")
    mask = torch.zeros(len(images[1]), dtype=torch.bool)
    for label in images[1].unique():
        members = (images[1] == label).nonzero().squeeze(1)
        if len(members) < 2:
            raise DataError(
                f"class {int(label)} has one training image, so none can be held back from it for "
                "the scan: give more images, or set deep.pruning to ratios or deviation"
            )
        order = torch.randperm(len(members), generator=generator)
        number = min(len(members) - 1, masks.count(share, len(members)))
        mask[members[order[:number]]] = True
    train_split, held_out = (
        tuple(tensor[selected] for tensor in images) for selected in (~mask, mask)
    )
    return train_split, held_out
