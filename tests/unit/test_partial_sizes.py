"""Bytes of files from a network's description alone, against the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from laq.analysis.partial import sizes
from laq.checkpoints import packing
from laq.data import Dataset
from laq.experiments.partial import arms
from laq.models import networks
from laq.qat import training
from laq.utils.files import write_rows
from tests.unit.test_partial_arms import course, settings

torch.set_num_threads(1)

CLASSES = tuple("abcd")
VIT = {"convolutions": [16, 32], "patch": 2, "width": 32, "depth": 2}
# Spec, shape of an image, and which arms are looked at.
NETWORKS: dict[str, tuple[dict[str, Any], tuple[int, int, int], slice]] = {
    "small_resnet": ({"channels": 1, "widths": [6, 12]}, (1, 8, 8), slice(None, None, 3)),
    "small_vit": ({"channels": 1, "side": 8, **VIT}, (1, 8, 8), slice(1, None, 3)),
    "lenet5": ({}, (1, 28, 28), slice(None)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_is_counted_without_being_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All k of all positions, of larger networks some; at several bits, with inputs too."""
    monkeypatch.setattr(training.training, "finetune", lambda *_, **__: [])
    own, shape, looked_at = NETWORKS[name]
    spec = {"name": name, "classes": 4, **own}
    torch.manual_seed(0)
    parent = tmp_path / "original.safetensors"
    described = {"network": spec, "classes": [*CLASSES], "variant": "original", "parent": None}
    state = networks.create(**spec).state_dict()
    packing.save(parent, state, {**described, "steps": [], "seed": 0})
    images = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
    split = Dataset(images, np.arange(4), CLASSES)
    asked = settings("control")
    whole = course(parent, tmp_path, asked, train=split, test=split, images=4)

    def written(arm: arms.Arm) -> tuple[int, list[dict[str, Any]]]:
        made = whole.make(arm)
        network, size, _ = whole._stored(made)
        return size, whole._told(arm, made, network)

    (before, control), told = written(next(arms.controls(asked, []))), []
    planned = [
        (arm, bits, inputs)
        for position, bits, inputs in [
            *((position, 3, None) for position in ("first", "middle", "last")),
            *(("whole", bits, inputs) for bits, inputs in ((2, None), (4, 8), (8, None))),
        ]
        for arm in arms.of_position(
            whole.layers,
            position,
            {
                "repeats": 1,
                "k": "all",
                "bits": bits,
                "training": {
                    **asked["training"],
                    "train": "all",
                    "activations": {"bits": inputs} if inputs else None,
                },
            },
            [],
        )
    ]
    planned = planned[looked_at]
    found = [(arm, bits, inputs, *written(arm)) for arm, bits, inputs in planned]
    told = [row for *_, rows in found for row in rows]
    write_rows(tmp_path / "tensors.csv", [*control, *told])
    network = sizes.read(tmp_path / "tensors.csv", whole.layers.names)
    counted = sizes.Size(before, network)
    for arm, bits, inputs, size, _ in found:
        chosen = sizes.named(" ".join(arm.choice.names), network.named)
        said = counted.of(chosen, bits, inputs or 32)
        # Steps and entropies have a digit more or less.
        assert abs(said - size) <= 24 + 6 * arm.choice.k, (arm, size)
        assert said == pytest.approx(size, rel=0.005), (arm, size)
