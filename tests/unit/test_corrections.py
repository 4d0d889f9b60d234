"""Corrections of biases and of BatchNorm, against direct computation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from laq.checkpoints import inspection, packing
from laq.config.recipes import compression_effect
from laq.experiments.compression import compress
from laq.models.small_resnet import SmallResNet
from laq.ptq import rtn
from laq.ptq.corrections import Corrections, mean_error, statistics
from laq.ptq.layer import Samples
from laq.ptq.patches import Sampling
from laq.ptq.sequential import QuantizedNetwork, quantize_network
from laq.quantizers.uniform import Alphabet
from laq.utils.errors import DataError
from tests.unit.test_compression import SETTINGS
from tests.unit.test_rtn import layer

torch.set_num_threads(1)


class Small(nn.Module):
    """Layers with and without a bias, two of the latter before BatchNorm, and one in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 4, 3, bias=False)
        self.a_norm = nn.BatchNorm2d(4)
        self.b = nn.Conv2d(4, 6, 3, groups=2, padding=1)
        self.c = nn.Conv2d(6, 4, 1, bias=False)
        self.d = nn.Conv2d(6, 4, 1, bias=False)
        self.d_norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.a_norm(self.a(x)).relu()).relu()
        x = self.c(x) + self.d_norm(self.d(x))
        return self.head(x.relu().mean((2, 3)))


