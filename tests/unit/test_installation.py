"""The library installs by itself and needs torch, safetensors and NumPy to load a checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from laq.checkpoints import packing
from laq.models import networks
from laq.utils.errors import CheckpointError
from tests.configs import ROOT
from tests.onnx_cases import quantize

THREE_LINES = """
import laq
network = laq.load("quant.safetensors")
logits = network(images)
"""
# What a program has imported before: torch and all that it brings along.
PROGRAM = f"""
import json, sys
import numpy, safetensors.torch, torch
import torch._dynamo  # a part of torch that torch itself imports late
images = torch.load("images.pt", weights_only=True)
before = set(sys.modules)
{THREE_LINES}
assert not network.training
torch.save(logits.detach(), "logits.pt")
print(json.dumps([sorted(set(sys.modules) - before), sys.modules["laq"].__file__]))
"""


def installed(folder: Path) -> Path:
    """A folder with the library in it, built as pip builds it from a clone."""
    clone = folder / "clone"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", clone / "src", ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, clone / name)
    offline = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", folder, clone], check=True)
    (wheel,) = folder.glob("laq-*.whl")
    subprocess.run([*pip, "install", *offline, "--target", folder / "site", wheel], check=True)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("installed"))


def test_the_wheel_holds_the_library_and_no_script(folder: Path) -> None:
    (wheel,) = folder.glob("laq-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    modules = {name for name in held if ".dist-info/" not in name}
    wanted = {
        path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src/laq").rglob("*.py")
    }
    assert modules == wanted
    (metadata,) = (name for name in held if name.endswith("/METADATA"))
    lines = zipfile.ZipFile(wheel).read(metadata).decode().splitlines()
    needed = {line.split(": ")[1] for line in lines if line.startswith("Requires-Dist")}
    assert {name for name in needed if "extra" not in name} == {"numpy", "safetensors", "torch"}


def test_three_lines_in_a_program_of_its_own_give_the_logits(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = {"name": "small_resnet", "classes": 5, "channels": 1, "widths": [4, 8]}
    network = networks.create(**spec).eval()
    packed = quantize(network, [5, 3])
    packing.save(tmp_path / "quant.safetensors", network.state_dict(), {"network": spec}, packed)
    images = torch.rand(3, 1, 8, 8)
    torch.save(images, tmp_path / "images.pt")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(folder / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    imported, source = json.loads(done.stdout)
    assert Path(source).is_relative_to(folder / "site"), "not the installed library"
    own = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names)
    assert own <= {"laq", "torch", "numpy", "safetensors"}
    with torch.no_grad():
        wanted = network(images)
    assert torch.equal(torch.load(tmp_path / "logits.pt", weights_only=True), wanted)


def described(path: Path, **description: object) -> Path:
    spec = {"name": "small_resnet", "classes": 3, "widths": [4]}
    network = networks.create(**spec)
    packing.save(path, network.state_dict(), {"network": spec, **description})
    return path


def test_a_checkpoint_names_the_classes_it_was_made_for(tmp_path: Path) -> None:
    names = ["wren", "robin", "finch"]
    path = described(tmp_path / "quant.safetensors", classes=names, subset=[2, 0])
    assert packing.classes(path) == {0: "wren", 2: "finch"}
    assert list(packing.classes(path)) == [0, 2], "not in the order of the outputs"
    path = described(tmp_path / "original.safetensors", classes=names)
    assert packing.classes(path) == {0: "wren", 1: "robin", 2: "finch"}
    with pytest.raises(CheckpointError, match=r"odd\.safetensors does not name its classes"):
        packing.classes(described(tmp_path / "odd.safetensors"))
