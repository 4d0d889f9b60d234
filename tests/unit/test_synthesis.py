"""Calibration images from BatchNorm statistics: the losses, the images, and who may have none."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from laq import data, training
from laq.checkpoints import packing
from laq.data import sources
from laq.data_free import objective as priors
from laq.data_free import registry
from laq.data_free.generated import LATENT, Generator
from laq.data_free.objective import Objective, Statistics, distance
from laq.data_free.pipeline import MadeImages, Request
from laq.models import networks
from laq.ptq.calibration import calibration_pool
from laq.utils.errors import CheckpointError, ConfigError
from laq.utils.files import write_json
from synthesize_images import synthesize_images

torch.set_num_threads(1)

SETTINGS = {"images": 40, "steps": 100, "learning_rate": 0.1, "shift": 1}
SETTINGS |= {"class_weight": 0.1, "variation": 0.1, "norm": 0.0}
GENERATOR = {**SETTINGS, "steps": 150, "batch_size": 32, "learning_rate": 0.01}
SHAPE, CLASSES = (1, 8, 8), (1, 4, 6)
SPEC = {"name": "small_resnet", "classes": 10, "channels": 1, "widths": [8, 16]}


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A network that tells digits apart in nine of ten cases."""
    split, test = sources.make({"kind": "digits", "test_fraction": 0.2}, 0)
    torch.manual_seed(0)
    network = networks.create(**SPEC)
    recipe = {"epochs": 4, "batch_size": 32, "learning_rate": 0.05, "weight_decay": 0.0005}
    recipe |= {"optimizer": "sgd", "momentum": 0.9, "schedule": "one_cycle", "shift": 0}
    recipe |= {"label_smoothing": 0, "milestones": [], "factor": 0.1}
    sides = [(torch.from_numpy(s.images), torch.from_numpy(s.labels)) for s in (split, test)]
    drawn = torch.Generator().manual_seed(0)
    rows = training.train(network, *sides, recipe, drawn, torch.device("cpu"))
    assert rows[-1]["test_top1"] > 0.9
    return network.eval()


def made(
    network: nn.Module, kind: str, classes: tuple[int, ...] | None = CLASSES, **own
) -> MadeImages:
    settings = {**(GENERATOR if kind == "generated" else SETTINGS), **own}
    request = Request("small", SHAPE, settings["images"], classes)
    return registry.make(kind, network, request, settings, torch.Generator().manual_seed(3))


# The losses


def test_the_distance_is_that_of_normal_distributions_in_units_of_the_variance() -> None:
    inputs = torch.tensor([[1.0, 5.0], [3.0, 5.0]])  # means 2 and 5, variances 1 and 0
    found = distance(inputs, torch.tensor([0.0, 4.0]), torch.tensor([4.0, 1.0]), 0.0)
    first = (2 - 0) ** 2 / 4 + (1 - 2) ** 2 / 4
    second = (5 - 4) ** 2 / 1 + (0 - 1) ** 2 / 1
    assert found.item() == pytest.approx((first + second) / 2)
    # eps is added to either variance.
    found = distance(inputs[:, 1:], torch.tensor([4.0]), torch.tensor([1.0]), 3.0)
    assert found.item() == pytest.approx(1 / 4 + (3**0.5 / 2 - 1) ** 2)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(1)
    inputs = torch.randn(5, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    mean, variance = torch.randn(3).double(), torch.rand(3).double() + 0.5
    assert torch.autograd.gradcheck(lambda x: distance(x, mean, variance, 1e-5), inputs)
    for prior in (priors.variation, priors.norm):
        assert torch.autograd.gradcheck(prior, inputs)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(4, 5)
    ).double()
    weights = {"class_weight": 0.7, "variation": 0.3, "norm": 0.2}
    objective = Objective(network, "small", weights)
    labels = torch.tensor([0, 1, 2, 3, 4])
    assert torch.autograd.gradcheck(lambda x: objective(x, labels).loss, inputs)


def moments_of(network: nn.Module, images: Tensor) -> None:
    """Have each BatchNorm remember what its inputs have on ``images`` in evaluation mode."""
    for norm in [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]:
        seen: list[Tensor] = []
        hook = norm.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        network(images)
        hook.remove()
        norm.running_mean.copy_(seen[0].mean((0, 2, 3)))
        norm.running_var.copy_(seen[0].var((0, 2, 3), correction=0))


