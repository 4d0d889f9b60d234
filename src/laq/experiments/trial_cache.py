"""Finished parts of a job, kept beside its output until that is written: a kill loses one part.

A kept part is valid only for the job that measured it: the same network, images, settings, code and
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

from laq.training.resume import code
from laq.utils import disks
from laq.utils.errors import DataError
from laq.utils.files import read_json, write_text

logger = logging.getLogger(__name__)


class Kept:
    """The folder of a job's finished parts, hidden beside its ``table``.

    facts: all that every part of the job depends on, as JSON values. arrays: images and labels.
    Code is that of the modules loaded now: import first all modules that make parts.
    """

    def __init__(self, table: Path, facts: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> None:
        self.folder = table.with_name(f".{table.stem}.kept")
        identity = {
            "facts": dict(facts),
            "code": code(),
            "versions": [version("torch"), torch.get_num_threads()],
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
        for array in arrays:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array))
        self._job = digest.hexdigest()

    def find(self, part: Mapping[str, Any]) -> dict[str, Any] | None:
        """The content kept for a part, if its file is complete and of this job."""
        file = self._file(part)
        if not file.exists():
            return None
        try:
            content = read_json(file)
        except DataError as error:
            logger.warning("%s; this part is done anew", error)
            return None
        valid = isinstance(content, dict) and content.get("job") == self._job
        return content["found"] if valid else None

    def keep(self, part: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        """Keep the content ``found`` for a part; numbers are restored exactly."""
        with disks.writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self._file(part), json.dumps({"job": self._job, "found": dict(found)}))

    def clear(self) -> None:
        """Remove all kept parts, once the table is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, part: Mapping[str, Any]) -> Path:
        name = hashlib.sha256(json.dumps(dict(part), sort_keys=True).encode()).hexdigest()[:24]
        return self.folder / f"{name}.json"