class Branching(Small):
    """The same, and torch.fx cannot trace it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > -1e9 else x


def ready(kind: Callable[[], nn.Module] = Small) -> nn.Module:
    """Float64, with statistics and biases of no special value."""
    torch.manual_seed(0)
    network = kind().double().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.2)
                module.running_var.uniform_(0.5, 1.5)
    return network


def images(count: int = 150) -> Tensor:
    return torch.rand(
        count, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )


def grids(name: str, weight: Tensor) -> list[tuple[int, Alphabet]]:
    return [(len(weight), Alphabet.from_weights(weight, 3, "packed", per_channel=True))]


def quantized(network: nn.Module, corrected: Corrections, **arguments) -> QuantizedNetwork:
    return quantize_network(
        network,
        arguments.pop("images", images()),
        solver=rtn.solve,
        sampling=Sampling("all"),
        corrected=corrected,
        alphabets=grids,
        **arguments,
    )


@torch.no_grad()
def seen(network: nn.Module, name: str, images: Tensor, given: bool = False) -> Tensor:
    """What the module ``name`` gives, or is given, as (n · h · w, c)."""
    values: list[Tensor] = []
    module = network.get_submodule(name)
    hook = module.register_forward_hook(
        lambda _, args, output: values.append(args[0] if given else output)
    )
    network(images)
    hook.remove()
    return values[0].transpose(0, 1).flatten(1).T


@pytest.mark.parametrize("kind", [Small, Branching])
def test_means_of_outputs_are_those_of_the_float_network(kind):
    network = ready(kind)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    plain = quantized(network, Corrections())
    result = quantized(network, Corrections(bias=True))
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    traced = kind is Small
    for name in ("b", "head", *(("a_norm", "d_norm") if traced else ())):
        expected, found = (seen(net, name, images()).mean(0) for net in (network, result.network))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
        assert not torch.allclose(seen(plain.network, name, images()).mean(0), expected, atol=1e-4)
    differing = {
        name
        for name, tensor in result.network.state_dict().items()
        if not torch.equal(tensor, plain.network.state_dict()[name])
    }
    norms = {"a_norm.running_mean", "d_norm.running_mean"} if traced else set()
    assert differing == {"b.bias", "head.bias"} | norms
    assert [row.bytes for row in result.layers] == [row.bytes for row in plain.layers]


@pytest.mark.parametrize("groups", [1, 3])
def test_the_mean_error_is_that_of_the_outputs(groups):
    weight, inputs, other = layer(6, 5, 40, groups)
    values = weight.round()
    pairs = list(zip(inputs.split(7), other.split(7), strict=True))
    found = mean_error(weight, values, Samples(40, 5, lambda: iter(pairs), groups))
    x, xq = (matrix.unflatten(1, (groups, -1)) for matrix in (inputs, other))
    size = 6 // groups
    expected = [
        (x[:, n // size] @ weight[n] - xq[:, n // size] @ values[n]).mean() for n in range(6)
    ]
    torch.testing.assert_close(found, torch.stack(expected))


@pytest.mark.parametrize("kind", [Small, Branching])
@pytest.mark.parametrize("bias", [False, True])
def test_statistics_are_those_of_the_inputs_in_the_quantized_network(kind, bias):
    network = ready(kind)
    result = quantized(network, Corrections(bias=bias, batchnorm=True))
    for name in ("a_norm", "d_norm"):
        inputs = seen(result.network, name, images(), given=True)
        norm = result.network.get_submodule(name)
        torch.testing.assert_close(norm.running_mean, inputs.mean(0))
        torch.testing.assert_close(norm.running_var, inputs.var(0))
        assert torch.equal(
            norm.num_batches_tracked, network.get_submodule(name).num_batches_tracked
        )
    if bias:
        expected, found = (seen(net, "head", images()).mean(0) for net in (network, result.network))
        torch.testing.assert_close(found, expected)


def test_statistics_of_chunks_are_those_of_all():
    values = torch.randn(300, 3, 5, dtype=torch.float64) * 2 + 1000
    mean, variance = statistics("n", values.split(70))
    torch.testing.assert_close(mean, values.mean((0, 2)))
    torch.testing.assert_close(variance, values.transpose(0, 1).flatten(1).var(1))
    with pytest.raises(DataError, match="BatchNorm n: a single value a channel"):
        statistics("n", [values[:1, :, 0]])


def test_a_batchnorm_that_is_called_twice_has_the_statistics_of_both_calls():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.layer(x)) + self.norm(2 * x)

    result = quantized(ready(Twice), Corrections(batchnorm=True))
    with torch.no_grad():
        inputs = torch.cat([result.network.layer(images()), 2 * images()])
    mean, variance = statistics("", [inputs])
    torch.testing.assert_close(result.network.norm.running_mean, mean)
    torch.testing.assert_close(result.network.norm.running_var, variance)


def test_layers_in_float_are_not_corrected_and_norms_are():
    network = ready()
    names = ("a", "b", "c", "d")
    result = quantized(
        network, Corrections(bias=True, batchnorm=True), skip_layers=dict.fromkeys(names, "")
    )
    assert torch.equal(result.network.b.bias, network.b.bias)
    assert not torch.equal(result.network.head.bias, network.head.bias)
    inputs = seen(network, "a_norm", images(), given=True)
    torch.testing.assert_close(result.network.a_norm.running_mean, inputs.mean(0))


CASES = [
    {"bias_correction": True},
    {"batchnorm": "reestimated"},
    {
        "bias_correction": True,
        "batchnorm": "reestimated",
        "activations": {"bits": 8, "mode": "static", "range": "minmax", "percentile": 99.99},
    },
    {"bias_correction": True, "fold_batchnorm": True, "method": "adaround", "steps": 20},
    {
        "bias_correction": True,
        "fold_batchnorm": True,
        "activations": {"bits": 8, "mode": "static", "range": "minmax", "percentile": 99.99},
        "inference": "integer",
        "bits": 8,
    },
]


@pytest.mark.parametrize("changes", CASES, ids=lambda case: "-".join(case))
def test_files_give_back_the_outputs_at_the_same_bytes(changes, tmp_path):
    spec = {"name": "small_resnet", "classes": 4, "channels": 3, "widths": [3, 4]}
    torch.manual_seed(0)
    network, data = SmallResNet(4, widths=(3, 4)).eval(), torch.rand(20, 3, 8, 8)

    def made(changes: dict, path: str) -> tuple[nn.Module, dict]:
        settings = compression_effect(SETTINGS | changes)
        result = compress(network, data, settings, *(torch.Generator() for _ in "ab"))
        description = {
            "network": spec,
            "layers": [row.row() for row in result.layers],
            "transforms": result.transforms,
        }
        packing.save(tmp_path / path, result.network.state_dict(), description, result.packed)
        return result.network, inspection.inspect(tmp_path / path)["totals"]

    quantized, totals = made(changes, "on.safetensors")
    off = {
        key: value for key, value in changes.items() if key not in ("bias_correction", "batchnorm")
    }
    plain, plain_totals = made(off, "off.safetensors")
    loaded = packing.load(tmp_path / "on.safetensors").eval()
    with torch.inference_mode():
        assert torch.equal(loaded(data), quantized.eval()(data))
        assert not torch.equal(loaded(data), plain.eval()(data))
    # Other totals depend on the codes, and on the digits of the report's errors.
    for name in ("weights", "float_bytes", "bits_per_weight"):
        assert totals[name] == plain_totals[name]
    assert abs(totals["file_bytes"] - plain_totals["file_bytes"]) < 64
