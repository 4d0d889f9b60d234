"""The report of the digits study; the road against what was run."""

from __future__ import annotations

import json
import re
import sys
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from laq.figures import rulegraph
from tests.workflow.conftest import CONFIG, Checkout

pytestmark = pytest.mark.long

ROOT = "results/digits"
FIGURES = ["fig1", "fig2", "fig3", "fig4", "fig5", "fig7", "fig8", "fig9"]


@pytest.fixture(scope="module")
def report(finished: Checkout, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    finished.run("--report", str(path))
    return path.read_text(encoding="utf-8")


def held(report: str, name: str) -> Any:
    """A variable of the report's page."""
    script = report.split(f'<script id="{name.replace("_", "-")}">', 1)[1]
    return json.loads(re.match(rf"\s*var {name} = (.*);$", script, re.MULTILINE)[1])


class Text(HTMLParser):
    """The words of a page, and the cells of its first table's rows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_everything_is_in_the_report_with_caption_and_labels(report: str) -> None:
    results, categories = held(report, "results"), held(report, "categories")
    assert set(categories) == {"Verdicts", "Figures", "Tables", "Study"}
    assert [path for path in results if path.endswith(".png")] and sorted(
        Path(path).stem for path in results if path.endswith(".png")
    ) == FIGURES
    tables = {Path(path).stem for path in results if path.endswith(".csv")}
    wanted = {"accuracy", "sweep", "subsets", "curves", "differences", "memory"}
    assert tables == wanted | {"claims", "sensitivity", "similarity", "predictors"}
    shown = {Path(path).stem for path in results if path.endswith(".html")}
    assert shown == tables | {"summary", "provenance"}
    for path, result in results.items():
        assert len(Text(result["caption"]).words) and len(result["caption"]) > 100, path
        assert result["labels"]["shows"], path
        assert "system-message" not in result["caption"], path


def test_the_first_page_holds_every_verdict(report: str, finished: Checkout) -> None:
    first = held(report, "workflow_desc")
    assert "system-message" not in first
    said = " ".join(Text(first).words)
    claims = pd.read_csv(finished.path / ROOT / "tables/claims.csv", keep_default_na=False)
    assert len(claims) == 12
    for _, claim in claims.iterrows():
        assert claim["statement"] in said
    for verdict, count in claims["verdict"].value_counts().items():
        assert f"{count} {verdict}" in said
    for figure in FIGURES:
        assert f"{ROOT}/figures/{figure}.png" in first


def test_the_study_is_described_whole_and_without_this_machine(finished: Checkout) -> None:
    text = (finished.path / ROOT / "provenance.json").read_text()
    study = json.loads(text)
    given = yaml.safe_load((finished.path / CONFIG).read_text())
    assert study["config"]["root"] == given["root"]
    assert study["config"]["variants"].keys() == given["variants"].keys()
    assert study["config"]["variants"]["quant"]["compress"]["scale"] == 1.16, "a default"
    assert study["versions"]["snakemake"].startswith("9.")
    assert study["seeds"]["seed of the study"] == study["config"]["seed"]
    assert study["sources"]["git"] is None, "a copy is no checkout"
    assert study["outside"] == {"logs": [], "dataset": [], "weights": {}, "features": None}
    for private in (finished.path, sys.prefix, date.today().isoformat()):
        assert str(private) not in text


def test_arrows_lead_where_jobs_were_given_files(
    finished: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((finished.path / ROOT / "provenance.json").read_text())["config"]
    monkeypatch.chdir(finished.path)
    graph = rulegraph.ask(finished.path / "Snakefile", config)
    graph.remove_node("all")
    lines = finished.run("--detailed-summary").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("output_file\t"))
    jobs = [line.split("\t") for line in lines[start + 1 :] if line.count("\t") >= 7]
    maker = {job[0]: job[2] for job in jobs}
    given = {(maker[file], job[2]) for job in jobs for file in job[4].split(",") if file in maker}
    assert set(graph.edges) == {edge for edge in given if edge[0] != edge[1]}
