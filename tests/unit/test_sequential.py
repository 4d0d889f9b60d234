"""One pass over the traced graph against rerunning both networks from the images for each layer."""

from __future__ import annotations

import copy
import json
import weakref
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from laq.models.small_resnet import SmallResNet
from laq.ptq import calibration, folding, fx_runner
from laq.ptq.layer import QuantizedLayer, Samples, relative_error
from laq.ptq.patches import Sampling
from laq.ptq.sequential import QuantizedNetwork, folded, quantize_network
from laq.quantizers.uniform import Alphabet
from laq.utils.errors import DataError

torch.set_num_threads(1)

ALL = Sampling("all")
PUBLISHED = Sampling("published", 0.25)


def alphabet(weight: Tensor, bits: int = 3) -> Alphabet:
    return Alphabet.from_weights(weight, bits, "packed")


def three_bits(name: str, weight: Tensor) -> list[tuple[int, Alphabet]]:
    return [(len(weight), alphabet(weight))]


def quantize(network: nn.Module, images: Tensor, **options) -> QuantizedNetwork:
    generator = torch.Generator().manual_seed(5)
    defaults = {"solver": naive, "alphabets": three_bits, "sampling": ALL, "generator": generator}
    return quantize_network(network, images, **{**defaults, **options})


def codes_of(result: QuantizedNetwork) -> dict[str, Tensor]:
    return {name: torch.cat([run.codes for run in runs]) for name, runs in result.packed.items()}


def assert_same_codes(result: QuantizedNetwork, expected: QuantizedNetwork) -> None:
    found, wanted = codes_of(result), codes_of(expected)
    assert list(found) == list(wanted)
    for name, codes in wanted.items():
        assert torch.equal(found[name], codes), name


def images(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def ready(network: nn.Module) -> nn.Module:
    """Float64, in evaluation mode, with weights and BatchNorm statistics of no special value."""
    generator = torch.Generator().manual_seed(1)
    network = network.double().eval()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
                tensor.copy_(noise - 0.4 if tensor.ndim > 1 else noise + 0.3)
    return network


# The reference: the published procedure, one layer and one column at a time.


def naive_codes(w: Tensor, x: Tensor, xq: Tensor, step: Tensor, largest: int) -> Tensor:
    """Codes (N, d) by the definition of GPFQ (Lybrand & Saab 2021), in the dtype given."""
    codes = torch.zeros(w.shape, dtype=torch.int64)
    u = x.new_zeros(len(x), len(w))
    for t in range(w.shape[1]):
        u = u + x[:, t, None] * w[:, t]
        norm = xq[:, t] @ xq[:, t]
        if norm > 0:
            a = xq[:, t] @ u / norm  # (N,)
            codes[:, t] = torch.round(a / step.flatten()).clamp(-largest, largest).long()
        u = u - xq[:, t, None] * (codes[:, t] * step.flatten())
    return codes


def naive(weight: Tensor, samples: Samples, alphabet: Alphabet) -> QuantizedLayer:
    """A solver after the definition, group by group, its error written out."""
    x, xq = samples.gather()
    assert len(x) == samples.rows
    codes, outputs, differences = [], [], []
    steps = alphabet.step.expand(len(weight), 1)
    parts = zip(
        weight.chunk(samples.groups),
        steps.chunk(samples.groups),
        x.split(samples.columns, 1),
        xq.split(samples.columns, 1),
        strict=True,
    )
    for w, step, inputs, quantized_inputs in parts:
        codes.append(naive_codes(w, inputs, quantized_inputs, step, alphabet.largest))
        outputs.append(inputs @ w.T)
        differences.append(outputs[-1] - quantized_inputs @ (codes[-1] * step).T)
    reference = float(torch.cat(outputs, 1).norm())
    error = relative_error(float(torch.cat(differences, 1).norm()), reference)
    silent = int((xq.norm(dim=0) == 0).sum())
    return QuantizedLayer(torch.cat(codes), alphabet, error, reference, silent)


def nearest(weight: Tensor, samples: Samples, alphabet: Alphabet) -> QuantizedLayer:
    return QuantizedLayer(alphabet.nearest(weight), alphabet, 0.0, 1.0, 0)


def first_input(network: nn.Module, name: str, batch: Tensor) -> Tensor:
    """What layer ``name`` gets at its first call, in a run from the images."""
    seen: list[Tensor] = []
    handle = network.get_submodule(name).register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((*args, *kwargs.values())[0].clone()),
        with_kwargs=True,
    )
    with torch.no_grad():
        network(batch.clone())
    handle.remove()
    return seen[0]


