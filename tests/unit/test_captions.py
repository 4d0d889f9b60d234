"""The report's captions, rendered as Snakemake does, say what is drawn and nothing else."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from docutils.core import publish_parts
from jinja2 import Environment

from laq.config import replay, schema

ROOT = Path(__file__).parents[2]
CAPTIONS = sorted((ROOT / "workflow/report").glob("*.rst"))
ENVIRONMENT = Environment(trim_blocks=True, lstrip_blocks=True)


def config(name: str, **keys: Any) -> dict[str, Any]:
    """A config of the project, completed, with other keys."""
    given = {**yaml.safe_load((ROOT / "config" / name).read_text()), **keys}
    kind = "replay" if given.get("kind") == "replay" else "config"
    described = yaml.safe_load((ROOT / f"workflow/schemas/{kind}.schema.yaml").read_text())
    completed = schema.complete(given, described)
    return replay.filled(completed) if kind == "replay" else completed


def html(caption: str, config: dict[str, Any], files: list[Any] | None = None) -> str:
    """A caption in HTML, which holds a system message where its markup is wrong."""
    text = ENVIRONMENT.from_string((ROOT / "workflow/report" / f"{caption}.rst").read_text())
    snakemake = SimpleNamespace(config=config)
    settings = {"report_level": 1, "warning_stream": ""}
    rendered = text.render(snakemake=snakemake, files=files or [], categories={})
    return publish_parts(rendered, writer="html", settings_overrides=settings)["html_body"]


def words(caption: str, config: dict[str, Any]) -> str:
    page = re.sub(r"<style.*?</style>", "", html(caption, config), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", "", page)).split())


PARTIAL = {path.stem for path in CAPTIONS if path.stem.startswith("partial_")}
PARTIAL |= {"runs", "formula", "prediction", "recommendation", "hypotheses"}


def drawn() -> list[tuple[str, str]]:
    """Captions with the configs of the project whose reports show them."""
    pairs = []
    for name in ("config.yaml", "digits.yaml", "methods.yaml", "published.yaml"):
        of = config(name)
        lacks = {"fig6"} if not of["figures"]["mixed"] else set()
        lacks |= {"fig8", "sweep"} if "sweep" not in of else {"logs"}
        lacks |= {"fig9", "similarity", "predictors"} if "similarity" not in of else set()
        lacks |= {"conditions"} if "conditions" not in of else set()
        lacks |= {"synthetic", "replication", "correlations", "replicated"}
        lacks |= {"deploy", "onnx"} if "deploy" not in of else set()
        lacks |= PARTIAL if "partial_qat" not in of else set()
        lacks |= {"zoo", "methods", "pareto", "gain"} if "zoo" not in of else set()
        if "deep_compression" not in of:
            lacks |= {path.stem for path in CAPTIONS if path.stem.startswith("deep_")}
        if of["kind"] == "replay":
            lacks |= {"fig1", "fig2", "fig3", "fig4", "fig7", "memory"}
        pairs += [(path.stem, name) for path in CAPTIONS if path.stem not in lacks]
    return pairs


@pytest.mark.parametrize(("caption", "name"), drawn())
def test_every_caption_is_whole(caption: str, name: str) -> None:
    completed = config(name)
    page = html(caption, completed)
    assert "system-message" not in page
    text = words(caption, completed)
    assert len(text) > 80
    assert not re.search(r"[a-z][.,;:][A-Z]|[{}]| [.,;]|\.\.(?!\.)", text), "torn"


@pytest.mark.parametrize(
    "name",
    [
        "birds_",
        "*x*",
        "`back` ``quotes``",
        "<b>bold",
        "漢字漢字漢字漢字",
        "|x| [1]_ \\",
        "a\u2028  b",
        ".. x::",
    ],
)
def test_a_name_of_a_study_is_plain_text(name: str) -> None:
    page = html("workflow", config("config.yaml", study=name))
    assert "system-message" not in page
    heading = re.search(r"<h1>(.*?)</h1>", page)
    assert heading and "<" not in heading[1]
    said = " ".join(name.split())
    assert unescape(heading[1]) == f"{said}: does label-aware quantization help?"


def test_the_first_page_says_its_words_before_it_uses_them() -> None:
    for name in ("config.yaml", "published.yaml"):
        text = words("workflow", config(name))
        for word in (
            "Original is",
            "Quant has",
            "FT is",
            "FT + Quant fine",
            "on All they",
            "on Sub",
        ):
            assert word in text
        assert "ICD is the inter-class distance" in text
        assert "conclusions judged here are those of the original study, and controls" in text


def test_figure_3_speaks_of_what_is_made() -> None:
    given = config("config.yaml")
    text = words("fig3", given)
    assert "fine-tuned and compressed for every subset" in text and "label-agnostic" in text
    tuned = {name: given["variants"][name] for name in ("original", "ft")}
    text = words("fig3", {**given, "variants": tuned})
    assert "fine-tuned for every subset" in text
    assert "compressed" not in text and "calibration" not in text
    own = {"bits": 2, "classes": "subset"}
    trained = {**tuned, "lsq": {"parent": "original", "qat": own}}
    text = words("fig3", {**given, "variants": trained})
    assert "fine-tuned and trained with quantized weights for every subset" in text
    assert "label-agnostic" not in text and "images that quantization sees" in text
    deep = {**tuned, "deep": {"parent": "original", "deep": {"classes": "all"}}}
    text = words("fig3", {**given, "variants": deep})
    assert "fine-tuned and pruned, shared and coded for every subset" in text
    assert "label-agnostic" in text and "images that pruning sees" in text


def figure_4(**recipe: Any) -> str:
    given = config("config.yaml")
    given["variants"]["quant"]["compress"] |= recipe
    return words("fig4", given)


def test_figure_4_speaks_of_the_variants_own_method() -> None:
    assert "keeps the second small" in figure_4()
    assert "keeps the second small" not in figure_4(method="rtn")
    assert "nothing is rounded" in figure_4(bits=32)
    assert "BatchNorm folded in" in figure_4(fold_batchnorm=True)
    assert "BatchNorm" not in figure_4() and "logarithmic where" in figure_4()


def test_figure_5_speaks_of_published_curves_and_networks_where_it_has_them() -> None:
    given = config("config.yaml")
    text = words("fig5", given)
    assert "curves of Quant and Original cross" in text and "several seeds (quant)" in text
    assert "published" not in text and "row of panels" not in text
    given["figures"]["published"] = "log.csv"
    given["networks"]["second"] = next(iter(given["networks"].values()))
    text = words("fig5", given)
    assert "curves of a published log, on the axis on top" in text and "row of panels" in text
    given["figures"]["accuracy"] = ["ft"]
    assert "Original cross" not in words("fig5", given)
    assert "of the log 4bit" in words("fig5", config("published.yaml"))


def test_figure_6_names_the_mixtures_that_it_shows() -> None:
    for name in ("config.yaml", "published.yaml"):
        text = words("fig6", config(name))
        assert "“5 + 3 bits” spends 5, then 3 bits a weight, “3 + 5 bits” 3, then 5, each" in text
    assert "as many bits in the mean as 4-bit quantization" in text
    given = config("config.yaml")
    given["figures"]["mixed"] = ["original", "mp53"]
    text = words("fig6", given)
    assert "3 + 5" not in text and "4-bit" not in text
    given["figures"]["mixed"] = ["original", "quant"]
    assert "equal shares" not in words("fig6", given)


def test_figure_8_speaks_of_32_bits_where_they_are_swept() -> None:
    given = config("config.yaml")
    assert "the star is the label-aware network at 32 bits" in words("fig8", given)
    given["sweep"]["bits"] = [2, 4]
    text = words("fig8", given)
    assert "32 bits" not in text and "logarithmic beyond" in text


def test_figure_9_speaks_of_the_variant_and_the_images_it_shows() -> None:
    given = config("digits.yaml", similarity={"images": 32, "repeats": 2})
    text = words("fig9", given)
    assert "top-1 that Quant loses" in text and "32 calibration images" in text
    assert "row of panels" not in text
    given["claims"]["quant"] = "mine"
    given["networks"]["second"] = next(iter(given["networks"].values()))
    text = words("fig9", given)
    assert "top-1 that mine loses" in text and "row of panels" in text


def test_the_replication_speaks_of_networks_and_of_a_matrix_where_it_has_them() -> None:
    given = config("digits.yaml", replication={"logs": {"quant": "a/log_.csv"}})
    for caption in ("replication", "correlations", "replicated"):
        assert "system-message" not in html(caption, given)
    assert "matrix" not in words("correlations", given)
    assert "of one network" not in words("replicated", given)
    given["replication"]["matrix"] = "kl.npy"
    given["networks"]["second"] = next(iter(given["networks"].values()))
    assert "icd_matrix" in words("correlations", given)
    assert "one variant of one network" in words("replicated", given)


def test_the_figure_of_made_images_speaks_of_those_there_are() -> None:
    given = config("digits.yaml")
    recipe = given["variants"]["quant"]["compress"]
    given["variants"]["free"] = {"compress": {**recipe, "images_from": "synthetic"}}
    page, text = html("synthetic", given), words("synthetic", given)
    assert "system-message" not in page
    assert "Optimised pixels" in text and "generator" not in text and "brackets" not in text
    given["variants"]["free"]["compress"]["classes"] = "none"
    given["variants"]["other"] = {"compress": {**recipe, "images_from": "generated"}}
    text = words("synthetic", given)
    assert "“generator”" in text and "in brackets, where no class was asked for" in text


@pytest.mark.parametrize(("tolerance", "said"), [(0.01, "1 point below"), (0.005, "0.5 points")])
def test_tables_of_deploying_say_what_may_be_lost(tolerance: float, said: str) -> None:
    given = config("digits.yaml", deploy={"variants": ["quant"], "tolerance": tolerance})
    for caption in ("deploy", "onnx"):
        assert "system-message" not in html(caption, given)
    assert f"at most {said}" in words("deploy", given)
    assert "slightly optimistic" in words("deploy", given)
