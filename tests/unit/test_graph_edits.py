"""What a checkpoint's network has beside its architecture is built again, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from laq.checkpoints import graph_edits, packing
from laq.models import networks
from laq.ptq.activation_quantizer import attach

torch.set_num_threads(1)

SPEC = {"name": "small_resnet", "classes": 3, "channels": 1, "widths": [4, 4]}
HEAD = {"head": {"bits": 4, "mode": "static"}}


def saved(path: Path, entries: Any) -> Path:
    network = networks.create(**SPEC).eval()
    attach(network, HEAD)
    network.head.input_quantizer.calibrate(torch.tensor(-1.0), torch.tensor(2.0))
    packing.save(path, network.state_dict(), {"network": SPEC, "transforms": entries})
    return path


def test_a_network_with_quantized_inputs_is_loaded_as_it_was(tmp_path: Path) -> None:
    path = saved(tmp_path / "n.safetensors", [{"kind": "input_quantizers", "layers": HEAD}])
    loaded = packing.load(path)
    assert loaded.head.input_quantizer.bits == 4
    torch.testing.assert_close(loaded.head.input_quantizer.step, torch.tensor(0.2))
    assert loaded.head.input_quantizer.zero == -3
    spec = graph_edits.spec(packing.describe(path))
    assert graph_edits.create(**spec).state_dict().keys() == loaded.state_dict().keys()


def test_a_description_without_transforms_is_the_architecture_alone() -> None:
    assert graph_edits.spec({"network": SPEC, "variant": "ft"}) == SPEC
    assert (
        graph_edits.create(**SPEC).state_dict().keys()
        == networks.create(**SPEC).state_dict().keys()
    )
