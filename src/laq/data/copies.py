"""Images that are the same: copies in training and test, and copies under two labels.

Images are the same where their pixels in the data set are, since a network cannot tell them apart.
Files that are the same byte for byte are always the same images. Other files may be, such as one
picture saved as PNG and as BMP. Near copies, such as a picture saved as JPEG twice, are not found.
"""

from __future__ import annotations

import filecmp
import hashlib
import logging
from collections.abc import Sequence

import numpy as np

from laq.data import names
from laq.data.folder_tree import Tree, listed

logger = logging.getLogger(__name__)


def groups(images: np.ndarray) -> np.ndarray:
    """Equal numbers for equal images; images: uint8 (n, …), returns int64 (n,)."""
    numbers: dict[bytes, int] = {}
    hashers = (hashlib.blake2b(np.ascontiguousarray(image), digest_size=16) for image in images)
    return np.array([numbers.setdefault(hasher.digest(), len(numbers)) for hasher in hashers])


def told(tree: Tree, groups: np.ndarray, test: np.ndarray) -> dict[str, int]:
    """Log which images are copies, and count them.

    groups: of the tree's images, as ``groups`` gives them; test: bool (n,), true for test images.

    Returns ``all``, images that are copies of an earlier one; ``across_splits``, test images that
    are copies of a training image, of which ``identical_files`` are the same byte for byte;
    ``across_classes``, images that stand in more than one class.
    """
    counts = np.bincount(groups)
    repeated = np.flatnonzero(counts[groups] > 1).tolist()
    pairs = _across_splits(groups, test, repeated)
    conflicts = _across_classes(groups, tree.labels, repeated)
    paths = tree.paths()
    identical = sum(filecmp.cmp(paths[a], paths[b], shallow=False) for a, b in pairs)
    if pairs:
        logger.warning(
            "%d of %d test images are copies of training images, %d of them byte for byte: "
            "accuracy counts what is known by heart. Remove them from one of the two:\n%s",
            *(len(pairs), int(test.sum()), identical, _pairs(tree, pairs)),
        )
    if conflicts:
        logger.warning(
            "images that stand in more than one class: %d. All of their labels but one are wrong, "
            "or nothing tells them apart at this size and transparency. Remove them from all but "
            "one:\n%s",
            *(len(conflicts), _pairs(tree, conflicts)),
        )
    copy_count = len(groups) - len(counts)
    if copy_count > len(pairs):
        logger.info("%d of %d images are copies of others", copy_count, len(groups))
    return {
        "all": copy_count,
        "across_splits": len(pairs),
        "identical_files": identical,
        "across_classes": len(conflicts),
    }


def _across_splits(
    groups: np.ndarray, test: np.ndarray, repeated: Sequence[int]
) -> list[tuple[int, int]]:
    """Positions of each test image that is a copy of a training image, and of the first such."""
    training: dict[int, int] = {}
    for index in repeated:
        if not test[index]:
            training.setdefault(int(groups[index]), index)
    return [
        (index, training[int(groups[index])])
        for index in repeated
        if test[index] and int(groups[index]) in training
    ]


def _across_classes(
    groups: np.ndarray, labels: np.ndarray, repeated: Sequence[int]
) -> list[tuple[int, int]]:
    """The first positions, in one class and in another, of each image in several classes."""
    first_index: dict[int, int] = {}
    pairs: dict[int, tuple[int, int]] = {}
    for index in repeated:
        earlier = first_index.setdefault(int(groups[index]), index)
        if labels[earlier] != labels[index]:
            pairs.setdefault(int(groups[index]), (index, earlier))
    return list(pairs.values())


def _pairs(tree: Tree, pairs: Sequence[tuple[int, int]]) -> str:
    texts = [names.shown(file) for file in tree.files]
    return listed([f"{texts[one]} = {texts[two]}" for one, two in pairs])
