"""What a program calls: quantize any network, evaluate it, compare recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import laq
from laq.analysis.statistics import wilson_interval
from laq.checkpoints import inspection
from laq.utils.errors import CheckpointError, ConfigError, DataError


class Own(nn.Module):
    """A network of a user's own: a convolution, a branch, a head."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())
        self.branch = nn.Conv2d(32, 32, 3, padding=1)
        self.head = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head((x + self.branch(x).relu()).mean((2, 3)))


class Coloured(torch.utils.data.Dataset):
    """Images whose colour tells their class. ``classes``: their names."""

    classes = ("red", "green", "blue", "grey")

    def __init__(self, count: int = 40) -> None:
        rng = torch.Generator().manual_seed(0)
        self.targets = [index % 4 for index in range(count)]
        self.images = 0.1 * torch.rand((count, 3, 12, 12), generator=rng)
        for index, label in enumerate(self.targets):
            self.images[index, [label] if label < 3 else [0, 1, 2]] += 0.5

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], self.targets[index]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    network, data = Own(), Coloured()
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(data.images), torch.tensor(data.targets))
        loss.backward()
        optimizer.step()
    return network.eval()


def test_a_network_of_one_s_own_is_quantized_saved_and_loaded(network, tmp_path) -> None:
    images = Coloured().images
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    quantized = laq.quantize(network, images, bits=4)
    assert quantized.bits == 4
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
    report = quantized.report.set_index("layer")
    assert list(report.index) == ["stem.0", "branch", "head"]
    assert (report["bits"] == 4).all() and (report["error"] < 0.2).all()
    size = quantized.save(tmp_path / "own.safetensors")
    assert size == (tmp_path / "own.safetensors").stat().st_size
    loaded = laq.load(tmp_path / "own.safetensors", Own())
    assert torch.equal(loaded(images), quantized.network(images))
    weight = loaded.branch.weight
    assert max(len(row.unique()) for row in weight.flatten(1)) <= 15
    with pytest.raises(CheckpointError, match=r"of a .*Own: give one"):
        laq.load(tmp_path / "own.safetensors")
    with pytest.raises(CheckpointError, match="does not fit"):
        laq.load(tmp_path / "own.safetensors", Own(classes=5))
    assert inspection.inspect(tmp_path / "own.safetensors")["totals"]["file_bytes"] == size


