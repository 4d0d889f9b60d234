"""States as frameworks save them: what stands around, before and between a network's names."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_model
from torch import Tensor, nn
from torch.nn.utils import weight_norm

from laq.checkpoints import pretrained
from laq.checkpoints.pretrained import states
from laq.models import networks
from laq.utils.errors import DataError


class Net(nn.Module):
    """What is saved and loaded here: batch norm, and a buffer that no state holds."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.fc = nn.Linear(4, classes)
        self.register_buffer("table", torch.arange(3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((2, 3)))


def source(seed: int = 1) -> Net:
    torch.manual_seed(seed)
    return Net().eval()


def state(prefix: str = "", seed: int = 1) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in source(seed).state_dict().items()}


def loaded(content: Any, folder: Path, new_head: bool = False, classes: int = 3) -> Net:
    path = folder / "own.pth"
    torch.save(content, path)
    network = Net(classes)
    pretrained.load_into(network, pretrained.read(path), str(path), new_head, classes)
    return network.eval()


def assert_same(network: nn.Module, other: nn.Module) -> None:
    for name, value in other.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name


def compiled_inside() -> dict[str, Tensor]:
    network = source()
    network.features = torch.compile(network.features)
    return network.state_dict()


WRAPPED = {
    "AveragedModel": lambda: torch.optim.swa_utils.AveragedModel(source()).state_dict(),
    "Lightning": lambda: {
        "state_dict": {**state("model."), "criterion.weight": torch.ones(3)},
        "epoch": 3,
        "loops": {"fit_loop": {"state_dict": {}}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}}],
    },
    "Lightning of a compiled network": lambda: {"state_dict": state("model._orig_mod.")},
    "thop": lambda: {
        **state(),
        **{f"{name}.total_ops": torch.zeros(1) for name in ("fc", "features.0")},
        "total_params": torch.zeros(1),
    },
    "thop in DataParallel": lambda: {**state("module."), "module.fc.total_ops": torch.zeros(1)},
    "net": lambda: {"net": state(), "acc": 93.0, "epoch": 1},
    "net in DataParallel": lambda: {"net": state("module."), "acc": 93.0},
    "model_state_dict": lambda: {"model_state_dict": state(), "loss": torch.tensor(0.1)},
    "state_dict_ema": lambda: {"state_dict_ema": state("module."), "arch": "net"},
    "model and optimizer": lambda: {
        "model": state("_orig_mod.module."),
        "optimizer": {"state": {0: {"momentum_buffer": torch.full((2,), torch.inf)}}},
    },
    "mapping in a mapping": lambda: {"checkpoint": {"model": {"state_dict": state()}}},
    "DataParallel of a part": lambda: {
        name.replace("features.", "features.module."): value for name, value in state().items()
    },
    "a compiled part": compiled_inside,
    "FSDP": lambda: state("_fsdp_wrapped_module."),
    "an old buffer": lambda: {**state(), "table": torch.arange(3)},
    "a number beside": lambda: {**state(), "epoch": 5},
    "the average is the same": lambda: {"model": state(), "ema": state("module.")},
    "an average of parameters alone": lambda: {
        "model": state(),
        "ema": {name: p.detach() for name, p in source(2).named_parameters()},
    },
}


