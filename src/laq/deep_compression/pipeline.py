"""Deep Compression of a trained network, stage by stage: pruned (P), shared (Q), ready to be coded.

Coding (H) is lossless: ``laq.checkpoints.deep_container.file`` writes what this makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from laq.checkpoints.deep_container.sparse_weight import PrunedWeight, SharedWeight
from laq.deep_compression import (
    centroid_finetuning as shared,
)
from laq.deep_compression import (
    masks as masked,
)
from laq.deep_compression import (
    pruning,
    weight_clustering,
)
from laq.deep_compression.masks import Masked
from laq.deep_compression.stages import Memo, Row, Trainer
from laq.ptq import layer_selection
from laq.training import Split
from laq.training.recipe import of_training
from laq.utils import devices
from laq.utils.errors import ConfigError, DataError

KEPT = "kept in float by the config"


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A network after each stage.

    network: after P and Q, with the values that its codes stand for, in evaluation mode on the CPU.
    pruned: its state after P, dense tensors by name. weights: after P, those of the compressed
    layers, by parameter name. clustered, clusters: state and weights with shared values, before
    centroids are trained. shared: these layers' weights after Q, by the same names. met: layers in
    the order of their first calls. reasons: why some are left out. history: a row an epoch, of the
    training of centroids too. rounds: the table of ``laq.deep_compression.pruning.Pruned``.
    """

    network: nn.Module
    pruned: Mapping[str, Tensor]
    weights: Mapping[str, PrunedWeight]
    clustered: Mapping[str, Tensor]
    clusters: Mapping[str, SharedWeight]
    shared: Mapping[str, SharedWeight]
    met: tuple[str, ...]
    reasons: Mapping[str, str]
    history: list[Row]
    rounds: list[Row]


@dataclass(frozen=True, eq=False)
class Sharing:
    """The fields of ``Pipeline`` that sharing adds."""

    clustered: Mapping[str, Tensor]
    clusters: Mapping[str, SharedWeight]
    shared: Mapping[str, SharedWeight]
    history: list[Row]


def compress(
    network: nn.Module,
    train_split: Split,
    test_split: Split,
    settings: Mapping[str, Any],
    generator: torch.Generator,
    device: torch.device,
    state: Path | None = None,
    spec: Mapping[str, Any] | None = None,
) -> Pipeline:
    """Prune ``network``, in place, and have what is left share values.

    ``settings``: a variant's ``deep`` entry; settings that are not used may be left out.
    ``generator``: all draws depend on its seed. ``state``: as of ``laq.training.train``; the caller
    stores the result and then calls ``laq.deep_compression.stages.clear``. Other arguments as of
    ``laq.training.train``.

    Raises ``ConfigError`` for layers that do not exist, and what ``laq.training.train`` raises.
    """
    candidates, reasons = select(network, train_split[0], settings)
    layers = [name for name in candidates if name not in reasons]
    recipe = of_training(settings)
    trainer = Trainer(test_split, recipe, generator.initial_seed(), device, state, spec)
    masks, pruning_result = prune(network, train_split, layers, settings, trainer)
    bits = index_bits(settings)
    pruned = _copied(network)
    weights = {
        name: PrunedWeight.of(pruned[f"{name}.weight"], masks[name], bits) for name in layers
    }
    sharing = share(network, train_split, masks, settings, trainer)
    return Pipeline(
        network=network,
        pruned=pruned,
        weights=_by_parameter(weights),
        clustered=sharing.clustered,
        clusters=sharing.clusters,
        shared=sharing.shared,
        met=tuple(candidates),
        reasons=reasons,
        history=[*pruning_result.history, *sharing.history],
        rounds=pruning_result.table,
    )


def prune(
    network: nn.Module,
    images: Split,
    layers: Sequence[str],
    settings: Mapping[str, Any],
    trainer: Trainer,
) -> tuple[dict[str, Tensor], pruning.Pruned]:
    """Prune ``layers`` of ``network``, in place, round by round; returns masks of kept weights."""
    memo = Memo(trainer, network, images, settings)
    Masked(tuple(layers)).prepare(network)
    result = pruning.prune(network, images, layers, settings, trainer, memo)
    return masked.detach(network, layers), result


def share(
    network: nn.Module,
    images: Split,
    masks: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    trainer: Trainer,
) -> Sharing:
    """Have the weights of a pruned ``network``, in place, share values, and train these.

    masks: of each layer, by name, the weights that are kept. ``network`` ends in evaluation mode on
    the CPU.
    """
    pruned_state = _copied(network)
    clusters = {
        name: cluster(network, name, mask, settings, trainer.seed) for name, mask in masks.items()
    }
    constraint = shared.of(clusters)
    constraint.prepare(network)
    shared.load(network, clusters)
    history = trainer(network, images, constraint, "shared", epochs=0)
    if epochs := settings["tuning_epochs"]:
        # AdamW whatever the recipe's optimizer: a centroid's gradient, a sum over its weights,
        # grows with their number, but AdamW's steps do not.
        changes = {"optimizer": "adamw", "learning_rate": settings["tuning_rate"], "warmup": 0}
        changes["epochs"] = epochs
        history += trainer(network, images, constraint, "centroids", **changes)
    shared_weights = shared.detach(network, clusters)
    network.eval()
    clusters = _by_parameter(clusters)
    clustered = {**pruned_state, **{name: weight.weight() for name, weight in clusters.items()}}
    return Sharing(clustered, clusters, _by_parameter(shared_weights), history)


def select(
    network: nn.Module, images: Tensor, settings: Mapping[str, Any]
) -> tuple[list[str], dict[str, str]]:
    """Convolutions and linear layers in the order of their first calls, and why some are left out.

    Raises ``ConfigError`` where ``skip_layers`` or ``ratios`` names no such layer, or none is left.
    """
    candidates, _ = layer_selection.met_with_reasons(network, images, {})
    for key in ("skip_layers", "ratios"):
        if unknown := [name for name in settings.get(key, ()) if name not in candidates]:
            raise ConfigError(
                f"no convolution or linear layer is called {', '.join(unknown)} (deep.{key}); "
                f"there are: {', '.join(candidates)}"
            )
    reasons = layer_selection.reasons_of(
        dict(network.named_modules()), candidates, dict.fromkeys(settings["skip_layers"], KEPT)
    )
    if len(reasons) == len(candidates):
        raise ConfigError("no layer is left to compress: name fewer in deep.skip_layers")
    return candidates, reasons


def cluster(
    network: nn.Module, name: str, kept: Tensor, settings: Mapping[str, Any], seed: int
) -> SharedWeight:
    """The weight of the layer ``name`` where ``kept`` is true, shared as the settings say."""
    layer = network.get_submodule(name)
    kind = "linear" if isinstance(layer, nn.Linear) else "conv"
    generator = devices.generator(seed, "deep", "centroids", name)
    try:
        return weight_clustering.share(
            layer.weight,
            kept,
            settings[f"bits_{kind}"],
            settings["initial"],
            generator,
            index_bits(settings),
        )
    except DataError as error:
        raise DataError(f"layer {name}: {error}") from error


def index_bits(settings: Mapping[str, Any]) -> int | None:
    """Bits of indices, None for what makes the smallest file."""
    return None if settings["index_bits"] == "auto" else settings["index_bits"]


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _by_parameter(weights: Mapping[str, Any]) -> dict[str, Any]:
    """``weights`` by parameter names in place of layer names."""
    return {f"{name}.weight": weight for name, weight in weights.items()}
