"""ONNX Runtime's logits beside torch's: what counts as equal, and what stops a study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from laq.onnx.runtime import ROUNDING, compare, predict
from laq.utils.errors import CheckpointError

FILE, TABLE = "some/quant.onnx", "some/accuracy.csv"


def model(path: Path, shape: tuple[int, ...] = (1, 2, 2)) -> Path:
    """Logits of two classes: the sum of an image, and what it lacks to 1; codes on the side."""
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", *shape])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])]
    sums = numpy_helper.from_array(np.array([[1, -1]] * 4, np.float32), "sums")
    bias = numpy_helper.from_array(np.array([0, 1], np.float32), "bias")
    codes = helper.make_tensor("codes", TensorProto.INT4, [3], [-8, 0, 7])
    wide = helper.make_tensor("wide", TensorProto.INT16, [2], [-300, 300])
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("Gemm", ["flat", "sums", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, [sums, bias, codes, wide])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path
    )
    return path


@pytest.mark.parametrize("batch", [1, 2, 5, 64])
def test_images_are_shown_as_they_are_to_torch(tmp_path: Path, batch: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 2, 2), dtype=np.uint8)
    logits = predict(model(tmp_path / "a.onnx"), images, batch)
    sums = (images / 255).sum((1, 2, 3))
    np.testing.assert_allclose(logits, np.stack([sums, 1 - sums], axis=1), rtol=1e-5, atol=1e-6)
    assert logits.dtype == np.float32


def test_files_that_do_not_run_are_named(tmp_path: Path) -> None:
    images = np.zeros((1, 1, 2, 2), np.uint8)
    damaged = model(tmp_path / "damaged.onnx")
    damaged.write_bytes(damaged.read_bytes()[:-40])
    other = model(tmp_path / "other.onnx", (3, 2, 2))
    for path in (tmp_path / "missing.onnx", damaged, other):
        with pytest.raises(CheckpointError, match=rf"{path.name} does not run .* export"):
            predict(path, images)


def case(n: int, right: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits over 3 classes that find ``right`` of ``n`` images of class 1, and the labels."""
    logits = torch.zeros(n, 3)
    logits[:right, 1] = 1
    logits[right:, 2] = 1
    return logits, torch.ones(n, dtype=torch.int64)


def test_both_scopes_are_compared() -> None:
    logits, labels = case(500, 400)
    reference = logits.clone()
    reference[0, 0] = 2  # outside of the subset: differs over all classes alone
    reference[1, 2] = 1.5  # inside: differs in both
    evaluated = {"all": 399, "subset": 401}
    everything, within = compare(FILE, logits, reference, labels, [1, 2], evaluated, TABLE)
    assert (everything.scope, everything.n, everything.top1) == ("all", 500, 0.8)
    assert (everything.top1_torch, everything.differing) == (0.798, 2)
    assert (within.scope, within.top1_torch, within.differing) == ("subset", 0.802, 1)
    assert everything.largest_difference == within.largest_difference == 2


@pytest.mark.parametrize(
    ("n", "apart", "by", "refused"),
    [
        # Rounding alone: a fifth of a point, or one image where that is more.
        *((1000, 2, 0.0, False), (1000, 3, 0.0, True), (500, 1, 0.0, False), (500, 2, 0.0, True)),
        *((178, 1, 0.0, False), (178, 2, 0.0, True), (1, 1, 0.0, False)),
        *((178, 1, 0.5 * ROUNDING, False), (178, 2, 0.5 * ROUNDING, True)),
        # Logits that are others: a fifth of a point, which is less than one image of 178.
        *((178, 0, 0.1, False), (178, 1, 0.1, True), (178, 1, 2 * ROUNDING, True)),
        *((500, 1, 0.1, False), (500, 2, 0.1, True)),
    ],
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_fifth_of_a_point_may_differ_and_by_rounding_one_image(
    n: int, apart: int, by: float, refused: bool, sign: int
) -> None:
    right = n // 2 + (sign < 0)
    logits, labels = case(n, right)
    reference = logits.clone()
    reference[0, 1] += by * float(logits.double().std(correction=0))
    evaluated = {"all": right, "subset": right + sign * apart}
    if not refused:
        compare(FILE, logits, reference, labels, [1, 2], evaluated, TABLE)
        return
    with pytest.raises(CheckpointError) as caught:
        compare(FILE, logits, reference, labels, [1, 2], evaluated, TABLE)
    said = str(caught.value)
    assert f"{FILE} has a top-1 of {right / n:.2%} in ONNX Runtime (scope subset)" in said
    assert f"the evaluation says {(right + sign * apart) / n:.2%}, more than 0.2 points" in said
    # The remedy is for what is wrong: the evaluation, or the file.
    assert (f"set device: cpu, delete {TABLE} and run again" in said) == (by < ROUNDING)
    assert ("export" in said) == (by > ROUNDING)


@pytest.mark.parametrize(
    ("n", "apart", "refused"), [(100, 2, False), (100, 3, True), (500, 5, False), (500, 6, True)]
)
def test_a_point_or_two_images_may_differ_where_values_are_on_grids(
    n: int, apart: int, refused: bool
) -> None:
    logits, labels = case(n, n // 2)
    evaluated = {"all": n // 2, "subset": n // 2 + apart}
    arguments = (FILE, logits, logits + 0.3 * (labels == 1)[:, None], labels, [1, 2], evaluated)
    if not refused:
        compare(*arguments, TABLE, on_grids=True)
        return
    with pytest.raises(CheckpointError, match="more than 1 point apart"):
        compare(*arguments, TABLE, on_grids=True)


def test_rounding_is_of_the_logits_spread_and_not_of_their_size() -> None:
    """A tenth is much for logits of 1, wherever they lie, and nothing for logits of 10,000."""
    logits, labels = case(100, 50)
    evaluated = {"all": 51, "subset": 51}
    for scale, offset, refused in ((1, 0, True), (1, 1e4, True), (1e4, 0, False)):
        moved = scale * logits + offset
        reference = moved.clone()
        reference[0, 1] += 0.1
        if refused:
            with pytest.raises(CheckpointError, match=r"up to 0\.1 from those of its checkpoint"):
                compare(FILE, moved, reference, labels, [1, 2], evaluated, TABLE)
        else:
            compare(FILE, moved, reference, labels, [1, 2], evaluated, TABLE)
