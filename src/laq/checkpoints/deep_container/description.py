"""What a deeply compressed checkpoint says of itself, out of its container's head.

Like ``laq.checkpoints.metadata``, which asks for it, this takes no torch and reads no weight.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from laq.checkpoints.deep_container import header
from laq.checkpoints.deep_container.fixed import width
from laq.utils.errors import CheckpointError, DataError

TENSOR = "deep"


def content(path: str | os.PathLike[str], file: Any, remedy: str) -> dict[str, Any]:
    """What ``laq.checkpoints.metadata.content`` gives of other files, without the format's version.

    file: opened safetensors. ``packed`` has a run for each weight that shares values, its codes
    and indices as the string. The digest is not checked. Raises ``CheckpointError``.
    """
    whole = file.get_slice(TENSOR)
    shape, dtype = whole.get_shape(), whole.get_dtype()
    if dtype != "U8" or len(shape) != 1 or shape[0] < 16 + header.DIGEST:
        raise CheckpointError(f"{path} holds no container ({dtype} {shape}): {remedy}")

    def part(first: int, last: int) -> bytes:
        return np.asarray(whole[first:last]).tobytes()

    try:
        size = header.longest(part(0, 16))
        found, _ = header.read(part(0, min(size, shape[0])))
    except DataError as error:
        raise CheckpointError(f"{path} has a damaged description ({error}): {remedy}") from error
    digest = part(shape[0] - header.DIGEST, shape[0]).hex()
    return {**found.description, "packed": packed(found), "digest": digest}


def packed(found: header.Header) -> dict[str, list[dict[str, Any]]]:
    """The fields of ``laq.checkpoints.metadata.PackedRun`` of each weight of two dimensions that
    shares values.
    """
    return {
        entry.name: [
            {
                "shape": list(entry.shape),
                "width": max(1, entry.centroids.bit_length()),  # with the 0 of what is pruned
                "bits": width(entry.centroids),
                "scheme": "shared",
                "kind": "codebook",
                "grid": {"rows": None},
                "tensors": ["table"],
                "stored": entry.symbols,
            }
        ]
        for entry in found.weights
        if entry.centroids and len(entry.shape) > 1
    }
