"""Published networks for small images: their first layers keep the resolution.

ImageNet's networks halve an image's side five times, and twice or more before the first block. Of
32 × 32 pixels hardly any are left. The usual remedy, since He et al. 2016 (section 4.2), is a stem
of one 3 × 3 convolution with stride 1 and no pooling. Blocks and names stay as they are.

Each function changes one family's network in place, for images of ``side`` pixels, and returns it.
It is called right after construction: layers that it replaces get fresh weights.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from laq.config import architectures
from laq.utils.errors import ConfigError


def resnet(network: nn.Module, side: int) -> nn.Module:
    """ResNet, ResNeXt, Wide ResNet, torchvision's or timm's: 3 × 3 stem, no pooling."""
    network.conv1 = _stem(network.conv1)
    network.maxpool = nn.Identity()
    return network


def googlenet(network: nn.Module, side: int) -> nn.Module:
    """GoogLeNet: 3 × 3 stem, no pooling before the first Inception block."""
    network.conv1.conv = _stem(network.conv1.conv)
    network.maxpool1 = network.maxpool2 = nn.Identity()
    return network


def densenet(network: nn.Module, side: int) -> nn.Module:
    """DenseNet (Huang et al. 2017, section 4.2): 3 × 3 stem, no pooling."""
    network.features.conv0 = _stem(network.features.conv0)
    network.features.pool0 = nn.Identity()
    return network


def mobilenet(network: nn.Module, side: int) -> nn.Module:
    """MobileNetV2: the first two strides are 1."""
    network.features[0][0].stride = (1, 1)
    network.features[2].conv[1][0].stride = (1, 1)
    return network


def efficientnet(network: nn.Module, side: int) -> nn.Module:
    """EfficientNet: the first two strides are 1."""
    network.features[0][0].stride = (1, 1)
    network.features[2][0].block[1][0].stride = (1, 1)
    return network


def vgg(network: nn.Module, side: int) -> nn.Module:
    """VGG: one 512-vector an image, and linear layers of that width.

    This follows Liu and Deng 2015, "Very deep convolutional neural network based image
    classification using small training sample size". At 32 × 32 the map before the classifier is
    one pixel, which the original would repeat 49 times.
    """
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier[0] = nn.Linear(512, 512)
    network.classifier[3] = nn.Linear(512, 512)
    network.classifier[6] = nn.Linear(512, network.classifier[6].out_features)
    return network


def alexnet(network: nn.Module, side: int) -> nn.Module:
    """AlexNet: a 5 × 5 stem of stride 1; the classifier takes the pixels that are left."""
    network.features[0] = nn.Conv2d(3, 64, 5, stride=1, padding=2)
    map_side = side
    for _ in range(3):  # its poolings, 3 × 3 with stride 2
        map_side = max(1, (map_side - 3) // 2 + 1)
    map_side = min(map_side, 6)
    network.avgpool = nn.AdaptiveAvgPool2d(map_side)
    network.classifier[1] = nn.Linear(256 * map_side**2, 4096)
    return network


def small(network: nn.Module, architecture: str, side: int) -> nn.Module:
    """``network`` with the stem of its family.

    Raises ``ConfigError`` where the architecture has none, or is built in a way of its own.
    """
    family = architectures.stem(architecture)
    if family is None:
        raise ConfigError(
            f"{architecture} has no stem for small images: set stem: standard, and resize to the "
            "size that the network was made for"
        )
    try:
        return _FUNCTIONS[family](network, side)
    except (AttributeError, TypeError, IndexError) as error:
        raise ConfigError(
            f"{architecture} is not built as others of its name, so that it cannot be given a stem "
            f"for small images ({error}): set stem: standard, and resize"
        ) from error


_FUNCTIONS: dict[str, Callable[[nn.Module, int], nn.Module]] = {
    function.__name__: function
    for function in (resnet, googlenet, densenet, mobilenet, efficientnet, vgg, alexnet)
}


def _stem(first: nn.Conv2d) -> nn.Conv2d:
    if not isinstance(first, nn.Conv2d):  # timm's deep stems are three convolutions
        raise TypeError(f"its first layer is {type(first).__name__}, expected Conv2d")
    bias = first.bias is not None
    return nn.Conv2d(first.in_channels, first.out_channels, 3, padding=1, bias=bias)
