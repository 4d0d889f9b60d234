"""Pruning in rounds, each followed by retraining of what is left.

Han et al. 2015, section 3: in every round the smallest weights of each layer go, and the others
learn to do without. Of what a round leaves the next takes the same share, so that late rounds, in
which each weight counts, take few. Between rounds the learning rate stays at its highest; the
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
    """What pruning came to.

    kept: weights of each layer that are left, after so many ``rounds``. history: a row an epoch.
    table: of each round a row for each of its scan's points, or for each layer where none was
    made: ``Point`` with ``round``, and ``chosen``, the weights that the layer then kept.
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
    """Prune ``network`` in place, of which ``Masked(layers)`` is prepared, and retrain it.

    settings: a variant's ``deep`` entry. Scans look at images held back from the trainings before
    them; the last retraining has all.
    """
    layers, rounds = tuple(layers), settings["rounds"]
    sizes = {name: network.get_submodule(name).weight.numel() for name in layers}
    scanning = settings["pruning"] == "scan"
    shares = {} if scanning else final_shares(network, layers, settings)
    seen, held = images, None
    if scanning:
        seen, held = hold_back(images, settings["held_back"], trainer.seed)
    done = Pruned(dict(sizes))
    if content := memo.load():
        network.load_state_dict(content.pop("network"))
        done = Pruned(**content)
    for number in range(done.rounds + 1, rounds + 1):
        power = number / rounds
        if scanning:
            points = sensitivity.sensitivity(network.to(trainer.device), *held, done.kept)
            left = masks.count(settings["density"] ** power, sum(sizes.values()))
            kept = sensitivity.spend(points, left)
        else:
            kept = {name: masks.count(shares[name] ** power, sizes[name]) for name in layers}
            points = [sensitivity.unmeasured(name, sizes[name], kept[name]) for name in layers]
        done.table += [
            {"round": number, **asdict(point), "chosen": kept[point.layer]} for point in points
        ]
        masks.prune(network, kept)
        stage, left = f"round {number}", sum(kept.values()) / sum(sizes.values())
        logger.info("%s of %d: %.2f %% of the weights are kept", stage, rounds, 100 * left)
        split, changes = images, {}
        if number < rounds:
            split = seen
            changes = {"epochs": settings["round_epochs"], "schedule": "constant", "warmup": 0}
        done.history += trainer(network, split, Masked(layers), stage, **changes)
        done.kept, done.rounds = kept, number
        memo.save({"network": network.state_dict(), **vars(done)})
    return done


def final_shares(
    network: nn.Module, layers: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, float]:
    """What each layer is to keep: what the config says, or by the deviation of its weights now."""
    if settings["pruning"] == "ratios":
        return {name: settings["ratios"].get(name, 1.0) for name in layers}
    weights = {name: network.get_submodule(name).weight for name in layers}
    return {name: masks.beyond(own, settings["quality"]) for name, own in weights.items()}


def hold_back(images: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Images to train on, and of each class a share, one at least, that are held back from it.

    Raises ``DataError`` for a class of one image, which cannot be in both.
    """
    generator = devices.generator(seed, "held back")
    held = torch.zeros(len(images[1]), dtype=torch.bool)
    for label in images[1].unique():
        members = (images[1] == label).nonzero().squeeze(1)
        if len(members) < 2:
            raise DataError(
                f"class {int(label)} has one training image, so none can be held back from it for "
                "the scan: give more images, or set deep.pruning to ratios or deviation"
            )
        order = torch.randperm(len(members), generator=generator)
        number = min(len(members) - 1, masks.count(share, len(members)))
        held[members[order[:number]]] = True
    seen, back = (tuple(tensor[part] for tensor in images) for part in (~held, held))
    return seen, back