@pytest.mark.parametrize("content", WRAPPED.values(), ids=WRAPPED)
def test_states_of_frameworks_are_loaded(content: Any, tmp_path: Path) -> None:
    assert_same(loaded(content(), tmp_path), source())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            lambda: {"state_dict": state(), "state_dict_ema": state(seed=2)},
            r"several states that fit .* state_dict\. and state_dict_ema\. before",
        ),
        (
            lambda: {"state_dict": {**state("model."), **state("ema_model.module.", 2)}},
            r"state_dict\.model\. and state_dict\.ema_model\.module\. before",
        ),
        (
            lambda: {**state(), **state("ema.", 2)},
            r"with no prefix and ema\. before",
        ),
        (
            lambda: {**state("model."), **state("model._orig_mod.", 2)},
            r"model\. and model\._orig_mod\. before",
        ),
        (
            lambda: {**state(), "features.module.0.weight": torch.zeros(4, 2, 3, 3)},
            r"features\.0\.weight and features\.module\.0\.weight are both",
        ),
    ],
    ids=["timm", "Lightning", "beside", "compiled", "one name twice"],
)
def test_states_of_which_several_fit_are_refused_by_the_file_s_own_names(
    content: Any, says: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=says):
        loaded(content(), tmp_path)


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weights_under_weight_norm_are_what_the_layer_computes(
    dim: int | None, tmp_path: Path
) -> None:
    network = source()
    for layer in (network.fc, network.features[0]):
        weight_norm(layer, dim=dim)
        layer.weight_g.data.mul_(1.7)
    x = torch.rand(2, 2, 5, 5)
    expected = network(x)
    assert "fc.weight_g" in network.state_dict()
    found = loaded({"net": network.state_dict()}, tmp_path)
    torch.testing.assert_close(found(x), expected)
    assert torch.equal(found.fc.weight, network.fc.weight)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 4)
        self.two = self.one
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.two(self.one(x).relu()))


def test_a_tensor_of_several_names_may_have_one_of_them_in_the_file(tmp_path: Path) -> None:
    made, path = Tied(), tmp_path / "tied.safetensors"
    save_model(made, str(path))
    assert not {"one.weight", "two.weight"} <= pretrained.read(path).keys()
    network = Tied()
    pretrained.load_into(network, pretrained.read(path), str(path), False)
    assert torch.equal(network.two.weight, made.one.weight)
    assert network.one.weight is network.two.weight


# Weights of other classes


class Heads(nn.Module):
    """A linear and a convolutional output layer, and one that is none by its number of inputs."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3)
        self.conv_head = nn.Conv2d(4, classes, 1)
        self.head = nn.Linear(4, classes)
        self.last = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        return self.conv_head(x).mean((2, 3)) + self.head(self.last(x.mean((2, 3))))


@pytest.mark.parametrize("missing", [False, True], ids=["other shapes", "missing"])
def test_every_output_layer_is_new_for_other_classes_and_nothing_else(missing: bool) -> None:
    torch.manual_seed(3)
    made, network = Heads(10), Heads(6)
    fresh = copy.deepcopy(network.state_dict())
    content = {
        name: value for name, value in made.state_dict().items() if not (missing and "head" in name)
    }
    pretrained.load_into(network, content, "the weights", True, 6)
    for name, value in network.state_dict().items():
        expected = fresh[name] if "head" in name else made.state_dict()[name]
        assert torch.equal(value, expected), name
    with pytest.raises(DataError, match="lack conv_head" if missing else "for 10 classes, not 6"):
        pretrained.load_into(Heads(6), content, "the weights", False, 6)


def test_tensors_are_matched_in_order_where_their_names_are_others() -> None:
    network = networks.create("resnet18", 5, stem="standard")
    own = network.state_dict()
    theirs = {
        f"{place}.{name.rpartition('.')[2]}": x + 1 for place, (name, x) in enumerate(own.items())
    }
    found = states.in_order(theirs, network, "the weights")
    assert list(found) == [name for name in own if not name.endswith("num_batches_tracked")]
    assert all(torch.equal(value, own[name] + 1) for name, value in found.items())
    swapped = dict(theirs)
    swapped["0.weight"], swapped["6.weight"] = theirs["6.weight"], theirs["0.weight"]
    with pytest.raises(
        DataError, match=r"0.weight \(64, 64, 3, 3\) comes where .* body.conv1.weight"
    ):
        states.in_order(swapped, network, "the weights")
    with pytest.raises(DataError, match=r"hold 101 tensors, and the network has 102"):
        states.in_order(dict(list(theirs.items())[:-1]), network, "the weights")
