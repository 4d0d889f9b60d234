"""Arms that are done, kept beside a job's output until it is written, so that a kill loses one arm.

A kept arm is valid only for the job that measured it: the same network, images, settings, code and
versions.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from laq import disks
from laq.errors import DataError
from laq.files import read_json, write_text
from laq.training.resume import code

logger = logging.getLogger(__name__)


class Kept:
    """The folder of a job's finished arms.

    facts: all that every arm of the job depends on, as JSON holds it. arrays: images and labels.
    """

    def __init__(self, table: Path, facts: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> None:
        self.folder = table.with_name(f".{table.stem}.arms")
        own = {
            "facts": dict(facts),
            "code": code(),
            "versions": [version("torch"), torch.get_num_threads()],
        }
        digest = hashlib.sha256(json.dumps(own, sort_keys=True).encode())
        for array in arrays:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array))
        self._job = digest.hexdigest()

    def find(self, arm: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was kept of an arm, if it is whole and of this job."""
        file = self._file(arm)
        if not file.exists():
            return None
        try:
            content = read_json(file)
        except DataError as error:
            logger.warning("%s; the arm is made anew", error)
            return None
        own = isinstance(content, dict) and content.get("job") == self._job
        return content["found"] if own else None

    def keep(self, arm: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        """Keep what was found of an arm; numbers come back as the very same."""
        with disks.writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self._file(arm), json.dumps({"job": self._job, "found": dict(found)}))

    def clear(self) -> None:
        """Remove them all: the table is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, arm: Mapping[str, Any]) -> Path:
        name = hashlib.sha256(json.dumps(dict(arm), sort_keys=True).encode()).hexdigest()[:24]
        return self.folder / f"{name}.json"