def forward_order(network: nn.Module, batch: Tensor) -> list[str]:
    order: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: order.append(name))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        network(batch.clone())
    for handle in handles:
        handle.remove()
    return list(dict.fromkeys(order))


def matrix(layer: nn.Module, x: Tensor, sampling: Sampling, drawn: Tensor | None) -> Tensor:
    if isinstance(layer, nn.Linear):
        return x.reshape(-1, x.shape[-1])
    stride = layer.stride if sampling.kind == "all" else layer.kernel_size
    columns = nn.functional.unfold(
        x, layer.kernel_size, dilation=layer.dilation, padding=layer.padding, stride=stride
    )
    rows = torch.cat([image.T for image in columns])
    return rows if drawn is None else rows[drawn]


@dataclass
class Reference:
    codes: dict[str, Tensor]
    errors: dict[str, float]
    network: nn.Module


def published_draw(images: int, patches: int, generator: torch.Generator) -> Tensor:
    """Of each image a quarter of its patches, rounded down, and one, with replacement."""
    drawn = torch.randint(patches, (images, int(0.25 * patches + 1)), generator=generator)
    return torch.cat([image * patches + drawn[image] for image in range(images)])


def reference(network: nn.Module, batch: Tensor, sampling: Sampling = ALL) -> Reference:
    generator = torch.Generator().manual_seed(5)
    quantized, codes, errors = copy.deepcopy(network), {}, {}
    for name in forward_order(network, batch):
        layer = network.get_submodule(name)
        x, xq = first_input(network, name, batch), first_input(quantized, name, batch)
        drawn = None
        if sampling.kind == "published" and isinstance(layer, nn.Conv2d):
            patches = len(matrix(layer, x, sampling, None))
            drawn = published_draw(len(batch), patches // len(batch), generator)
        x, xq = (matrix(layer, value, sampling, drawn) for value in (x, xq))
        weight = layer.weight.detach()
        levels = alphabet(weight.flatten(1))
        groups = getattr(layer, "groups", 1)
        filters, inputs = len(weight) // groups, x.shape[1] // groups
        parts, outputs, differences = [], [], []
        for g in range(groups):
            w = weight.flatten(1)[g * filters : (g + 1) * filters]
            part = x[:, g * inputs : (g + 1) * inputs], xq[:, g * inputs : (g + 1) * inputs]
            parts.append(naive_codes(w, *part, levels.step.expand(filters, 1), levels.largest))
            outputs.append(part[0] @ w.T)
            differences.append(outputs[-1] - part[1] @ (parts[-1] * levels.step).T)
        codes[name] = torch.cat(parts).reshape(weight.shape)
        errors[name] = float(torch.cat(differences, 1).norm() / torch.cat(outputs, 1).norm())
        quantized.get_submodule(name).weight.data = codes[name] * levels.step
    return Reference(codes, errors, quantized)


# Networks, each with something that a walk over the graph could get wrong.


class Joined(nn.Module):
    """cat, chunk, +, functional and method calls, a parameter used directly, work in place."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 4, 1, 1))
        self.register_buffer("shift", torch.zeros(4, 1, 1))
        self.left = nn.Conv2d(2, 4, 3, padding=1)
        self.right = nn.Conv2d(2, 2, 1)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor, hidden: bool = False) -> Tensor:
        x.sub_(0.5)
        y = self.left(input=x).mul(self.scale) + self.shift
        y = nn.functional.relu(y, inplace=True)
        first, second = y.chunk(2, dim=1)
        z = torch.cat([first + second, self.right(second).relu_(), x], dim=1)
        features = z.mean((2, 3))
        return features if hidden else self.fc(features)


class Twice(nn.Module):
    """One layer called twice, on different inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.fc = nn.Linear(2 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(self.conv(x).relu()).flatten(1))


class Tokens(nn.Module):
    """Linear layers on (n, tokens, features)."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2)  # (n, 2, 16)
        tokens = self.inner(tokens.unflatten(2, (4, 4)).flatten(1, 2)).relu()
        return self.outer(tokens).amax(1)


def sequential(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))


NETWORKS = {
    "small_resnet": lambda: SmallResNet(3, channels=2, widths=(3, 4)),
    "grouped": lambda: sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ReLU()),
    "depthwise": lambda: sequential(
        nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, groups=4, padding=1, stride=2)
    ),
    "dilated, strided": lambda: sequential(
        nn.Conv2d(2, 3, (3, 1), dilation=(1, 2), stride=(1, 2), padding=(2, 1)),
        nn.ReLU(),
        nn.Conv2d(3, 3, (1, 2), padding=(0, 1)),
    ),
    "joined": Joined,
    "twice": Twice,
    "tokens": Tokens,
}


def example(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    batch = images(3, 2, 8, 8) if name == "small_resnet" else images(3, 2, 4, 4)
    network = NETWORKS[name]().double().eval()
    network(batch.clone())  # lazy layers take their shape
    return ready(network), batch


@pytest.mark.parametrize("sampling", [ALL, PUBLISHED], ids=lambda sampling: sampling.kind)
@pytest.mark.parametrize("name", NETWORKS)
def test_codes_and_errors_are_those_of_the_published_procedure(name, sampling):
    network, batch = example(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    result = quantize(network, batch, sampling=sampling)
    expected = reference(network, batch, sampling)

    assert result.packed.keys() == {f"{layer}.weight" for layer in expected.codes}
    for layer, codes in expected.codes.items():
        assert torch.equal(codes_of(result)[f"{layer}.weight"], codes), layer
    errors = {row.layer: row.error for row in result.layers if not row.reason}
    assert errors == pytest.approx(expected.errors, rel=1e-6)
    with torch.no_grad():
        assert torch.equal(result.network(batch.clone()), expected.network(batch.clone()))

    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize("bits", [2, 4, 8, 32])
def test_packed_codes_are_the_weights_of_the_network_bit_for_bit(bits):
    torch.manual_seed(0)
    network = SmallResNet(3, widths=(3, 4))
    result = quantize(
        network,
        torch.rand(4, 3, 8, 8),
        alphabets=lambda name, weight: [(len(weight), alphabet(weight, bits))],
    )
    state = result.network.state_dict()
    assert len(result.packed) == 7
    for name, (weight,) in result.packed.items():
        assert torch.equal(state[name], weight.codes * weight.grid.step), name
        assert weight.codes.abs().max() <= 2 ** (bits - 1) - 1


def test_steps_of_channels_follow_their_groups():
    network = ready(nn.Sequential(nn.Conv2d(4, 8, 1, groups=4)))
    with torch.no_grad():
        network[0].weight *= torch.arange(1, 9)[:, None, None, None]
    result = quantize(
        network,
        images(4, 4, 3, 3),
        alphabets=lambda name, weight: [
            (len(weight), Alphabet.from_weights(weight, 8, per_channel=True))
        ],
    )
    (packed,) = result.packed["0.weight"]
    assert packed.grid.step.shape == (8, 1)
    # One input a filter and no drift: each weight goes to its nearest level.
    levels = torch.round(network[0].weight.flatten(1) / packed.grid.step)
    assert torch.equal(packed.codes.flatten(1), levels.long())


def test_the_report_counts_weights_samples_zeros_and_silent_inputs():
    torch.manual_seed(0)
    network = SmallResNet(5, widths=(4, 8))
    batch = torch.rand(4, 3, 8, 8)
    batch[:, 1] = 0.5  # normalised to exactly 0: nine inputs of the stem never fire
    result = quantize(network, batch)
    modules = dict(network.named_modules())
    assert [row.layer for row in result.layers] == [
        name for name, module in modules.items() if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    for row in result.layers:
        weight = modules[row.layer].weight
        (packed,) = result.packed[f"{row.layer}.weight"]
        assert row.kind == type(modules[row.layer]).__name__
        assert row.shape == "x".join(str(side) for side in weight.shape)
        assert (row.weights, row.bits, row.levels, row.reason) == (weight.numel(), 3, 7, "")
        assert row.step == pytest.approx(float(packed.grid.step))
        assert (row.zeros, row.split) == (int((packed.codes == 0).sum()), "")
        assert row.bytes == packed.nbytes
        assert 0 < row.entropy < 3
    rows = {row.layer: row for row in result.layers}
    assert rows["stem.0"].silent == 9
    assert rows["stem.0"].samples == 4 * 64
    assert rows["stages.1.conv1"].samples == 4 * 16
    assert (rows["head"].samples, rows["head"].silent) == (4, 0)


def test_kept_layers_stay_float_and_say_why():
    network, batch = example("small_resnet")
    result = quantize(network, batch, skip_layers={"head": "the last layer", "stem.0": "the first"})
    rows = {row.layer: row for row in result.layers}
    assert (rows["head"].reason, rows["head"].bits) == ("the last layer", 32)
    assert rows["head"].error is rows["head"].levels is None
    assert rows["stem.0"].reason == "the first"
    assert not result.packed.keys() & {"head.weight", "stem.0.weight"}
    assert torch.equal(result.network.head.weight, network.head.weight)
    assert len(rows) == 7 and len(result.packed) == 5


class Mixed(nn.Module):
    """Weights of many kinds; of them only ``fc`` can be quantized."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.rand(1, 4))
        self.table = nn.Embedding(3, 4)
        self.conv1d = nn.Conv1d(1, 2, 3)
        self.up = nn.ConvTranspose2d(2, 2, 2)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.BatchNorm1d(4)
        self.fc = nn.Linear(4, 4)
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.fc.weight
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tied(self.fc(self.norm(x + self.position)).relu())
        return self.attention(x, x, x)[0]


def test_weights_that_cannot_be_quantized_are_listed_with_the_reason():
    network = ready(Mixed())
    result = quantize(network, images(5, 4))
    assert list(result.packed) == ["fc.weight"]
    reasons = {row.layer: row.reason for row in result.layers}
    assert reasons == {
        "position": "Mixed is not quantized, only Conv2d and Linear are",
        "table": "Embedding is not quantized, only Conv2d and Linear are",
        "conv1d": "Conv1d is not quantized, only Conv2d and Linear are",
        "up": "ConvTranspose2d is not quantized, only Conv2d and Linear are",
        "attention.in_proj_weight": (
            "MultiheadAttention is not quantized, only Conv2d and Linear are"
        ),
        "attention.out_proj": "never called as a module",
        "fc": "",
        "tied": "shares the codes of fc",
        "unused": "never called as a module",
    }
    rows = {row.layer: row for row in result.layers}
    assert (rows["conv1d"].shape, rows["conv1d"].weights) == ("2x1x3", 6)
    assert all(row.bits == 32 for row in result.layers if row.reason)
    # Every weight is in exactly one row, but for BatchNorm and biases; a tied one in two.
    listed = sum(row.weights for row in result.layers)
    assert listed == 16 + sum(p.numel() for p in network.parameters() if p.ndim > 1)
    assert result.network.tied.weight is result.network.fc.weight


class Chain(nn.Module):
    """Layers in a row, with one value that is held across them and one that nobody uses."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(length))
        self.aside = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        held = x = self.layers[0](x)
        self.aside(x)
        for layer in self.layers[1:-1]:
            x = layer(x)
        return self.layers[-1](x + held)


def test_activations_are_freed_after_their_last_use():
    network = ready(Chain(10))
    made: list[weakref.ref] = []
    most = 0

    def watch(*arguments) -> None:
        nonlocal most
        if len(arguments[-1]) < 5:  # two images, on which the network is tried
            return
        made.append(weakref.ref(arguments[-1]))
        most = max(most, sum(reference() is not None for reference in made))

    for layer in (*network.layers, network.aside):
        layer.register_forward_hook(watch)
    quantize(network, images(5, 4))
    # Nine layers and the one aside, on both sides, each run once; nothing waits for the last.
    assert len(made) == 20
    # Held and output on both sides, and the input on the side that runs.
    assert most == 5


def test_inputs_that_are_not_finite_stop_with_the_layers_name():
    network, batch = example("small_resnet")
    batch[1, 0, 2, 2] = torch.nan
    with pytest.raises(DataError, match=r"layer stem\.0: .*input.* not finite"):
        quantize(network, batch)
    network, batch = example("small_resnet")
    with torch.no_grad():
        network.stages[0].bn2.bias[0] = torch.inf
    with pytest.raises(DataError, match=r"layer stages\.1\.conv1: .*input.* not finite"):
        quantize(network, batch)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) if x.sum() > 0 else self.fc(-x)


class Looping(Branching):
    def forward(self, x: Tensor) -> Tensor:
        return sum(self.fc(x[i : i + 1]) for i in range(len(x)))


class Lookup(Branching):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x * {4: 1.0}[x.shape[1]])


@pytest.mark.parametrize("kind", [Branching, Looping, Lookup])
def test_a_network_that_cannot_be_traced_is_rerun_for_each_layer_and_says_so(kind, caplog):
    network, batch = ready(kind()), images(2, 4) - 0.5
    result = quantize(network, batch)
    assert f"{kind.__name__} cannot be traced" in caplog.text
    assert "rerun" in caplog.text and "slower" in caplog.text
    assert torch.equal(codes_of(result)["fc.weight"], reference(network, batch).codes["fc"])


# Chunks, files and the walk without a graph: the same results by other ways.


@pytest.fixture
def two_images_a_chunk(monkeypatch):
    monkeypatch.setattr(calibration, "CHUNK", 2)


@pytest.mark.parametrize("sampling", [ALL, PUBLISHED], ids=lambda sampling: sampling.kind)
@pytest.mark.parametrize("name", NETWORKS)
def test_chunks_of_images_give_the_codes_of_the_whole(name, sampling, two_images_a_chunk):
    network, batch = example(name)  # three images: two chunks
    result = quantize(network, batch, sampling=sampling)
    # Ties and draws aside, the order of samples does not matter in float64.
    expected = reference(network, batch, sampling)
    for layer, codes in expected.codes.items():
        assert torch.equal(codes_of(result)[f"{layer}.weight"], codes), layer
    errors = {row.layer: row.error for row in result.layers if not row.reason}
    assert errors == pytest.approx(expected.errors, rel=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_activations_in_files_give_the_same_bits(name, two_images_a_chunk):
    network, batch = example(name)
    held, spilled = (quantize(network, batch, memory=memory) for memory in (2**30, 0))
    assert_same_codes(spilled, held)
    assert spilled.layers == held.layers


@pytest.mark.parametrize("sampling", [ALL, PUBLISHED], ids=lambda sampling: sampling.kind)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_walk_by_hooks_gives_the_same_bits(name, sampling, two_images_a_chunk, monkeypatch):
    network, batch = example(name)
    traced = quantize(network, batch, sampling=sampling)

    def refuse(network: nn.Module) -> None:
        raise fx_runner.UntraceableError("refused")

    monkeypatch.setattr(fx_runner, "trace", refuse)
    for memory in (2**30, 0):
        result = quantize(network, batch, sampling=sampling, memory=memory)
        assert_same_codes(result, traced)
        assert result.layers == traced.layers


@pytest.mark.parametrize("sampling", [ALL, PUBLISHED], ids=lambda sampling: sampling.kind)
def test_a_fresh_batch_for_each_layer_is_the_naive_rerun(sampling):
    network, _ = example("small_resnet")
    pool = images(9, 2, 8, 8, seed=4)
    result = quantize(
        network, pool, sampling=sampling, batch=4, skip_layers={"stages.0.conv1": "kept"}
    )

    generator = torch.Generator().manual_seed(5)
    quantized = copy.deepcopy(network)
    for name in forward_order(network, pool):
        if name == "stages.0.conv1":
            continue
        batch = pool[torch.randperm(9, generator=generator)[:4]]
        layer = network.get_submodule(name)
        x, xq = first_input(network, name, batch), first_input(quantized, name, batch)
        drawn = None
        if sampling.kind == "published" and isinstance(layer, nn.Conv2d):
            patches = len(matrix(layer, x, sampling, None))
            drawn = published_draw(len(batch), patches // len(batch), generator)
        levels = alphabet(layer.weight.detach().flatten(1))
        samples = Samples.of(*(matrix(layer, value, sampling, drawn) for value in (x, xq)))
        expected = naive(layer.weight.detach().flatten(1), samples, levels)
        assert torch.equal(codes_of(result)[f"{name}.weight"].flatten(1), expected.codes), name
        quantized.get_submodule(name).weight.data = expected.weight.view(layer.weight.shape)


def test_the_sides_are_one_until_a_layer_is_quantized():
    network = ready(Chain(4))
    calls: list[str] = []
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda *_, name=name: calls.append(name))
    quantize(network, images(3, 4), skip_layers={"layers.0": "kept", "aside": "kept"})
    asked = {name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    tried = 3 * len(asked)  # two images, on the network, on its graph and on the copy
    assert set(calls[:tried]) == asked
    del calls[:tried]
    assert sorted(calls) == ["aside", "layers.0", *["layers.1"] * 2, *["layers.2"] * 2]


# Runs of rows with alphabets of their own


def mixed(name: str, weight: Tensor) -> list[tuple[int, Alphabet]]:
    first = len(weight) // 3 + 1
    return [
        (first, alphabet(weight[:first], 5)),
        (len(weight) - first, alphabet(weight[first:], 2)),
    ]


def test_runs_of_rows_have_alphabets_of_their_own():
    network, batch = example("small_resnet")
    result = quantize(network, batch, alphabets=mixed)
    quantized = copy.deepcopy(network)
    rows = {row.layer: row for row in result.layers}
    for name in forward_order(network, batch):
        layer = network.get_submodule(name)
        x, xq = first_input(network, name, batch), first_input(quantized, name, batch)
        pair = matrix(layer, x, ALL, None), matrix(layer, xq, ALL, None)
        weight = layer.weight.detach().flatten(1)
        values = []
        runs = zip(result.packed[f"{name}.weight"], mixed(name, weight), strict=True)
        for part, (packed, (size, levels)) in zip(
            weight.split([size for size, _ in mixed(name, weight)]), runs, strict=True
        ):
            expected = naive(part, Samples.of(*pair), levels)
            assert packed.codes.shape == (size, *layer.weight.shape[1:])
            assert torch.equal(packed.codes.flatten(1), expected.codes), name
            assert packed.grid.bits == levels.bits
            values.append(expected.weight)
        target = quantized.get_submodule(name).weight
        target.data = torch.cat(values).view(target.shape)
        assert torch.equal(result.network.get_submodule(name).weight, target)

        difference = pair[0] @ weight.T - pair[1] @ target.detach().flatten(1).T
        row, first = rows[name], len(weight) // 3 + 1
        assert row.error == pytest.approx(float(difference.norm() / (pair[0] @ weight.T).norm()))
        assert row.split == f"5:{first} 2:{len(weight) - first}"
        assert row.bits == pytest.approx((5 * first + 2 * (len(weight) - first)) / len(weight))
        assert row.levels is row.step is None
        assert row.bytes == sum(run.nbytes for run in result.packed[f"{name}.weight"])
        assert row.silent == int((pair[1].norm(dim=0) == 0).sum())


# BatchNorm folded


def test_folding_quantizes_the_folded_weights_and_says_how_to_build_the_network():
    network, batch = example("small_resnet")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    whole, (entry,) = folded(network, batch)
    result = quantize(whole, batch)
    scale = network.stem[1].weight / (network.stem[1].running_var + network.stem[1].eps).sqrt()
    weight = network.stem[0].weight.detach().flatten(1) * scale.detach()[:, None]
    (packed,) = result.packed["stem.0.weight"]
    assert packed.grid.step == pytest.approx(float(alphabet(weight).step), rel=1e-12)
    fields = {key: value for key, value in entry.items() if key != "kind"}
    fresh = SmallResNet(3, channels=2, widths=(3, 4)).double().eval()
    fresh = folding.apply(fresh, **json.loads(json.dumps(fields)))
    fresh.load_state_dict(result.network.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh(batch), result.network(batch))
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_many_bits_on_a_folded_network_give_its_outputs():
    network, batch = example("small_resnet")
    result = quantize(
        folded(network, batch)[0],
        batch,
        solver=nearest,
        alphabets=lambda _, weight: [
            (len(weight), Alphabet.from_weights(weight, 32, per_channel=True))
        ],
    )
    with torch.no_grad():
        torch.testing.assert_close(result.network(batch), network(batch), rtol=1e-6, atol=1e-6)
