"""BatchNorm folded into the layer before it: the same outputs, and no BatchNorm."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from laq.models.small_resnet import SmallResNet
from laq.ptq.folding import apply, fold
from laq.ptq.fx_runner import trace
from tests.unit.test_patches import Same

torch.set_num_threads(1)


def ready(network: nn.Module) -> nn.Module:
    """Float64, in evaluation mode, statistics and scales of no special value, one of them 0."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in network.double().state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.2)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.affine:
                module.weight[0], module.weight[-1] = 0, -1.5
    return network.eval()


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Tokens(nn.Module):
    """BatchNorm1d over tokens, of which there are as many as a linear layer has outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(5, 4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:  # (n, 4 tokens, 5)
        return self.norm(self.linear(x))


class Shared(nn.Module):
    """Pairs that must stay: outputs used twice, layers called twice, weights read or shared."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d, self.e = (nn.Conv2d(2, 2, 1) for _ in range(5))
        self.e.weight = self.d.weight
        self.norms = nn.ModuleList(nn.BatchNorm2d(2) for _ in range(5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        x = self.norms[0](y) + y
        x = self.norms[1](self.b(self.norms[1](self.b(x))))
        x = self.norms[2](self.c(x)) * self.c.weight.sum()
        return self.norms[4](self.e(self.norms[3](self.d(x))))


def untracked() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, track_running_stats=False))


FOLDED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "residual": (lambda: SmallResNet(3, channels=2, widths=(3, 4)), (2, 2, 8, 8), 6),
    "bias": (lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3)), (2, 2, 4, 4), 1),
    "no scale": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 2, bias=False), nn.BatchNorm2d(3, affine=False)),
        (2, 2, 4, 4),
        1,
    ),
    "grouped": (
        lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.BatchNorm2d(8, eps=0.1)),
        (2, 4, 5, 5),
        1,
    ),
    "linear": (lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), (3, 5), 1),
    "tokens": (Tokens, (3, 4, 5), 0),
    "shared": (Shared, (2, 2, 3, 3), 0),
    "untracked": (untracked, (2, 2, 3, 3), 0),
    "after an activation": (
        lambda: nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.BatchNorm2d(2)),
        (2, 2, 3, 3),
        0,
    ),
}


@pytest.mark.parametrize("name", FOLDED)
@torch.no_grad()
def test_outputs_stay_and_nothing_is_left_of_the_batchnorm(name):
    make, shape, pairs = FOLDED[name]
    network, x = ready(make()), images(*shape)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded, names = fold(network, trace(network), x[:1])
    assert len(names) == pairs
    torch.testing.assert_close(folded(x), network(x), rtol=1e-10, atol=1e-10)
    after, gone = folded.state_dict(), {norm for _, norm in names}
    weights = {f"{layer}.{part}" for layer, _ in names for part in ("weight", "bias")}
    kept = {key for key in before if key.rpartition(".")[0] not in gone}
    assert after.keys() == kept | weights
    for key in after.keys() - weights:
        assert torch.equal(after[key], before[key]), key
    # As a checkpoint is loaded.
    built = apply(make().double().eval(), [list(pair) for pair in names])
    built.load_state_dict(after)
    assert torch.equal(built(x), folded(x))
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key


class Standardized(nn.Conv2d):
    """What it computes does not change with the scale of its weight."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight / self.weight.std((1, 2, 3), True), self.bias)


def test_only_layers_that_compute_as_torch_s_do_are_folded():
    norms = (nn.BatchNorm2d(3), nn.BatchNorm2d(4))
    network = ready(nn.Sequential(Standardized(2, 3, 3), norms[0], Same(3, 4, 3, 2), norms[1]))
    x = images(2, 2, 8, 9)
    folded, pairs = fold(network, trace(network), x[:1])
    assert pairs == [("2", "3")]
    with torch.no_grad():
        torch.testing.assert_close(folded(x), network(x))
