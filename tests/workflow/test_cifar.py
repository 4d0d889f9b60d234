"""A study on CIFAR-100's files: planned without them, run on them, unmoved by where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from laq.utils.files import read_json
from tests import cifar
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.long

STUDY = """
study: CIFAR
root: results/cifar
dataset: {{ kind: cifar100, path: {path} }}
networks:
  tiny: {{ architecture: small_resnet, widths: [4], training: {{ epochs: 1 }} }}
features: {{ source: pixels }}
umap: {{ neighbors: 10 }}
icd: {{ shrinkage: 0.5 }}
subsets:
  size: 10
  definitions:
    super: {{ kind: superclasses }}
variants:
  original: {{}}
"""


def configure(checkout: Checkout, path: Path) -> None:
    (checkout.path / "cifar.yaml").write_text(STUDY.format(path=path))


def test_files_are_needed_by_the_job_alone_and_may_be_moved(tmp_path: Path) -> None:
    checkout = Checkout.create(tmp_path / "laq")
    folder = tmp_path / "data"
    folder.mkdir()
    cifar.declare(checkout.path, cifar.write_archive(folder, "cifar100", 4, 2, seed=0))
    archive = folder / "cifar-100-python.tar.gz"
    archive.rename(tmp_path / archive.name)
    configure(checkout, archive)
    assert "super_vehicles_2" in checkout.run("-n", config="cifar.yaml")
    target = "results/cifar/dataset/classes.json"
    done = checkout.snakemake(target, config="cifar.yaml")
    printed = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in printed
    assert f"neither {archive}" in printed and "dataset.download: true" in printed

    (tmp_path / archive.name).rename(archive)
    subset = "results/cifar/subsets/super_large_man_made_outdoor_things.json"
    checkout.run(target, subset, config="cifar.yaml")
    chosen = read_json(checkout.path / subset)
    assert chosen["classes"] == ["bridge", "castle", "house", "road", "skyscraper"]
    assert chosen["superclass"] == "large_man-made_outdoor_things"

    configure(checkout, folder.rename(tmp_path / "elsewhere"))
    assert "Nothing to be done" in checkout.run(target, subset, config="cifar.yaml")
    with checkout.edited("cifar.yaml", "root:", "seed: 1\nroot:"):
        assert "make_dataset" in checkout.run("-n", target, config="cifar.yaml")


def test_a_study_says_which_data_set_has_no_superclasses(tmp_path: Path) -> None:
    checkout = Checkout.create(tmp_path / "laq")
    more = "definitions:\n    groups: { kind: superclasses }"
    with checkout.edited("config/digits.yaml", "definitions:", more):
        done = checkout.snakemake("-n")
    assert done.returncode != 0
    assert "the data set digits has no superclasses" in done.stdout + done.stderr
