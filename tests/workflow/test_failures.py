"""What goes wrong is said clearly, leaves nothing half-written, and can be mended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.workflow.conftest import Checkout

NETWORK = "small_resnet"


@pytest.fixture
def copied(finished: Checkout, tmp_path: Path) -> Checkout:
    """A copy of the finished study, to be damaged."""
    return finished.copy(tmp_path / "laq")


def test_a_bad_config_is_refused_before_any_job(tmp_path: Path) -> None:
    checkout = Checkout.create(tmp_path / "laq")
    done = checkout.snakemake("--config", "device=tpu", "seed=-1")
    printed = done.stdout + done.stderr
    assert done.returncode != 0
    assert "device" in printed and "tpu" in printed and "auto, cpu, cuda" in printed
    assert "seed" in printed and "-1" in printed
    assert "Traceback" not in printed
    assert not (checkout.path / "results").exists()


def test_a_missing_config_file_is_named(tmp_path: Path) -> None:
    checkout = Checkout.create(tmp_path / "laq")
    done = checkout.snakemake(config="nowhere.yaml")
    assert done.returncode != 0
    assert "nowhere.yaml" in done.stdout + done.stderr


@pytest.mark.long
def test_a_damaged_checkpoint_is_named_and_can_be_made_again(
    copied: Checkout, finished: Checkout
) -> None:
    name = f"results/digits/models/{NETWORK}/even/ft.safetensors"
    whole = (copied.path / name).read_bytes()
    (copied.path / name).write_bytes(whole[: len(whole) // 2])
    done = copied.snakemake("results/digits/accuracy/small_resnet/even.csv")
    printed = done.stdout + done.stderr
    assert done.returncode != 0
    assert name in printed and "delete it" in printed
    assert "Traceback" not in printed
    (copied.path / name).unlink()
    table = "results/digits/accuracy/small_resnet/even.csv"
    copied.run(name, table)
    for made in (name, table):
        assert (copied.path / made).read_bytes() == (finished.path / made).read_bytes()


@pytest.mark.long
def test_a_user_s_folder_with_awkward_names(tmp_path: Path) -> None:
    checkout = Checkout.create(tmp_path / "laq")
    names = ["; rm -rf x", "naïve Ω", "$(touch y)", "../up".replace("/", "∕"), "'quoted'"]
    names += ["-rf", "{wildcards.subset} {x}", "two\nlines", "<script>alert(1)", "[a]*?\\"]
    names += ["$_{$", "%s %d", '"', "n" * 200]
    rng = np.random.default_rng(0)
    for shade, name in enumerate(names):
        folder = checkout.path / "my {images}" / name
        folder.mkdir(parents=True)
        for index in range(16):
            pixels = rng.normal(30 + 15 * shade, 8, (12, 12, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    (checkout.path / "own.yaml").write_text(
        """
study: "{x} <script>alert(1)</script> {wildcards.network} %s $_{$"
root: results/own
dataset: { kind: image_folder, path: "my {images}", size: 8 }
networks:
  tiny: { architecture: small_resnet, widths: [4, 8], training: { epochs: 1, batch_size: 8 } }
features: { source: pixels }
umap: { neighbors: 10 }
subsets:
  size: 2
  definitions:
    similar: { kind: similar }
    mine: { kind: classes, classes: ["; rm -rf x", "naïve Ω"] }
variants:
  original: {}
  quant: { compress: { bits: 3, images: 8 } }
"""
    )
    broken = checkout.path / "my {images}" / names[1] / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    done = checkout.snakemake(config="own.yaml")
    printed = done.stdout + done.stderr
    assert done.returncode != 0
    assert "broken.png" in printed and "Traceback" not in printed
    assert not list((checkout.path / "results").rglob("*.npz"))

    broken.unlink()
    checkout.run(config="own.yaml")
    table = (checkout.path / "results/own/tables/subsets.csv").read_text()
    assert "; rm -rf x; naïve Ω" in table
    assert not (checkout.path / "y").exists()
    pages = [path.read_text() for path in (checkout.path / "results/own/report").glob("*.html")]
    assert len(pages) > 5 and not any("<script" in page for page in pages)
    assert any("&lt;script&gt;alert(1)" in page for page in pages)

    (checkout.path / "my {images}" / names[0] / "new.png").write_bytes(
        (checkout.path / "my {images}" / names[0] / "0.png").read_bytes()
    )
    assert "make_dataset" in checkout.run("-n", config="own.yaml")