@torch.no_grad()
def test_images_that_the_statistics_are_of_have_no_distance_from_them() -> None:
    torch.manual_seed(0)
    network, images = networks.create(**SPEC).eval(), torch.rand(16, *SHAPE)
    moments_of(network, images)
    statistics = Statistics(network, "small")
    network(images)
    assert statistics.loss().item() < 1e-9
    network(torch.rand(16, *SHAPE) ** 4)
    assert statistics.loss().item() > 0.01


@torch.no_grad()
def test_the_loss_is_the_mean_over_all_batchnorms(trained: nn.Module) -> None:
    network, images = copy.deepcopy(trained), torch.rand(8, *SHAPE)
    found = []
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            inputs: list[Tensor] = []
            module.register_forward_pre_hook(lambda _, args, to=inputs: to.append(args[0]))
            network(images)
            x, v = inputs[0].double(), module.running_var.double() + module.eps
            shift = (x.mean((0, 2, 3)) - module.running_mean) ** 2 / v
            spread = ((x.var((0, 2, 3), correction=0) + module.eps).sqrt() - v.sqrt()) ** 2 / v
            found.append((shift + spread).mean().item())
            assert name
    terms = Objective(trained, "small", SETTINGS)(images, None)
    assert len(found) == 6
    assert terms.statistics.item() == pytest.approx(np.mean(found), rel=1e-5)
    assert terms.cross_entropy is None and terms.row(None)["as_asked"] is None


# The images


@pytest.mark.parametrize("kind", registry.KINDS)
def test_images_of_given_classes_fit_the_statistics_and_are_seen_as_asked(
    trained: nn.Module, kind: str
) -> None:
    result = made(trained, kind)
    assert result.images.shape == (40, *SHAPE) and result.images.dtype == torch.uint8
    assert sorted(np.bincount(result.labels, minlength=10)[list(CLASSES)]) == [13, 13, 14]
    assert set(result.labels.tolist()) == set(CLASSES)
    objective = Objective(trained, "small", SETTINGS)
    noise = (0.5 + 0.25 * torch.randn(40, *SHAPE)).clamp(0, 1)
    with torch.no_grad():
        reached = objective(networks.to_input(result.images), result.labels)
        assert reached.statistics < objective(noise, None).statistics / 3
    # A generator has less time for each image; one in ten would be chance.
    assert reached.row(result.labels)["as_asked"] >= {"synthetic": 0.9, "generated": 0.6}[kind]


def test_images_of_no_class_have_the_labels_that_the_network_gives_them(trained) -> None:
    result = made(trained, "synthetic", None)
    seen = networks.predict(trained, result.images, torch.device("cpu")).argmax(1)
    assert torch.equal(seen, result.labels)
    first, last = result.course[0], result.course[-1]
    assert last["statistics"] < first["statistics"] / 4
    assert last["cross_entropy"] is None and last["as_asked"] is None


@pytest.mark.parametrize("kind", registry.KINDS)
def test_the_last_rows_are_of_the_images_as_stored(trained: nn.Module, kind: str) -> None:
    result = made(trained, kind, steps=3)
    size = 32 if kind == "generated" else 40
    parts = list(result.images.tensor_split(-(-40 // size)))
    rows = result.course[-len(parts) :]
    for number, (part, row) in enumerate(zip(parts, rows, strict=True), 1):
        with torch.no_grad():
            terms = Objective(trained, "small", SETTINGS)(networks.to_input(part), None)
        assert (row["batch"], row["step"]) == (number, 3)
        assert row["statistics"] == pytest.approx(terms.statistics.item(), rel=1e-5)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 9, 14), (2, 8, 8)])
def test_a_generator_gives_images_of_any_side(shape: tuple[int, int, int]) -> None:
    images = Generator(4, shape)(torch.randn(3, LATENT), torch.tensor([0, 3, 1]))
    assert images.shape == (3, *shape)
    assert images.min() >= 0 and images.max() <= 1


@pytest.mark.parametrize("kind", registry.KINDS)
def test_a_network_without_batchnorm_is_refused_by_its_name(kind: str) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Flatten())
    with pytest.raises(ConfigError, match=r"networks\.small: it has no BatchNorm"):
        made(network, kind)


# The job, and what is calibrated on its images


