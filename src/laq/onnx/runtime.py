"""ONNX files in ONNX Runtime on the CPU, and how they compare with the torch network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from laq.experiments.evaluation import score
from laq.utils.errors import CheckpointError, DataError

REMEDY = "delete it and export the checkpoint again"
TOLERANCE = 0.002  # of top-1, between ONNX Runtime and the accuracy that was evaluated
ON_GRIDS = 0.01  # the same where values between layers are quantized; two images at least
ROUNDING = 1e-4  # of the logits' standard deviation: sums in another order differ by less


@dataclass(frozen=True)
class Comparison:
    """ONNX Runtime beside torch on the same images, over one scope of
    ``laq.experiments.evaluation``.

    n: images. top1: of ONNX Runtime. top1_torch: of torch. differing: images that they put into
    different classes. largest_difference: between their logits, over all images and classes.
    """

    scope: str
    n: int
    top1: float
    top1_torch: float
    differing: int
    largest_difference: float


def predict(
    path: str | os.PathLike[str], images: NDArray[np.uint8], batch: int = 64, threads: int = 1
) -> NDArray[np.float32]:
    """Logits (n, classes) of uint8 ``images`` (n, channels, height, width), ``batch`` at a time.

    Raises ``CheckpointError`` that names the file if it is missing, damaged, or does not take such
    images.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3  # errors, which are raised as well
    # By default inputs of a product with an INT8 weight (MatMulNBits) are rounded to 8 bits.
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        logits = [
            session.run(None, {name: images[start : start + batch].astype(np.float32) / 255})[0]
            for start in range(0, len(images), batch)
        ]
    except Exception as error:  # it raises classes of its own, with nothing else in common
        raise CheckpointError(f"{path} does not run in ONNX Runtime ({error}): {REMEDY}") from error
    return np.concatenate(logits)


def compare(
    path: str | os.PathLike[str],
    logits: Tensor,
    reference: Tensor,
    labels: Tensor,
    subset: Sequence[int],
    correct: Mapping[str, int],
    accuracy: str | os.PathLike[str],
    on_grids: bool = False,
) -> list[Comparison]:
    """The file's ``logits`` beside the torch network's, ``reference``, both (n, classes) float32.

    Args:
        path: of the file, for messages.
        labels: (n,) int64, each in ``subset``, the indices of the subset's classes.
        correct: images that the evaluation of the torch network found right, by scope.
        accuracy: of the table that has them, for messages.
        on_grids: whether values between layers are quantized.

    Raises:
        CheckpointError: top-1 differs from the evaluated one by more than 0.2 points. With
            ``on_grids`` a point or two images may differ, whichever is more, since a sum's last bit
            may move a value by a step. Where the logits differ by rounding alone, one image may
            differ, however few there are.
        DataError: as ``laq.experiments.evaluation.score``, or a scope that was not evaluated.
    """
    members = list(subset)
    results = score(logits, labels, members)
    largest_difference = float((logits - reference).abs().max())
    # With this comparison a reference that is not finite differs by more than rounding.
    rounding = largest_difference <= ROUNDING * float(reference.double().std(correction=0))
    rows = []
    for result in results:
        if result.scope not in correct:
            raise DataError(f"{path} was made of a network without an accuracy: evaluate it first")
        evaluated = correct[result.scope] / result.n
        # Counted in images, so that 1 of 500 is not more than 0.2 points.
        tolerance, margin = max(TOLERANCE * result.n, 1.0 if rounding else 0.0), "0.2 points"
        if on_grids:
            tolerance, margin = max(ON_GRIDS * result.n, 2.0), "1 point"
        if abs(result.correct - correct[result.scope]) > tolerance + 1e-9:
            raise CheckpointError(
                f"{path} has a top-1 of {result.top1:.2%} in ONNX Runtime (scope {result.scope}) "
                f"where the evaluation says {evaluated:.2%}, more than {margin} apart"
                + _remedy(accuracy, largest_difference, rounding)
            )
        classes = slice(None) if result.scope == "all" else members
        predicted, expected = (tensor[:, classes].argmax(1) for tensor in (logits, reference))
        rows.append(
            Comparison(
                scope=result.scope,
                n=result.n,
                top1=result.top1,
                top1_torch=evaluated,
                differing=int((predicted != expected).sum()),
                largest_difference=largest_difference,
            )
        )
    return rows


def _remedy(accuracy: str | os.PathLike[str], largest: float, rounding: bool) -> str:
    """The remedy for a difference: it depends on whether the evaluation or the file is wrong."""
    if rounding:
        return (
            ". The file gives the logits of its checkpoint on the CPU, so it was evaluated "
            f"elsewhere, such as on a GPU: set device: cpu, delete {accuracy} and run again"
        )
    return (
        f". Its logits are up to {largest:.2g} from those of its checkpoint, more than rounding: "
        f"{REMEDY}; if that does not help, leave the variant out of deploy.variants"
    )


def stored(path: str | os.PathLike[str]) -> dict[str, int]:
    """How many numbers of the file are int4, int8, int16 and float: weights, biases and all else.

    Integers that are no weights, such as shapes, are int64 and do not count.
    """
    import onnx

    kinds = {"int4": "INT4", "int8": "INT8", "int16": "INT16", "float": "FLOAT"}
    counts = dict.fromkeys(kinds, 0)
    types = {getattr(onnx.TensorProto, kind): name for name, kind in kinds.items()}
    for tensor in onnx.load(path).graph.initializer:
        if tensor.data_type in types:
            counts[types[tensor.data_type]] += int(np.prod(tensor.dims, dtype=np.int64))
    return counts
