"""The whole record of a study that took a network, features, images and logs from others."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from laq.checkpoints import packing
from laq.distances import features
from laq.models import networks
from laq.utils import downloads, files

SCRIPT = Path(__file__).parents[2] / "workflow/scripts/record_provenance.py"
CONFIG = {"study": "Größe", "seed": 3, "threads": 2, "variants": {}, "dataset": {"path": "photos"}}
WEIGHTS = {"source": "file", "file": "w.pt", "bytes": 7, "sha256": "0" * 64}


@pytest.fixture
def study(tmp_path: Path) -> dict[str, object]:
    """Arguments of a job whose inputs are all there."""
    spec = {"name": "small_resnet", "classes": 2, "channels": 1, "widths": [4]}
    description = {"network": spec, "classes": ["a", "b"], "images": [1, 8, 8], "weights": WEIGHTS}
    description |= {"variant": "original", "parent": None, "steps": [], "bits": 32, "seed": 3}
    description |= {"alphabet": None, "calibration": None}
    packing.save(tmp_path / "o.safetensors", networks.create(**spec).state_dict(), description)
    table = tmp_path / "f.parquet"
    features.write(table, iter([np.ones((2, 3), np.float32)]), np.array([0, 1]), WEIGHTS)
    photos = {"name": "photos", "files": 2, "bytes": 9, "sha256": "1" * 64}
    files.write_json(tmp_path / "origin.json", [photos])
    (tmp_path / "log.csv").write_text("a,b\n")
    return {
        "dataset": str(tmp_path / "origin.json"),
        "checkpoints": [str(tmp_path / "o.safetensors")],
        "features": str(table),
        "logs": [str(tmp_path / "log.csv")],
        "provenance": str(tmp_path / "provenance.json"),
        "page": str(tmp_path / "page.html"),
        "sources": "0f" * 32,
        "networks": ["resnet"],
        "config": CONFIG,
    }


def test_everything_from_outside_is_in_it_twice_alike(study: dict, tmp_path: Path) -> None:
    record = runpy.run_path(str(SCRIPT))["record_provenance"]
    record(**study)
    text = (tmp_path / "provenance.json").read_bytes()
    content = json.loads(text)
    assert content["outside"] == {
        "logs": [downloads.of_file(tmp_path / "log.csv")],
        "dataset": json.loads((tmp_path / "origin.json").read_text()),
        "weights": {"resnet": WEIGHTS},
        "features": WEIGHTS,
    }
    assert content["sources"]["digest"] == study["sources"]
    assert list(content["config"]) == list(CONFIG), "the config's order is part of it"
    assert content["threads"] == {"training, features": 2, "all else": 1}
    assert str(tmp_path).encode() not in text and "Größe".encode() in text
    page = (tmp_path / "page.html").read_bytes()
    assert b"sha256" in page and "Größe".encode() in page
    record(**study)
    assert (tmp_path / "provenance.json").read_bytes() == text
    assert (tmp_path / "page.html").read_bytes() == page
