"""Networks that compute with something else than their layers: right, or refused by name."""

from __future__ import annotations

import copy
import functools
import types

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from laq.ptq.sequential import folded, quantize_network
from laq.utils.errors import LaqError
from tests.unit.test_sequential import (
    assert_same_codes,
    images,
    quantize,
    ready,
)

torch.set_num_threads(1)


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(16, 3)]
    return ready(nn.Sequential(*layers))


def batch() -> Tensor:
    return images(5, 2, 6, 6)


# What is made of a network, and no longer its modules


def compiled() -> nn.Module:
    network = torch.compile(plain(), backend="eager")
    with torch.no_grad():
        network(batch())
    return network


def compiled_in_place() -> nn.Module:
    network = plain()
    network.compile(backend="eager")
    return network


def compiled_inside() -> nn.Module:
    network = plain()
    network[2] = torch.compile(network[2], backend="eager")
    return network


def compiled_forward() -> nn.Module:
    network = plain()
    network.forward = torch.compile(network.forward, backend="eager")
    return network


def scripted_inside() -> nn.Module:
    network = plain()
    network[0] = torch.jit.script(network[0])
    return network


def exported(unflattened: bool = False) -> nn.Module:
    program = torch.export.export(plain(), (batch(),))
    return torch.export.unflatten(program) if unflattened else program.module()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (compiled, r"network was compiled by torch\.compile.*hand over .*network\._orig_mod"),
        (compiled_in_place, r"network was compiled by its method compile\(\).*copy\.deepcopy"),
        (compiled_inside, r"network\.2 was compiled by torch\.compile.*network\.2\._orig_mod"),
        (compiled_forward, "network has a forward that was compiled"),
        (lambda: torch.jit.script(plain()), r"network was scripted or traced by torch\.jit"),
        (
            lambda: torch.jit.trace(plain(), batch()),
            r"network was scripted or traced by torch\.jit",
        ),
        (scripted_inside, r"network\.0 was scripted or traced"),
        (exported, r"network was made by torch\.export.*hand over the module"),
        (lambda: exported(True), r"was made by torch\.export"),
        (lambda: torch.export.export(plain(), (batch(),)), "ExportedProgram is no torch"),
        (lambda: nn.DataParallel(plain()), r"network is a DataParallel.*network\.module"),
        (lambda: nn.Sequential(nn.DataParallel(plain())), r"network\.0 is a DataParallel"),
    ],
    ids=lambda value: getattr(value, "__name__", "")[:20],
)
@pytest.mark.filterwarnings("ignore")
def test_what_was_made_of_a_network_is_refused_with_what_to_hand_over(make, message):
    network = make()
    with pytest.raises(LaqError, match=message):
        quantize(network, batch())
    with pytest.raises(LaqError, match=message):
        folded(network, batch())


def test_what_is_to_be_handed_over_can_be():
    expected = quantize(plain(), batch())
    assert_same_codes(quantize(compiled()._orig_mod, batch()), expected)
    assert_same_codes(quantize(copy.deepcopy(compiled_in_place()), batch()), expected)
    assert_same_codes(quantize(nn.DataParallel(plain()).module, batch()), expected)
    assert_same_codes(quantize(torch.fx.symbolic_trace(plain()), batch()), expected)


# A forward that was replaced on an instance


def rolled(layer: nn.Conv2d, x: Tensor) -> Tensor:
    return nn.functional.conv2d(x.roll(1, -1), layer.weight, layer.bias)


def same(layer: nn.Conv2d, x: Tensor) -> Tensor:
    return nn.functional.conv2d(x, layer.weight, layer.bias)


