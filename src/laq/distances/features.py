"""Features of images: what enters a network's output layer, or the pixels themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from laq.models.networks import output_layers, to_fastest_layout, to_input
from laq.utils.errors import DataError
from laq.utils.files import AGAIN, atomic

_ORIGIN = "weights"  # key of a Parquet file's metadata


def penultimate(
    network: nn.Module, images: Tensor, device: torch.device, batch_size: int = 64
) -> Iterator[np.ndarray]:
    """Yield float32 features (b, d) batch by batch for uint8 images (n, c, h, w).

    Features are the inputs of the layer that gives the logits. Those of a convolution over a map
    larger than its kernel are averaged over all pixels. Where several layers give the logits
    together (DeiT with a distilled head), their inputs are concatenated.

    ``network`` is moved to ``device`` and put into evaluation mode, and stays so. Raises
    ``ConfigError`` for a network without such a layer.
    """
    layout = to_fastest_layout(network.to(device).eval(), to_input(images[:1], device))
    vectors: list[Tensor] = []

    def keep(layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        vectors.append(_vectors(layer, args[0] if args else kwargs["input"]))

    with ExitStack() as hooks:
        for name in output_layers(network, images[:1]):
            layer = network.get_submodule(name)
            hooks.callback(layer.register_forward_pre_hook(keep, with_kwargs=True).remove)
        for batch in tqdm(images.split(batch_size), "features", mininterval=2):
            vectors.clear()
            with torch.inference_mode():
                network(to_input(batch, device, layout))
            yield torch.cat(vectors, dim=1).cpu().numpy()


def _vectors(layer: nn.Module, inputs: Tensor) -> Tensor:
    """A layer's inputs as one vector an image."""
    if isinstance(layer, nn.Conv2d) and inputs.shape[-2:] != layer.kernel_size:
        return inputs.mean((2, 3))
    return inputs.flatten(1)


def pixels(images: Tensor, batch_size: int = 64) -> Iterator[np.ndarray]:
    """Yield the pixels themselves as float32 in [0, 1], (b, c·h·w)."""
    for batch in images.split(batch_size):
        yield to_input(batch).flatten(1).numpy()


def write(
    path: str | os.PathLike[str],
    batches: Iterator[np.ndarray],
    labels: np.ndarray,
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Stream features to Parquet, a row an image: index, label, features (fixed-size list).

    ``batches`` yields (b, d) in the order of ``labels`` (n,), n rows in all. Only one batch is in
    memory at a time. ``origin``: the record of the weights that the features come from, kept in the
    file's metadata. Written atomically; equal features give equal bytes.

    Raises:
        ValueError: batches and labels differ in number, a defect of the caller.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    start = 0
    with atomic(path) as temporary, ExitStack() as stack:
        writer = None
        for batch in batches:
            stop = start + len(batch)
            values = pa.array(np.ascontiguousarray(batch, np.float32).ravel())
            table = pa.table(
                {
                    "index": pa.array(np.arange(start, stop)),
                    "label": pa.array(labels[start:stop]),
                    "features": pa.FixedSizeListArray.from_arrays(values, batch.shape[1]),
                }
            )
            if origin is not None:
                table = table.replace_schema_metadata({_ORIGIN: json.dumps(origin)})
            writer = writer or stack.enter_context(
                pq.ParquetWriter(
                    temporary, table.schema, compression="zstd", write_page_checksum=True
                )
            )
            writer.write_table(table)
            start = stop
        if start != len(labels):
            raise ValueError(f"{start} feature vectors for {len(labels)} labels")


def origin(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The record of the weights that the features come from; None where the study made them.

    Raises ``DataError`` for a file that is missing or not Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        text = (pq.read_schema(path).metadata or {}).get(_ORIGIN.encode())
        return None if text is None else json.loads(text)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} is not a feature table ({error}): delete it, run again") from error


def read(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) float32 and labels (n,) int64, in the order of the images.

    Raises:
        DataError: the file is missing or not Parquet, lacks a column, holds no rows, columns of
            other types, or values that are not finite.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(
            path, columns=["index", "label", "features"], page_checksum_verification=True
        )
        if not len(table) or any(column.null_count for column in table.columns):
            raise ValueError("it has no rows, or values are missing")
        size = table.schema.field("features").type.list_size
        table = table.cast(
            pa.schema(
                {"index": pa.int64(), "label": pa.int64(), "features": pa.list_(pa.float32(), size)}
            )
        )
        column = table["features"].combine_chunks()
        matrix = column.flatten().to_numpy().reshape(len(table), size)
        labels = table["label"].to_numpy()
        if not np.array_equal(table["index"], np.arange(len(table))):
            raise ValueError("its rows are not in the order of the images")
    except (pa.ArrowException, OSError, KeyError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not a feature table ({error}): {AGAIN}") from error
    if not np.isfinite(matrix).all():
        raise DataError(f"{path} holds features that are not finite: {AGAIN}")
    return matrix, labels
