"""Published networks for small images, and what their first module does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from laq.config import architectures as families
from laq.models import architectures, networks

# Pixels of the map that the last convolution sees in a 32 × 32 image, with the small stem.
LAST = {
    "resnet18": 4,
    "resnet50": 4,
    "vgg16_bn": 2,
    "googlenet": 8,
    "mobilenet_v2": 4,
    "densenet121": 4,
    "alexnet": 7,
    "efficientnet_b0": 4,
}


def last_map(network: nn.Module, side: int) -> int:
    """Pixels of the input of the convolution that is called last."""
    seen = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape[-1]))
    with torch.no_grad():
        network.eval()(torch.rand(1, 3, side, side))
    return [pixels for pixels in seen if pixels > 1][-1]


@pytest.mark.parametrize("name", LAST)
def test_a_small_stem_keeps_the_resolution(name: str) -> None:
    assert last_map(networks.create(name, 5), 32) == LAST[name]
    if name not in ("vgg16_bn", "alexnet"):  # VGG has no stem; AlexNet cannot take 32 pixels
        standard = networks.create(name, 5, stem="standard")
        assert last_map(standard, 32) < LAST[name]


@pytest.mark.parametrize("name", ["resnet50", "googlenet", "mobilenet_v2", "densenet121"])
def test_a_standard_stem_is_the_library_s_own_network(name: str) -> None:
    from torchvision import models

    options = {"aux_logits": False, "init_weights": True} if name == "googlenet" else {}
    torch.manual_seed(3)
    reference = models.get_model(name, weights=None, num_classes=5, **options).eval()
    torch.manual_seed(3)
    network = networks.create(name, 5, stem="standard", side=64).eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(x), reference((x - 0.5) / 0.25))


def test_a_small_resnet_is_the_one_of_the_cifar_literature() -> None:
    # As timm's users make it for CIFAR-100: conv1 3 × 3, no pooling; so their weights fit.
    import timm

    reference = timm.create_model("resnet50", num_classes=100)
    reference.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    reference.maxpool = nn.Identity()
    network = networks.create("timm/resnet50", 100).eval()
    network.body.load_state_dict(reference.state_dict())
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(x), reference.eval()((x - 0.5) / 0.25))


@pytest.mark.parametrize(
    ("side", "patches"), [(8, 64), (16, 64), (32, 64), (64, 64), (28, 196), (33, 121)]
)
def test_a_vision_transformer_sees_every_pixel(side: int, patches: int) -> None:
    network = networks.create("timm/vit_tiny_patch16_224", 5, side=side)
    assert network.body.patch_embed.num_patches == patches
    assert families.patch(side) ** 2 * patches == side**2
    assert network.eval()(torch.rand(2, 3, side, side)).shape == (2, 5)


def test_images_are_resized_normalised_and_made_rgb() -> None:
    prepare = architectures.Prepare(1, 48, None, [0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
    x = torch.rand(2, 1, 32, 32)
    large = nn.functional.interpolate(x, (48, 48), mode="bilinear", antialias=True)
    for channel, (mean, std) in enumerate(zip([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], strict=True)):
        expected = (large[:, 0] - mean) / std
        torch.testing.assert_close(prepare(x)[:, channel], expected)
    assert not prepare.state_dict()  # settings are in a checkpoint's description


@pytest.mark.parametrize(("side", "resize", "crop"), [(32, 256, 224), (32, None, 27), (64, 48, 31)])
def test_images_are_resized_and_cropped_as_torchvision_does(
    side: int, resize: int | None, crop: int
) -> None:
    from torchvision.transforms import v2

    steps = [v2.Resize(resize)] if resize else []
    reference = v2.Compose([*steps, v2.CenterCrop(crop)])
    prepare = architectures.Prepare(3, resize, crop, [0.0] * 3, [1.0] * 3)
    pixels = torch.randint(256, (2, 3, side, side), dtype=torch.uint8)
    seen = prepare(networks.to_input(pixels))
    assert torch.equal(seen, reference(networks.to_input(pixels)))
    for image, ours in zip(pixels, seen, strict=True):  # of PIL images, torchvision rounds
        picture = reference(v2.functional.to_pil_image(image))
        rounded = v2.functional.pil_to_tensor(picture)
        assert (255 * ours - rounded).abs().max() < 1.01
    network = networks.create("resnet18", 5, side=side, resize=resize, crop=crop).eval()
    assert network(networks.to_input(pixels)).shape == (2, 5)


def test_every_family_has_its_function_and_every_tested_network_a_family() -> None:
    from torchvision import models

    from laq.models import small_images

    assert families.STEMS.keys() == small_images._FUNCTIONS.keys()
    names = [name for names in families.STEMS.values() for name in names]
    assert set(names) <= set(models.list_models(module=models))
    assert all(families.for_small_images(name) for name in families.TESTED)
    assert not families.for_small_images("convnext_tiny")


def test_a_description_says_all_that_building_needs() -> None:
    images = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    spec = networks.specification({"name": "resnet18", "stem": "small"}, None, 7, images)
    assert spec == {
        "name": "resnet18",
        "stem": "small",
        "classes": 7,
        "channels": 1,
        "side": 16,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
    }
    assert networks.create(**spec).eval()(torch.rand(2, 1, 16, 16)).shape == (2, 7)
    weights = {"source": "torchvision", "name": "IMAGENET1K_V1"}
    settings = {"name": "resnet18", "stem": "standard", "resize": 64, "std": [1.0, 1.0, 1.0]}
    spec = networks.specification(settings, weights, 7, images)
    assert (spec["mean"], spec["std"]) == ([0.485, 0.456, 0.406], [1.0, 1.0, 1.0])
