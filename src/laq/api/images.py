"""Images and labels of whatever a program has: tensors, torch data sets, loaders, folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from laq.utils import seeds
from laq.utils.errors import DataError

# What images may be given as.
Source = Tensor | tuple[Tensor, Tensor] | Dataset | DataLoader | str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Examples:
    """Images that are read when they are asked for.

    count: number of images. labels: (n,) int64, or None. names: of the classes in label order, or
    None where the source has none. read: images (k, c, h, w) at indices (k,), uint8 or floats as a
    network takes them.
    """

    count: int
    labels: np.ndarray | None
    names: list[str] | None
    read: Callable[[np.ndarray], Tensor]

    def of_classes(self, classes: Sequence[str | int] | None) -> np.ndarray:
        """Indices (k,) of the images of ``classes``, of all where None.

        Raises ``DataError`` where there are none.
        """
        if classes is None:
            chosen = np.arange(self.count)
        elif self.labels is None:
            raise DataError("classes are chosen by label, and the images have none")
        else:
            chosen = np.flatnonzero(np.isin(self.labels, self.members(classes)))
        if not len(chosen):
            raise DataError(
                "there are no images" + ("" if classes is None else f" of the classes {[*classes]}")
            )
        return chosen

    def members(self, classes: Sequence[str | int] | None) -> list[int]:
        """Indices of ``classes``, given by name or index, ascending; of all labels where None.

        Raises ``DataError`` for a class that is unknown or named twice, and without labels.
        """
        if self.labels is None:
            raise DataError("the images have no labels: give a data set of (image, label) pairs")
        if classes is None:
            return sorted(set(self.labels.tolist()))
        indices = [self._index(each) for each in classes]
        if repeated := sorted({index for index in indices if indices.count(index) > 1}):
            raise DataError(f"classes occur more than once: {repeated}")
        return sorted(indices)

    def _index(self, name: str | int) -> int:
        if not isinstance(name, str):
            return int(name)
        if self.names is None:
            raise DataError(f"class {name!r} is a name, and the data set has none: give indices")
        if name not in self.names:
            examples = ", ".join(self.names[:10]) + (", …" if len(self.names) > 10 else "")
            raise DataError(f"there is no class {name!r}: they are {examples}")
        return self.names.index(name)


def calibration_images(
    source: Source,
    classes: Sequence[str | int] | None = None,
    count: int = 64,
    seed: int = 0,
    transform: Callable[[Any], Tensor] | None = None,
    size: int = 224,
) -> Tensor:
    """``count`` images of ``classes`` to calibrate a quantizer on, drawn without replacement.

    Args:
        source: a tensor (n, c, h, w); a pair (images, labels); a torch ``Dataset`` of images or of
            (image, label); a ``DataLoader`` of batches of these; or a folder with one folder of
            images a class, of whose ``train`` folder where it has one beside ``test``.
        classes: names or indices of the classes whose images are taken; all where None. Label-aware
            calibration takes the classes that the network is deployed on.
        count: number of images; all where there are fewer.
        seed: of the draw.
        transform: for a folder, from a PIL image to a tensor (c, h, w), such as timm's and
            torchvision's. Without one an image becomes a float tensor in [0, 1], its shorter side
            resized to ``size`` and the centre cut out.
        size: pixels of that square.

    Returns:
        Images (count, c, h, w), as the source gives them.

    Raises:
        DataError: there are no images of these classes, a class is unknown, the source has no
            labels to choose by, or images are of several shapes.
    """
    if count < 1:
        raise DataError(f"count is {count}: calibration takes at least one image")
    pool = examples(source, transform, size, "train")
    chosen = pool.of_classes(classes)
    order = seeds.stream(seed, "calibration").permutation(len(chosen))[:count]
    return pool.read(chosen[np.sort(order)])


def examples(
    source: Source, transform: Callable[[Any], Tensor] | None, size: int, part: str
) -> Examples:
    """The images of ``source``, as ``calibration_images`` takes it.

    part: of a folder that is split. Raises ``DataError`` as ``calibration_images`` does.
    """
    if isinstance(source, str | os.PathLike):
        source = _folder(Path(source), transform, size, part)
    elif transform is not None:
        raise DataError("transform is for folders: images of a tensor or data set are taken as is")
    if isinstance(source, Tensor):
        return _in_memory(source, None, None)
    if isinstance(source, tuple) and len(source) == 2:
        images, labels = (torch.as_tensor(part) for part in source)
        if labels.shape != images.shape[:1]:
            raise DataError(
                f"labels are {tuple(labels.shape)} for images {tuple(images.shape)}: give one each"
            )
        return _in_memory(images, labels, None)
    if isinstance(source, DataLoader):
        return _loaded(source)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        return _of_dataset(source)
    raise DataError(
        f"images are a {type(source).__name__}: give a tensor, a pair (images, labels), a Dataset "
        "with a length, a DataLoader or a folder"
    )


def _in_memory(images: Tensor, labels: Tensor | None, names: Sequence[str] | None) -> Examples:
    if images.ndim != 4 or 0 in images.shape:
        raise DataError(
            f"images are {images.dtype} {tuple(images.shape)}: give (n, channels, height, width)"
        )
    return Examples(
        len(images),
        None if labels is None else labels.long().cpu().numpy(),
        None if names is None else [*names],
        lambda indices: images[torch.as_tensor(indices, device=images.device)],
    )


def _loaded(loader: DataLoader) -> Examples:
    """All batches of a loader, in memory: their order may differ from pass to pass."""
    batches = [
        (batch[0], batch[1]) if isinstance(batch, tuple | list) else (batch, None)
        for batch in loader
    ]
    unlabelled = any(labels is None for _, labels in batches)
    labels = None if unlabelled else torch.cat([torch.as_tensor(labels) for _, labels in batches])
    return _in_memory(
        _joined([images for images, _ in batches]),
        labels,
        getattr(loader.dataset, "classes", None),
    )


def _of_dataset(dataset: Any) -> Examples:
    """A data set's images one by one; its labels from ``targets``, or else by reading all."""
    names, targets = getattr(dataset, "classes", None), getattr(dataset, "targets", None)
    if targets is None and len(dataset) and isinstance(dataset[0], tuple | list):
        targets = [int(dataset[index][1]) for index in range(len(dataset))]

    def image(index: int) -> Tensor:
        item = dataset[int(index)]
        pixels = item[0] if isinstance(item, tuple | list) else item
        if not isinstance(pixels, Tensor):
            raise DataError(
                f"an image of the data set is a {type(pixels).__name__}: give the data set a "
                "transform that makes tensors, such as torchvision.transforms.ToTensor()"
            )
        return pixels[None]

    return Examples(
        len(dataset),
        None if targets is None else np.asarray(targets, dtype=np.int64),
        None if names is None else [*names],
        lambda indices: _joined([image(index) for index in indices]),
    )


