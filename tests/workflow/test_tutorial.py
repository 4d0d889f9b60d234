"""docs/tutorial.md, followed word for word."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import torch
import yaml

from laq.config.schema import complete
from laq.models.architectures import Prepare
from tests.configs import SCHEMA
from tests.recommended import recommended
from tests.workflow.conftest import PROJECT, Checkout

pytestmark = pytest.mark.long

PAGE = (PROJECT / "docs/tutorial.md").read_text()
# A block is a file where the words before it say as what to save it, and a command where it is sh.
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def files() -> dict[str, str]:
    found = {}
    for match in BLOCK.finditer(PAGE):
        before = PAGE[: match.start()].rstrip().rsplit("\n\n", 1)[-1]
        if match[1] == "python":
            name = re.search(r"[Ss]ave (?:this|it)?\s?as `([\w.]+)`", before)
            assert name, f"the page does not say as what to save:\n{match[2]}"
            found[name[1]] = match[2]
    return found


def commands() -> str:
    return "\n".join(match[2] for match in BLOCK.finditer(PAGE) if match[1] == "sh")


def environment(folder: Path) -> None:
    """A virtual environment that has what the running one has, to install further into."""
    venv.create(folder, with_pip=False)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = folder / "lib" / version / "site-packages"
    (own / "running.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for module in ("pip", "snakemake"):
        script = folder / "bin" / module
        script.write_text(f'#!/bin/sh\nexec {folder}/bin/python -m {module} "$@"\n')
        script.chmod(0o755)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A checkout in which the tutorial was followed, and what it printed."""
    path = Checkout.create(tmp_path_factory.mktemp("tutorial") / "laq").path
    for name in ("pyproject.toml", "README.md"):
        (path / name).write_bytes((PROJECT / name).read_bytes())
    environment(path / ".venv")
    for name, text in files().items():
        (path / name).write_text(text)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands()],
        cwd=path,
        # The build takes setuptools from the environment, so that no index is asked.
        env=os.environ | {"PIP_NO_BUILD_ISOLATION": "0", "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return path, done.stdout


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_page_names_its_files_and_they_are_used() -> None:
    assert set(files()) == {"make_images.py", "train_own.py", "use.py"}
    assert all(f"python {name}" in commands() for name in files())


def test_page_and_template_say_which_networks_are_possible() -> None:
    """A file of weights alone is not enough: the study builds the network by its name."""
    step = PAGE.split("## 2. A network")[1].split("```")[0]
    lines = (PROJECT / "config/own.yaml").read_text().splitlines()
    (line,) = [line for line in lines if line.strip().startswith("architecture:")]
    for text in (step, line):
        for word in ("torchvision", "timm", "small_resnet", "three channels"):
            assert word in " ".join(text.split())


def test_the_template_can_say_that_images_were_not_normalised() -> None:
    text = (PROJECT / "config/own.yaml").read_text()
    mean, std = re.search(r"where not at all, (\[.*?\]) and (\[.*?\])", text).groups()
    config = yaml.safe_load(text)
    config["networks"]["mine"] |= {"mean": yaml.safe_load(mean), "std": yaml.safe_load(std)}
    network = complete(config, SCHEMA)["networks"]["mine"]
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(Prepare(3, None, None, network["mean"], network["std"])(images), images)


def test_the_network_comes_into_the_study_as_it_was_trained(followed: tuple[Path, str]) -> None:
    (row,) = rows(followed[0] / "results/own/models/mine/training.csv")
    assert row["epoch"] == "0"
    assert float(row["test_top1"]) > 0.8  # chance is 0.05


def test_the_table_recommends_a_variant_for_ten_named_classes(followed: tuple[Path, str]) -> None:
    table = [
        row
        for row in rows(followed[0] / "results/own/tables/deploy.csv")
        if row["subset"] == "deployed"
    ]
    assert len(table) == 6
    (chosen,) = [row["variant"] for row in table if row["recommended"] == "True"]
    assert chosen == recommended(table, 0.01)
    # The one line of the table that was printed which says so.
    assert re.findall(r"^ *(\w+) .*\bTrue$", followed[1], flags=re.M) == [chosen]


def test_the_page_shows_a_variant_that_was_written_and_says_whose_place_it_takes() -> None:
    """Which one is recommended depends on the machine: quant4 and agnostic4 are as small."""
    config = yaml.safe_load((PROJECT / "config/own.yaml").read_text())
    shown = set(re.findall(r"mine/deployed/(\w+)\.safetensors", PAGE))
    assert shown == {"quant4"} <= set(config["deploy"]["variants"])
    step = " ".join(PAGE.split("## 6. Deploy")[1].split("```")[0].split())
    assert "Take the variant that the table recommends" in step and "`quant4`" in step


def test_the_chosen_checkpoint_is_loaded_and_names_classes(followed: tuple[Path, str]) -> None:
    path, printed = followed
    names = re.search(r"^\['latin_[A-K]'(?:, 'latin_[A-K]'){4}\]$", printed, flags=re.M)
    assert names, printed[-2000:]
    original = path / "results/own/models/mine/original.safetensors"
    packed = path / "results/own/models/mine/deployed/quant4.safetensors"
    assert packed.stat().st_size < original.stat().st_size / 7
    assert (path / "results/own/onnx/mine/deployed/quant4.onnx").is_file()
