"""What is known of a data set before an image of it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Survey:
    """classes: names, in label order. training, testing: images of each class, int64 (classes,);
    None where only the files say. image_bytes: of one image in memory.

    remarks: what is to be said of it. fingerprint: see ``laq.data.fingerprint``.
    """

    classes: Sequence[str]
    training: np.ndarray | None = None
    testing: np.ndarray | None = None
    image_bytes: int = 0
    remarks: Sequence[str] = ()
    fingerprint: str = ""

    @property
    def megabytes(self) -> int:
        """Of all images together, rounded up; 0 where that is not known."""
        if self.training is None or self.testing is None:
            return 0
        return -(-int(self.training.sum() + self.testing.sum()) * self.image_bytes // 10**6)
