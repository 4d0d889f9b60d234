"""A small residual network of the project's own, for small images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Normalize(nn.Module):
    """(x − mean) / std with fixed scalars; images in [0, 1] leave roughly centred."""

    def __init__(self, mean: float = 0.5, std: float = 0.25) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al. 2016, Fig. 2).

    The shortcut is a 1×1 convolution with BatchNorm where the shape changes
    (their option B), the identity elsewhere.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        if stride == 1 and inputs == outputs:
            self.shortcut: nn.Module = nn.Identity()
        else:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + self.shortcut(x))


class SmallResNet(nn.Module):
    """A residual network for small images: one basic block a stage, each stage halves the side.

    With the default widths the last convolutions have 2304 inputs a filter, far more than
    64 calibration images give samples: the regime in which data-driven rounding overfits,
    and which the study is about.
    """

    def __init__(
        self, classes: int, channels: int = 3, widths: Sequence[int] = (16, 32, 64, 256)
    ) -> None:
        super().__init__()
        self.normalize = Normalize()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        in_widths = (widths[0], *widths[:-1])
        self.stages = nn.Sequential(
            *(
                BasicBlock(inputs, outputs, stride=1 if stage == 0 else 2)
                for stage, (inputs, outputs) in enumerate(zip(in_widths, widths, strict=True))
            )
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(self.normalize(x))  # (n, widths[0], h, w)
        x = self.pool(self.stages(x))  # (n, widths[-1], 1, 1)
        return self.head(self.flatten(x))
