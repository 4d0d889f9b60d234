"""Features of a published network: its own transforms, its own layer, little memory."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from laq.distances import features, pretrained_features
from laq.utils.errors import ConfigError, DataError

CPU = torch.device("cpu")


def create(architecture: str, weights: dict[str, object], **settings: object) -> nn.Module:
    return pretrained_features.create(
        {"architecture": architecture, "weights": weights, **settings}
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Weights in torchvision's format, that nobody trained."""
    from torchvision import models

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(models.resnet18().state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "source": "torchvision",
        "name": "IMAGENET1K_V1",
        "file": str(path),
        "sha256": digest,
        "download": False,
    }


def test_features_are_those_of_torchvision_s_own_recipe(weights: dict[str, object]) -> None:
    """Against PIL images through the weights' transforms and the network without its last layer."""
    from torchvision import models

    images = np.random.default_rng(0).integers(0, 256, (3, 3, 40, 40), dtype=np.uint8)
    network = models.resnet18().eval()
    network.load_state_dict(torch.load(str(weights["file"]), weights_only=True))
    network.fc = nn.Identity()
    prepare = models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    with torch.no_grad():
        pictures = [Image.fromarray(image.transpose(1, 2, 0)) for image in images]
        expected = network(torch.stack([prepare(picture) for picture in pictures]))
    published = create("resnet18", weights)
    (found,) = features.penultimate(published, torch.from_numpy(images), CPU)
    assert found.shape == (3, 512)
    # PIL resizes in whole numbers of 0 to 255, a tensor in floats: a step is 0.02 after std.
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.03)
    assert np.corrcoef(found.ravel(), expected.numpy().ravel())[0, 1] > 0.9999


def test_networks_that_normalise_anew_do_so(tmp_path: Path) -> None:
    from torchvision import models

    torch.manual_seed(0)
    trained = models.googlenet(aux_logits=True, init_weights=True).eval()  # as it is published
    file = tmp_path / "googlenet.pth"
    torch.save(trained.state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    weights = {
        "source": "torchvision",
        "name": "IMAGENET1K_V1",
        "file": str(file),
        "sha256": digest,
        "download": False,
    }
    images = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8)
    (found,) = features.penultimate(create("googlenet", weights), images, CPU)
    trained.transform_input, trained.fc = True, nn.Identity()
    with torch.no_grad():
        prepared = models.GoogLeNet_Weights.IMAGENET1K_V1.transforms()(images)
        np.testing.assert_allclose(found, trained(prepared), rtol=1e-3, atol=1e-4)


def test_grey_images_are_taken_as_rgb(weights: dict[str, object]) -> None:
    published = create("resnet18", weights)
    grey = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    (one,) = features.penultimate(published, grey, CPU)
    (three,) = features.penultimate(published, grey.expand(-1, 3, -1, -1), CPU)
    np.testing.assert_array_equal(one, three)


def test_weights_that_are_missing_or_of_another_network_are_refused(
    weights: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"none.pth does not exist: download https://"):
        create("resnet18", {**weights, "file": str(tmp_path / "none.pth")})
    with pytest.raises(DataError, match=r"other shapes|lack"):
        create("resnet34", weights)
    with pytest.raises(ConfigError, match="torchvision has no weights 'V3' of 'resnet18'"):
        create("resnet18", {**weights, "name": "V3"})
    with pytest.raises(DataError, match=r"its sha256 does not begin with f37072fd"):
        create("resnet18", {k: v for k, v in weights.items() if k != "sha256"})


@pytest.mark.parametrize("match", ["names", "order"])
def test_a_file_of_timm_s_names_or_of_others_gives_its_features(match: str, tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    trained = timm.create_model("resnet18", num_classes=7).eval()
    state = trained.state_dict()
    if match == "order":
        state = {
            f"layer_{i}.{name.rpartition('.')[2]}": x for i, (name, x) in enumerate(state.items())
        }
    torch.save(state, tmp_path / "own.pth")
    weights = {"source": "file", "file": str(tmp_path / "own.pth"), "match": match}
    look = {"resize": 48, "crop": 40, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    (found,) = features.penultimate(create("timm/resnet18", weights, **look), images, CPU)
    trained.fc = nn.Identity()
    with torch.no_grad():
        large = nn.functional.interpolate(images / 255, (48, 48), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(look[key]).view(3, 1, 1) for key in ("mean", "std"))
        expected = trained((large[..., 4:44, 4:44] - mean) / std)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