@pytest.fixture(scope="module")
def study(trained: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network's checkpoint and class names, and no image."""
    folder = tmp_path_factory.mktemp("study")
    names = [str(digit) for digit in range(10)]
    described = {"network": SPEC, "classes": names, "images": list(SHAPE), "variant": "original"}
    described |= {"parent": None, "steps": [], "seed": 0}
    packing.save(folder / "original.safetensors", trained.state_dict(), described)
    write_json(folder / "classes.json", names)
    subset = {"subset": "odd", "kind": "classes", "target": None, "seed": 0}
    subset |= {"indices": list(CLASSES), "classes": [names[i] for i in CLASSES]}
    subset |= dict.fromkeys(("median_icd", "mean_icd", "min_icd", "max_icd"), 1.0)
    write_json(folder / "odd.json", subset)
    return folder


def job(study: Path, to: Path, **changes: Any) -> Path:
    settings = {"network": "small", "asked": "odd", "kind": "synthetic", "seed": 0}
    settings |= {"synthesis": {**SETTINGS, "steps": 4}, "device": "cpu"}
    settings |= {"subset": str(study / "odd.json"), "classes": str(study / "classes.json")}
    settings |= {"parent": str(study / "original.safetensors")}
    synthesize_images(**{**settings, **changes}, images=str(to), course=str(to.with_suffix(".csv")))
    return to


@pytest.mark.parametrize("kind", registry.KINDS)
def test_two_runs_give_the_same_bytes_and_another_seed_does_not(
    study: Path, tmp_path: Path, kind: str
) -> None:
    settings = {**(GENERATOR if kind == "generated" else SETTINGS), "steps": 4}
    paths = [
        job(study, tmp_path / f"{run}.npz", kind=kind, synthesis=settings) for run in ("a", "b")
    ]
    torch.manual_seed(99)
    paths.append(job(study, tmp_path / "c.npz", kind=kind, synthesis=settings))
    for suffix in (".npz", ".csv"):
        assert len({path.with_suffix(suffix).read_bytes() for path in paths}) == 1
    images = data.load(paths[0], study / "classes.json", whole=False)
    assert images.images.shape == (40, *SHAPE) and set(images.labels) == set(CLASSES)
    rows = list(csv.DictReader(paths[0].with_suffix(".csv").open()))
    assert [row["step"] for row in rows[:4]] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seed", 1, "was made from the seed 0, not 1"),
        ("classes", ["a", "b"], "is of 10 classes"),
        ("parent", {"variant": "ft"}, "is the variant ft, not original"),
        ("parent", {"images": None}, "does not say what images it takes"),
    ],
)
def test_another_network_is_refused(
    study: Path, tmp_path: Path, trained: nn.Module, key: str, value: Any, said: str
) -> None:
    if key == "classes":
        write_json(tmp_path / "names.json", value)
        value = str(tmp_path / "names.json")
    if key == "parent":
        description = packing.describe(study / "original.safetensors") | value
        packing.save(tmp_path / "other.safetensors", trained.state_dict(), description)
        value = str(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=said):
        job(study, tmp_path / "images.npz", **{key: value})
    assert not (tmp_path / "images.npz").exists()


def test_as_many_made_images_are_taken_as_are_asked_for_whatever_they_are_of() -> None:
    labels, subset = np.repeat([0, 9], [2, 62]), [0, 1]
    made = {"images": 30, "batch": "shared", "images_from": "synthetic"}
    pool, count = calibration_pool(labels, None, subset, made, seed=0)
    assert count == 30 and len(set(pool)) == 30
    assert calibration_pool(labels, None, subset, {**made, "images": "all"}, seed=0)[1] == 64
    real = {**made, "images_from": "training"}
    assert calibration_pool(labels, None, subset, real, seed=0)[1] == 2


def test_a_checkpoint_says_what_calibrated_it(study: Path, tmp_path: Path) -> None:
    from compress_network import compress_network
    from tests.configs import checked, edited

    images = job(study, tmp_path / "made.npz")
    recipe = checked(edited({"variants/free": {"compress": {"bits": 3, "method": "rtn"}}}))[
        "variants"
    ]["free"]
    recipe["compress"] |= {"images_from": "synthetic", "images": 24}
    place = str(study / "odd.json")
    compress_network(
        train="",
        made=str(images),
        classes=str(study / "classes.json"),
        subset=place,
        calibration=place,
        parent=str(study / "original.safetensors"),
        checkpoint=str(tmp_path / "free.safetensors"),
        layers=str(tmp_path / "free.csv"),
        variant="free",
        recipe=recipe,
        repeat=1,
        seed=0,
        device="cpu",
        memory_mb=64,
    )
    described = packing.describe(tmp_path / "free.safetensors")
    told = {"classes": "subset", "images": 24, "from": "synthetic"}
    assert described["calibration"] == told
    assert json.dumps(described["steps"])
