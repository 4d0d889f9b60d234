"""LeNet-300-100 and LeNet-5 (LeCun et al. 1998), in the shapes in which Caffe trained them.

Results of pruning and compression are reported on these shapes, not on the paper's. They have
266,610 and 431,080 parameters for ten classes of 28 × 28 grey images (Han et al. 2015, 2016).
"""

from __future__ import annotations

from torch import Tensor, nn

from laq.utils.errors import ConfigError


class LeNet300100(nn.Module):
    """Three linear layers on the pixels: 300, 100, and the classes."""

    def __init__(self, classes: int, channels: int = 1, side: int = 28) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(channels * side**2, 300)
        self.relu1 = nn.ReLU()
        self.fc2 = nn.Linear(300, 100)
        self.relu2 = nn.ReLU()
        self.fc3 = nn.Linear(100, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.fc1(self.flatten(x)))  # (n, 300)
        return self.fc3(self.relu2(self.fc2(x)))


class LeNet5(nn.Module):
    """Two 5×5 convolutions, each with 2×2 max pooling behind it, and two linear layers.

    As in Caffe, only the first linear layer has a ReLU behind it.
    """

    def __init__(self, classes: int, channels: int = 1, side: int = 28) -> None:
        super().__init__()
        map_side = ((side - 4) // 2 - 4) // 2  # pixels of a side behind the second pooling
        if map_side < 1:
            raise ConfigError(
                f"lenet5 takes images of 16 × 16 pixels or more, not of {side} × {side}: take "
                "another architecture, or the data set mnist or mnist_like"
            )
        self.conv1 = nn.Conv2d(channels, 20, 5)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(50 * map_side**2, 500)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(500, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.conv1(x))  # (n, 20, 12, 12) of 28 × 28 pixels
        x = self.pool2(self.conv2(x))  # (n, 50, 4, 4)
        return self.fc2(self.relu(self.fc1(self.flatten(x))))
