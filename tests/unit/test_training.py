"""Training on problems small enough to know the answer."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn

from laq.models.small_resnet import SmallResNet
from laq.training import FINETUNING, TRAINING, Recipe, finetune, train
from laq.training.augmentation import POLICIES
from laq.utils.devices import seed_everything
from laq.utils.errors import DataError
from tests.configs import SCHEMA

torch.set_num_threads(1)

CPU = torch.device("cpu")
SETTINGS = {
    "epochs": 4,
    "batch_size": 16,
    "learning_rate": 0.05,
    "weight_decay": 5e-4,
    "label_smoothing": 0.0,
    "shift": 1,
}


def problem(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noisy images (n, 1, 8, 8) that are bright above (class 0) or below (class 1)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    images = torch.randint(0, 100, (n, 1, 8, 8), generator=generator)
    for image, label in zip(images, labels, strict=True):
        image[0, 4 * label : 4 * label + 4] += 150
    return images.to(torch.uint8), labels


def fit(function=train, network: nn.Module | None = None, n: int = 48, seed: int = 0, **changes):
    generator = seed_everything(seed)
    network = network or SmallResNet(2, channels=1, widths=(4, 6))
    history = function(network, problem(n), problem(20, seed=1), SETTINGS | changes, generator, CPU)
    return network, history


@pytest.mark.parametrize(("function", "rate"), [(train, 0.05), (finetune, 0.01)])
def test_a_separable_problem_is_learnt(function, rate):
    network, history = fit(function, learning_rate=rate, epochs=10)
    assert history[-1]["test_top1"] == 1
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    assert not network.training
    for tensor in network.state_dict().values():
        assert tensor.device == CPU and tensor.is_contiguous()


def test_a_network_that_flattens_by_view_is_trained():
    class Viewing(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            y = self[0](x)
            return self[1](y.view(len(y), -1))

    history = fit(network=Viewing(nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 2)), epochs=2)
    assert len(history) == 2


def test_the_history_has_a_row_an_epoch():
    _, history = fit()
    columns = ["epoch", "learning_rate", "train_loss", "train_top1", "test_top1"]
    assert all(list(row) == columns for row in history)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    rates = [row["learning_rate"] for row in history]
    # One cycle: the peak at 30 % of the steps, then down to next to nothing.
    assert 0.03 < rates[0] < 0.05 and rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.05 / 25 / 1e4)
    _, history = fit(finetune, learning_rate=0.01, epochs=2)
    assert [row["learning_rate"] for row in history] == [0.01, 0.01]


@pytest.mark.parametrize(("defaults", "key"), [(TRAINING, "training"), (FINETUNING, "finetune")])
def test_defaults_are_those_of_the_schema(defaults, key):
    properties = SCHEMA["$defs"][key]["properties"]
    stated = {name: child["default"] for name, child in properties.items()}
    assert Recipe.of(Recipe(), stated) == defaults
    assert {field.name for field in dataclasses.fields(Recipe)} == stated.keys()
    assert properties["policy"]["enum"] == list(POLICIES)


@pytest.mark.parametrize("function", [train, finetune])
def test_the_same_seed_gives_the_same_network(function):
    (first, one), (second, two), (other, _) = (
        fit(function, epochs=2, seed=seed) for seed in (3, 3, 4)
    )
    assert one == two
    state = second.state_dict()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert not torch.equal(first.head.weight, other.head.weight)


@pytest.mark.parametrize("function", [train, finetune])
def test_divergence_is_reported_with_the_remedy(function):
    with pytest.raises(DataError, match=r"diverged in epoch 1: .*lower learning_rate"):
        fit(function, learning_rate=1e30)


class Watched(nn.Module):
    """A linear network that notes the size of every batch it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 2)
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.batches.append(len(x))
        return self.linear(x.flatten(1))


@pytest.mark.parametrize(
    ("n", "batches"), [(16, [8, 8]), (17, [8, 9]), (18, [8, 8, 2]), (5, [5]), (1, [1])]
)
def test_every_image_is_seen_once_an_epoch_and_none_alone(n, batches):
    network = Watched()
    fit(train, network, n, batch_size=8, epochs=2)
    assert network.batches == 2 * batches


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_accuracy_are_means_over_all_images(smoothing):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    images, labels = problem(19)
    with torch.no_grad():
        logits = network(images.float() / 255)
    _, (row,) = fit(
        finetune,
        network,
        19,
        epochs=1,
        batch_size=8,
        learning_rate=0.0,
        weight_decay=0.0,
        shift=0,
        label_smoothing=smoothing,
    )
    loss = nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    assert row["train_loss"] == pytest.approx(float(loss), rel=1e-6)
    assert row["train_top1"] == float((logits.argmax(1) == labels).double().mean())


def test_one_step_of_finetuning_is_adamw():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    expected = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(expected.parameters(), lr=0.01, weight_decay=0.1)
    images, labels = problem(12)
    nn.functional.cross_entropy(expected(images.float() / 255), labels).backward()
    optimizer.step()
    fit(
        finetune,
        network,
        12,
        epochs=1,
        batch_size=12,
        learning_rate=0.01,
        weight_decay=0.1,
        shift=0,
    )
    torch.testing.assert_close(network[1].weight, expected[1].weight)


@pytest.mark.parametrize("clip_norm", [0.05, 100.0])
def test_gradients_are_clipped_together(clip_norm):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 2))
    expected = copy.deepcopy(network)
    images, labels = problem(12)
    nn.functional.cross_entropy(expected(images.float() / 255), labels).backward()
    gradients = [parameter.grad for parameter in expected.parameters()]
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    assert 0.05 < norm < 100
    with torch.no_grad():
        for parameter, gradient in zip(expected.parameters(), gradients, strict=True):
            parameter -= 0.1 * gradient * min(1.0, clip_norm / float(norm))
    plain = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "shift": 0}
    fit(
        finetune,
        network,
        12,
        epochs=1,
        batch_size=12,
        learning_rate=0.1,
        clip_norm=clip_norm,
        **plain,
    )
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, expected.state_dict()[name], rtol=1e-5, atol=1e-7)


def test_mixed_precision_computes_products_in_16_bits_and_learns():
    seen = []

    class Noted(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            seen.append((self.training, y.dtype))
            return y

    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), Noted(64, 2))
    _, history = fit(train, network, precision="bfloat16", epochs=6)
    # Trained in 16 bits, evaluated in 32, and the parameters stay in 32.
    assert set(seen) == {(True, torch.bfloat16), (False, torch.float32)}
    assert network[1].weight.dtype == torch.float32
    assert history[-1]["test_top1"] == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_gpu_learns_in_every_precision(precision, tmp_path):
    network = SmallResNet(2, channels=1, widths=(4, 6))
    splits = problem(48), problem(20, seed=1)
    generator, changes = seed_everything(0), {"precision": precision, "epochs": 10}
    device, state = torch.device("cuda"), tmp_path / ".original.state"
    history = train(network, *splits, SETTINGS | changes, generator, device, state)
    assert history[-1]["test_top1"] == 1 and state.exists()
    assert all(tensor.device == CPU for tensor in network.state_dict().values())
