"""Features on their way from the network to Parquet and back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from laq.distances import features
from laq.models.small_resnet import SmallResNet
from laq.utils.errors import DataError

torch.set_num_threads(1)

CPU = torch.device("cpu")
LABELS = np.arange(7) % 3


def images(n: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8, generator=generator)


def network() -> SmallResNet:
    torch.manual_seed(0)
    return SmallResNet(3, channels=1, widths=(3, 5))


def matrix(rows: int = 7, columns: int = 4) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)


def test_features_are_what_enters_the_last_linear_layer():
    model = network()
    batches = list(features.penultimate(model, images(), CPU, batch_size=3))
    assert [batch.shape for batch in batches] == [(3, 5), (3, 5), (1, 5)]
    assert batches[0].dtype == np.float32
    stacked = torch.from_numpy(np.concatenate(batches))
    assert not model.training
    with torch.no_grad():
        x = images().float() / 255
        torch.testing.assert_close(stacked @ model.head.weight.T + model.head.bias, model(x))
        inner = model.stages(model.stem(model.normalize(x))).mean((2, 3))
        torch.testing.assert_close(stacked, inner)


class Convolution(nn.Module):
    """A head as SqueezeNet's: a convolution, ReLU, and the mean."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 5, 3), nn.Conv2d(5, 3, kernel)
        self.idle = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).relu()).relu().mean((2, 3))


def test_features_before_a_convolution_are_means_or_the_whole_map_where_that_is_its_size():
    for kernel, width in ((1, 5), (6, 180)):
        torch.manual_seed(0)
        model = Convolution(kernel)
        (found,) = features.penultimate(model, images(), CPU)
        assert found.shape == (7, width)
        with torch.no_grad():
            maps = model.stem(images().float() / 255).relu()
        expected = maps.mean((2, 3)) if kernel == 1 else maps.flatten(1)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_features_of_two_heads_follow_one_another():
    class Distilled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 5, 3)
            self.head, self.head_dist = nn.Linear(5, 3), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return (self.head(x.mean((2, 3))) + self.head_dist(x.amax((2, 3)))) / 2

    torch.manual_seed(0)
    model = Distilled()
    (found,) = features.penultimate(model, images(), CPU)
    x = torch.from_numpy(found)
    with torch.no_grad():
        logits = (model.head(x[:, :5]) + model.head_dist(x[:, 5:])) / 2
        torch.testing.assert_close(logits, model(images().float() / 255))


def test_pixels_are_features_too():
    batches = list(features.pixels(images(), batch_size=5))
    assert [batch.shape for batch in batches] == [(5, 64), (2, 64)]
    assert np.array_equal(np.concatenate(batches), images().flatten(1).numpy() / np.float32(255))


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_batches_of_any_size_come_back_as_the_matrix(tmp_path, size):
    path = tmp_path / "train.parquet"
    features.write(path, iter(np.split(matrix(), range(size, 7, size))), LABELS)
    read, labels = features.read(path)
    assert np.array_equal(read, matrix()) and read.dtype == np.float32
    assert np.array_equal(labels, LABELS) and labels.dtype == np.int64

    table = pd.read_parquet(path)
    assert list(table.columns) == ["index", "label", "features"]
    assert table["index"].tolist() == list(range(7))
    assert np.array_equal(np.stack(table["features"].to_list()), matrix())


def test_two_writes_give_the_same_bytes(tmp_path):
    paths = [tmp_path / name for name in ("one.parquet", "two.parquet")]
    for path in paths:
        features.write(path, features.penultimate(network(), images(), CPU, 3), LABELS)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def parquet(path, label, column) -> None:
    pq.write_table(pa.table({"label": label, "features": column}), path)


def fixed(values, size: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values, pa.float32()), size)


BROKEN = {
    "missing": lambda path: None,
    "no Parquet": lambda path: path.write_bytes(b"index,label\n0,1\n"),
    "empty file": lambda path: path.touch(),
    "other columns": lambda path: pd.DataFrame({"label": [1]}).to_parquet(path),
    "no vectors": lambda path: parquet(path, [0, 1], [0.5, 1.5]),
    "vectors of any length": lambda path: parquet(path, [0, 1], [[0.5], [1.5, 2.5, 3.5]]),
    "a vector missing": lambda path: parquet(
        path, [0, 1], pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2))
    ),
    "a label missing": lambda path: parquet(path, [0, None], fixed([1, 2, 3, 4], 2)),
    "labels in words": lambda path: parquet(path, ["a", "b"], fixed([1, 2, 3, 4], 2)),
    "no rows": lambda path: parquet(path, pa.array([], pa.int64()), fixed([], 2)),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_feature_table_is_refused_by_name(tmp_path, kind):
    path = tmp_path / "train.parquet"
    BROKEN[kind](path)
    with pytest.raises(DataError, match=r"(?s)train\.parquet is not a feature table .*run again"):
        features.read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_by_file(tmp_path, value):
    path = tmp_path / "train.parquet"
    broken = matrix()
    broken[3, 2] = value
    features.write(path, iter([broken]), LABELS)
    with pytest.raises(DataError, match=r"train\.parquet holds features that are not finite"):
        features.read(path)
