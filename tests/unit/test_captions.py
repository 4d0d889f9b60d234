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
