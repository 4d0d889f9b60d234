"""A small vision transformer of the project's own, for small images.

Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, with the mean over the patches in
place of a class token (Beyer, Zhai and Kolesnikov, "Better plain ViT baselines for ImageNet-1k",
2022). Weights of two dimensions are all in convolutions and linear layers, except the positions,
which are added to activations.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from laq.models.small_resnet import Normalize
from laq.utils.errors import ConfigError


class Attention(nn.Module):
    """Self-attention of several heads: (n, t, w) → (n, t, w)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.depth = heads, width // heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.qkv(x).unflatten(2, (3, self.heads, self.depth))
        x = x.permute(2, 0, 3, 1, 4)  # (3, n, heads, t, depth)
        x = functional.scaled_dot_product_attention(x[0], x[1], x[2])
        return self.proj(x.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers, the inner one ``ratio`` times as wide: (n, t, w) → (n, t, w)."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, ratio * width)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(ratio * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Attention, then an MLP, each on normalised inputs. Its output is added to the inputs."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, ratio)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class SmallViT(nn.Module):
    """Convolutions, patches, ``depth`` blocks, the mean over the patches, and a linear head.

    convolutions: channels of 3×3 convolutions with BatchNorm before the patches are cut. Each after
    the first halves the side. The original has none; with them it trains in fewer epochs (Xiao et
    al., "Early convolutions help transformers see better", NeurIPS 2021). patch: side of a patch in
    pixels of the image. width: numbers that stand for a patch. ratio: width of an MLP over that.
    """

    def __init__(
        self,
        classes: int,
        channels: int = 3,
        side: int = 32,
        convolutions: Sequence[int] = (16, 32, 64),
        patch: int = 4,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        ratio: int = 2,
    ) -> None:
        super().__init__()
        reduction = 2 ** max(0, len(convolutions) - 1)
        if side % patch or patch % reduction or width % heads:
            raise ConfigError(
                f"small_vit cannot cut {side} × {side} pixels into patches of {patch} × {patch} "
                f"behind {len(convolutions)} convolutions, each of {width} numbers for {heads} "
                f"heads: set patch to a divisor of {side} and a multiple of {reduction}, and width "
                "to a multiple of heads"
            )
        self.normalize = Normalize()
        in_channels = (channels, *convolutions[:-1])
        pairs = zip(in_channels, convolutions, strict=False)
        self.stem = nn.Sequential(
            *(_convolution(*pair, 2 if index else 1) for index, pair in enumerate(pairs))
        )
        kernel_size = patch // reduction
        self.patches = nn.Conv2d((channels, *convolutions)[-1], width, kernel_size, kernel_size)
        self.positions = nn.Parameter(torch.empty(1, (side // patch) ** 2, width))
        self.blocks = nn.Sequential(*(Block(width, heads, ratio) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(self.stem(self.normalize(x)))  # (n, width, side / patch, side / patch)
        x = self.blocks(x.flatten(2).transpose(1, 2) + self.positions)  # (n, t, width)
        return self.head(self.norm(x).mean(1))


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