WAYS = {
    "lambda": lambda layer, function: lambda x: function(layer, x),
    "default": lambda layer, function: lambda x, layer=layer: function(layer, x),
    "partial": lambda layer, function: functools.partial(function, layer),
    "method": lambda layer, function: types.MethodType(function, layer),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", [{}, {"batch": 5}], ids=["traced", "rerun"])
def test_a_layer_with_a_forward_of_another_is_refused_by_name(way, options):
    network = plain()
    network[2].forward = WAYS[way](network[2], rolled)
    with pytest.raises(LaqError, match=r"layer 2 computes something else .*forward was replaced"):
        quantize(network, batch(), **options)


@pytest.mark.parametrize("way", WAYS)
def test_a_replaced_forward_that_computes_the_same_is_right_or_refused(way):
    network = plain()
    network[2].forward = WAYS[way](network[2], same)
    if way in ("partial", "method"):  # which are copied with the layer that they hold
        assert_same_codes(quantize(network, batch()), quantize(plain(), batch()))
    else:
        with pytest.raises(LaqError, match="layer 2 computes something else"):
            quantize(network, batch())


# Hooks


class Gain(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.tensor([0.1, 0.1, 5.0, 5.0], dtype=x.dtype).view(-1, 1, 1)


def as_module() -> nn.Module:
    parts = list(plain())
    return nn.Sequential(*parts[:2], Gain(), *parts[2:]).eval()


def by_pre_hook() -> nn.Module:
    network = plain()
    network[2].register_forward_pre_hook(lambda _, inputs: (Gain()(inputs[0]),))
    return network


def by_hook() -> nn.Module:
    network = plain()
    network[1].register_forward_hook(lambda _, inputs, output: Gain()(output))
    return network


def by_hook_of_a_layer() -> nn.Module:
    network = plain()
    network[0].register_forward_hook(lambda _, inputs, output: Gain()(output))  # before the ReLU
    return network


def by_hook_of_a_part() -> nn.Module:
    network = nn.Sequential(plain()[:2], plain()[2:]).eval()
    network[0].register_forward_hook(lambda _, inputs, output: Gain()(output))
    return network


@pytest.mark.parametrize("options", [{}, {"batch": 5}], ids=["traced", "rerun"])
@pytest.mark.parametrize("make", [by_pre_hook, by_hook, by_hook_of_a_layer, by_hook_of_a_part])
def test_hooks_that_change_values_count(make, options):
    expected, result = quantize(as_module(), batch()), quantize(make(), batch(), **options)
    found, wanted = (list(each.packed.values()) for each in (result, expected))
    for mine, theirs in zip(found, wanted, strict=True):
        assert torch.equal(mine[0].codes, theirs[0].codes)
    errors = [[row.error for row in each.layers] for each in (result, expected)]
    assert errors[0] == pytest.approx(errors[1])


def normalised(hooked: str) -> nn.Module:
    torch.manual_seed(0)
    parts = [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)]
    network = ready(nn.Sequential(*parts))
    if hooked == "layer":
        network[0].register_forward_hook(lambda _, inputs, output: output + 1)
    if hooked == "norm":
        network[1].register_forward_hook(lambda _, inputs, output: output + 1)
    if hooked == "before the norm":
        network[1].register_forward_pre_hook(lambda _, inputs: (inputs[0] + 1,))
    if hooked == "forward":
        network[1].forward = lambda x: x + 1
    return network


@pytest.mark.parametrize("hooked", ["layer", "norm", "before the norm", "forward"])
def test_a_batchnorm_with_something_between_is_not_folded(hooked):
    network = normalised(hooked)
    result, entries = folded(network, batch())
    assert not entries
    torch.testing.assert_close(result(batch()), network(batch()))


# Precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused_with_the_call_that_helps(dtype):
    network = plain().to(dtype)
    with pytest.raises(LaqError, match=rf"0\.weight is {dtype}.*network\.float\(\)"):
        quantize_network(network, batch().to(dtype))
    result = quantize_network(network.float(), batch().to(dtype))
    assert len(result.packed) == 3


@pytest.mark.parametrize(
    ("make", "call"),
    [
        (nn.utils.weight_norm, "torch.nn.utils.remove_weight_norm({})"),
        (nn.utils.spectral_norm, "torch.nn.utils.remove_spectral_norm({})"),
        (
            nn.utils.parametrizations.weight_norm,
            'torch.nn.utils.parametrize.remove_parametrizations({}, "weight")',
        ),
        (
            lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
            'torch.nn.utils.prune.remove({}, "weight")',
        ),
    ],
    ids=["weight_norm", "spectral_norm", "parametrized", "pruned"],
)
@pytest.mark.filterwarnings("ignore")
def test_the_call_that_makes_a_plain_weight_is_said_and_works(make, call):
    network = plain()
    make(network[2])
    call = call.format("network.get_submodule('2')")
    with pytest.raises(LaqError) as raised:
        quantize(network, batch())
    assert call in str(raised.value)
    with torch.no_grad():
        before = network(batch())
    eval(call, {"torch": torch, "network": network})
    torch.testing.assert_close(network(batch()), before)
    assert len(quantize(network, batch()).packed) == 3
