"""A run uses the library of its own checkout, whatever other copies are there to be imported."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.long

TARGET = "results/digits/dataset/test.npz"
NEGATIVES = ("images = np.rint(digits.images", "images = 255 - np.rint(digits.images")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout.create(tmp_path_factory.mktemp("own") / "laq")


@pytest.fixture(scope="module")
def other(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another clone, whose library makes negatives of the images."""
    clone = Checkout.create(tmp_path_factory.mktemp("other") / "laq", checkout.path)
    module = clone.path / "src/laq/data/digits.py"
    assert NEGATIVES[0] in module.read_text()
    module.write_text(module.read_text().replace(*NEGATIVES))
    return clone.path


def test_jobs_and_plans_take_the_checkout_s_library_with_another_on_the_python_path(
    checkout: Checkout, other: Path
) -> None:
    # As a clone is on the path that was installed with pip install --editable.
    checkout.run(TARGET, env={**os.environ, "PYTHONPATH": str(other / "src")})
    own = np.load(checkout.path / TARGET)["images"]
    assert own.mean() < 128, "the other clone's negatives"
    assert "Nothing to be done" in checkout.run(TARGET), "planned with another code's digests"


@pytest.mark.parametrize("order", ["library first", "two clones"])
def test_a_snakefile_that_imports_another_copy_first_is_refused(
    checkout: Checkout, other: Path, tmp_path: Path, order: str
) -> None:
    first = {
        "library first": f"import sys; sys.path.insert(0, {str(other / 'src')!r})\n"
        "from laq.utils import errors\n",
        "two clones": f"module other:\n    snakefile: {str(other / 'Snakefile')!r}\n"
        f"    config: config\nuse rule * from other as other_*\n",
    }[order]
    snakefile = tmp_path / "Snakefile"
    snakefile.write_text(
        f"{first}module own:\n    snakefile: {str(checkout.path / 'Snakefile')!r}\n"
        "    config: config\nuse rule * from own\n"
    )
    done = checkout.snakemake("-n", "--snakefile", str(snakefile))
    assert done.returncode
    said = done.stdout + done.stderr
    assert f"laq was imported from {other / 'src/laq/__init__.py'}" in said
    assert str(checkout.path / "src/laq") in said and "one clone" in said