def _joined(batches: Sequence[Tensor]) -> Tensor:
    shapes = sorted({tuple(batch.shape[1:]) for batch in batches})
    if not shapes:
        raise DataError("there are no images")
    if len(shapes) > 1:
        raise DataError(f"images are of several shapes, {shapes[:3]}: give a transform to one size")
    return torch.cat([*batches])


def _folder(root: Path, transform: Callable[[Any], Tensor] | None, size: int, part: str) -> Dataset:
    """The folder's images as a data set; of a folder that is split, those of ``part``."""
    from laq.data import folder_tree, pictures

    if not root.is_dir():
        raise DataError(f"{root} is no folder of images")
    tree = folder_tree.scan({"path": str(root), "class_order": "alphabetical"})
    mask = np.ones(len(tree.files), dtype=bool)
    if tree.test is not None:
        mask = tree.test if part == "test" else ~tree.test
    paths = [path for path, taken in zip(tree.paths(), mask, strict=True) if taken]

    def read(path: str) -> Tensor:
        if transform is None:
            pixels, _ = pictures.read(path, size, "ignored", "ignored")
            return torch.tensor(pixels).float() / 255
        from PIL import Image

        with Image.open(path) as image:
            return transform(image.convert("RGB"))

    return _Folder(paths, tree.labels[mask].tolist(), list(tree.classes), read)


class _Folder(Dataset):
    """Images of a folder by path; targets: labels; classes: names of the folders."""

    def __init__(
        self,
        paths: Sequence[str],
        targets: Sequence[int],
        classes: Sequence[str],
        read: Callable[[str], Tensor],
    ) -> None:
        self.paths, self.targets, self.classes = paths, targets, classes
        self._read = read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        try:
            return self._read(self.paths[index]), self.targets[index]
        except DataError as error:
            raise DataError(f"{self.paths[index]}: {error}") from error
        # Decoders of damaged files raise errors of many kinds.
        except Exception as error:
            raise DataError(f"{self.paths[index]} cannot be read: {error}") from error