@pytest.mark.parametrize(
    "arguments",
    [
        {"bits": 8, "activations": 8},
        {"bits": [5, 3]},
        {"bits": 4, "mixed_precision": [2, 4, 8]},
        {"bits": 3, "method": "gptq", "scheme": "asymmetric"},
        {"bits": 2, "method": "rtn", "scheme": "kmeans"},
        {"bits": 3, "scheme": "symmetric", "group": 4, "per_channel": False},
        {"bits": 3, "skip_layers": ["head"], "per_channel": False},
        {"bits": 4, "fold_batchnorm": True},
        {"bits": 3, "method": "adaround", "steps": 50, "batchnorm": "reestimated"},
        {"bits": 3, "method": "rtn", "bias_correction": True, "activations": 8},
    ],
    ids=str,
)
def test_files_give_back_what_was_quantized(network, tmp_path, arguments) -> None:
    images = Coloured().images
    quantized = laq.quantize(network, images, **arguments)
    quantized.save(tmp_path / "own.safetensors")
    loaded = laq.load(tmp_path / "own.safetensors", Own())
    with torch.inference_mode():
        assert torch.equal(loaded(images), quantized.network(images))
    again = laq.quantize(network, images, **arguments)
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (
        tmp_path / "own.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "gpqf"}, "method 'gpqf' is unknown: take one of gpfq"),
        ({"scheme": "int4"}, "scheme 'int4' is unknown"),
        ({"scheme": "kmeans"}, "takes equispaced levels alone"),
        ({"bits": 1}, "bits is 1"),
        ({"ridges": 1}, "option 'ridges' is unknown"),
        ({"activations": {"bitz": 8}}, "'bitz' is unknown"),
        ({"scheme": "packed", "group": 8}, "no per_group scales"),
        ({"batchnorm": "anew"}, "batchnorm 'anew' is unknown: take one of trained, reestimated"),
        ({"batchnorm": "reestimated", "fold_batchnorm": True}, "has no BatchNorm whose statistics"),
        ({"skip_layers": ["nothing"]}, "nothing"),
    ],
)
def test_arguments_that_cannot_be_are_refused(network, arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        laq.quantize(network, Coloured().images, **arguments)


def test_an_onnx_file_computes_the_same(network, tmp_path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    images = Coloured().images
    quantized = laq.quantize(network, images)
    size = quantized.export_onnx(tmp_path / "own.onnx")
    assert size == (tmp_path / "own.onnx").stat().st_size
    session = onnxruntime.InferenceSession(tmp_path / "own.onnx")
    (logits,) = session.run(None, {"images": images.numpy()})
    np.testing.assert_allclose(logits, quantized.network(images).detach(), atol=1e-5)


def folder_of(path: Path) -> Path:
    data = Coloured()
    for index, label in enumerate(data.targets):
        place = path / data.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        pixels = (255 * data.images[index]).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(place / f"{index:02}.png")
    return path


def test_calibration_images_come_from_whatever_there_is(tmp_path) -> None:
    data = Coloured()
    labels = torch.tensor(data.targets)
    sources = {
        "pair": (data.images, labels),
        "data set": data,
        "without targets": TensorDataset(data.images, labels),
        "loader": DataLoader(data, batch_size=7),
    }
    for name, source in sources.items():
        drawn = laq.calibration_images(source, classes=[0, 2], count=6)
        assert torch.equal(drawn, laq.calibration_images(data, [2, 0], 6)), name
        assert (drawn[:, 1].mean((1, 2)) < 0.3).all(), name
    assert torch.equal(
        laq.calibration_images(data, ["blue"], 4), laq.calibration_images(data, [2], 4)
    )
    assert len(laq.calibration_images(data.images, count=100)) == 40
    assert not torch.equal(
        laq.calibration_images(data, count=6), laq.calibration_images(data, count=6, seed=1)
    )
    folder = folder_of(tmp_path / "photos")
    drawn = laq.calibration_images(folder, ["red", "blue"], 6, size=12)
    assert drawn.shape == (6, 3, 12, 12) and drawn.max() <= 1
    assert (drawn[:, 1].mean((1, 2)) < 0.3).all()


def test_accuracy_is_counted_over_all_classes_and_over_some(network) -> None:
    data = Coloured()
    with torch.inference_mode():
        logits = network(data.images)
    table = laq.evaluate(network, data, classes=["red", "grey"]).set_index("scope")
    own = [index for index, label in enumerate(data.targets) if label in (0, 3)]
    labels = torch.tensor(data.targets)[own]
    assert table["n"].tolist() == [20, 20]
    assert table.loc["all", "correct"] == (logits[own].argmax(1) == labels).sum()
    pair = torch.tensor([0, 3])
    assert table.loc["subset", "correct"] == (pair[logits[own][:, pair].argmax(1)] == labels).sum()
    low, high = wilson_interval(table["correct"], table["n"])
    np.testing.assert_allclose(table[["low", "high"]], np.stack([low, high], 1))
    both = laq.evaluate(network, data)
    assert both["n"].tolist() == [40, 40] and both["top1"].nunique() == 1
    with pytest.raises(DataError, match="2 logits"):
        laq.evaluate(nn.Sequential(nn.Flatten(), nn.Linear(432, 2)), data)


def test_recipes_are_compared_on_images_that_did_not_calibrate(network, tmp_path) -> None:
    recipes = {
        "two": {"bits": 2},
        "four": {"bits": 4},
        "agnostic": {"bits": 2, "calibration": "all"},
    }
    found = laq.compare(network, recipes, Coloured(), ["red", "grey"], images=6)
    table = found.table.set_index("recipe")
    assert list(table.index) == ["original", "two", "four", "agnostic"]
    assert (table["n"] == 14).all()
    assert table["recommended"].sum() == 1 and found.recommended in table.index
    assert table.loc["two", "bytes"] < table.loc["four", "bytes"] < table.loc["original", "bytes"]
    paths = found.save(tmp_path / "out")
    assert [path.name for path in paths] == [
        "comparison.csv",
        *(f"{name}.safetensors" for name in recipes),
    ]
    for name in recipes:
        path = tmp_path / "out" / f"{name}.safetensors"
        assert path.stat().st_size == table.loc[name, "bytes"]
        loaded = laq.load(path, Own())
        assert torch.equal(
            loaded(Coloured().images), found.networks[name].network(Coloured().images)
        )


def test_the_command_compares_quantizes_tests_and_exports(network, tmp_path, capsys) -> None:
    from laq.api.command_line import main

    folder = folder_of(tmp_path / "photos")
    torch.manual_seed(0)
    from torchvision.models import squeezenet1_1

    torch.save(squeezenet1_1(num_classes=4).state_dict(), tmp_path / "w.pth")
    of_network = ["--network", "squeezenet1_1", "--weights", str(tmp_path / "w.pth")]
    of_images = ["--images", str(folder), "--size", "32", "--classes", "red,blue"]
    out, file = tmp_path / "out", tmp_path / "small.safetensors"
    arguments = ["compare", *of_network, *of_images, "--bits", "4,8", "--count", "4", "--plot"]
    assert main([*arguments, "-o", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "recommended: " in printed and "8_bits_agnostic" in printed
    assert {path.name for path in out.iterdir()} >= {
        "comparison.csv",
        "comparison.pdf",
        "comparison.png",
        "4_bits.safetensors",
    }
    assert main(["quantize", *of_network, *of_images, "--count", "4", "-o", str(file)]) == 0
    assert main(["inspect", str(file)]) == 0
    assert main(["evaluate", str(file), *of_images]) == 0
    assert "in_subset" in capsys.readouterr().out
    assert main(["export", str(file), "-o", str(tmp_path / "small.onnx")]) == 0
    assert (tmp_path / "small.onnx").exists()
    assert main(["inspect", str(tmp_path / "nothing.safetensors")]) == 1
    assert "laq inspect: " in capsys.readouterr().err
    missing = ["quantize", *of_network[:3], "none.pth", *of_images, "-o", str(file)]
    assert main(missing) == 1
    assert "none.pth" in capsys.readouterr().err
