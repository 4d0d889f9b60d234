"""Modules that keep what they compute: after a quantization they are as they were before it."""

from __future__ import annotations

import io
from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from laq.ptq.activation_quantizer import InputSettings
from laq.ptq.sequential import folded, layers_in_order
from tests.unit.test_sequential import images, quantize, ready

torch.set_num_threads(1)


@dataclass
class Notes:
    last: Tensor | None = None
    all: list[Tensor] = field(default_factory=list)


class Keeping(nn.Module):
    """Keeps what it computes in every way there is."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(4), persistent=False)
        self.plain = torch.zeros(4)
        self.map, self.calls, self.cache = None, 0, {"maps": []}
        self.maps, self.recent, self.shapes = [], deque(maxlen=2), set()
        self.notes, self.space = Notes(), SimpleNamespace(x=None)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x))
        self.map = x
        self.calls += 1
        self.count += 1
        self.mean.copy_(x.mean(0).float() if isinstance(x, Tensor) else self.mean)
        self.maps.append(x)
        self.recent.append(x)
        self.cache["maps"].append(x)
        self.cache["new"] = x
        self.shapes.add(self.calls)
        self.notes.last, self.space.x = x, x
        self.notes.all.append(x)
        self.late = x
        return self.last(x.relu())


class Untraceable(Keeping):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)


def frozen(value: Any) -> Any:
    """``value`` as it is now, in a form that can be compared."""
    if isinstance(value, Tensor):
        return (str(value.dtype), value.tolist())
    if isinstance(value, Notes | SimpleNamespace):
        value = vars(value)
    if isinstance(value, dict):
        return {key: frozen(part) for key, part in value.items()}
    return [frozen(part) for part in value] if isinstance(value, list | deque | set) else value


def state(network: nn.Module) -> dict[str, Any]:
    return {
        name: frozen(value)
        for name, value in vars(network).items()
        if name not in ("_modules", "_parameters") and "hooks" not in name
    }


@pytest.mark.parametrize("kind", [Keeping, Untraceable])
@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
@pytest.mark.parametrize("options", [{}, {"inputs": InputSettings(8)}, {"batch": 5}])
def test_networks_are_as_they_were(kind, used, options):
    torch.manual_seed(0)
    network = ready(kind())
    if used:
        with torch.no_grad():
            network(images(3, 4))
    network.train()
    network.norm.eval()
    before, identity = state(network), network.cache["maps"]
    result = quantize(network, images(5, 4), **options)
    assert state(network) == before and network.cache["maps"] is identity
    assert [module.training for module in network.modules()] == [True, True, False, True]
    found = state(result.network)
    assert found.pop("training") != before.pop("training")  # the result is in evaluation mode
    assert found == before
    torch.save(result.network, io.BytesIO())


def test_what_they_keep_changes_no_code():
    torch.manual_seed(0)
    network = ready(Keeping())
    parts = [network.first, network.norm, network.last]
    plain = nn.Sequential(*parts[:2], nn.ReLU(), parts[2]).eval()
    codes = [runs[0].codes for runs in quantize(network, images(5, 4)).packed.values()]
    wanted = [runs[0].codes for runs in quantize(plain, images(5, 4)).packed.values()]
    assert all(map(torch.equal, codes, wanted))


def test_folding_and_asking_for_layers_leave_nothing_behind():
    network = ready(Untraceable())
    before = state(network)
    layers_in_order(network, images(5, 4), {})
    assert state(network) == before
    network = ready(Keeping())
    before = state(network)
    result, entries = folded(network, images(5, 4))
    assert entries and state(network) == before
    torch.save(result, io.BytesIO())
