"""The report of the digits study, in the file and in a browser, and the rule graph."""

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
from matplotlib.image import imread

from laq.figures import rulegraph
from laq.reporting import pages
from tests.workflow.browser import CHROMIUM, browser
from tests.workflow.conftest import CONFIG, Checkout

pytestmark = pytest.mark.long

ROOT = "results/digits"
FIGURES = ["fig1", "fig2", "fig3", "fig4", "fig5", "fig7", "fig8", "fig9"]
# Follow every link of the first page, and tell what is seen then.
WALK = """
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const place = (node) => {
  const r = node.getBoundingClientRect();
  return [r.left, r.top, r.width];
};
await pause(500);
const verdicts = document.querySelector(".laq table");
const answers = document.querySelector(".laq ul");
const seen = { width: innerWidth, height: innerHeight, verdicts: place(verdicts), opened: {} };
seen.answers = place(answers);
seen.rows = [...verdicts.rows].map((row) => row.innerText);
for (const way of [...document.querySelectorAll(".laq-way a")]) {
  way.click();
  await pause(100);
  const image = document.querySelector("img[src^='data:image/png']");
  const frame = document.querySelector("iframe");
  if (image) await image.decode();
  const shown = image || frame;
  seen.opened[way.getAttribute("href").match(/resultPath: '([^']*)'/)[1]] = {
    kind: image ? "image" : frame ? "page" : "nothing",
    place: shown && place(shown),
    pixels: image && image.naturalWidth,
    info: document.querySelector("nav").innerText,
  };
}
return seen;
"""

FRAME = 685  # CSS pixels that the caption leaves of a window of 1400, less a scroll bar
# Where the columns of a table end.
ENDS = """
return Object.fromEntries([...document.querySelectorAll("th")].map(
  (head) => [head.textContent, head.getBoundingClientRect().right]));
"""


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


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_shows_verdicts_and_figures_without_an_error(report: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(report, encoding="utf-8")
    with browser(tmp_path / "profile") as page:
        page.open(tmp_path / "report.html")
        page.run("await new Promise((done) => setTimeout(done, 1000));")  # menus fade in
        page.screenshot(tmp_path / "first.png")
        seen = page.run(WALK)
        page.call("Runtime.evaluate", expression="0")  # what is still on its way comes before
        assert page.wrong == []
    left, top, width = seen["verdicts"]
    assert 0 < seen["answers"][1] < top < seen["height"] - 200, "answers are not in view"
    assert left > 0 and left + width <= seen["width"], "verdicts are not in view"
    assert len(seen["rows"]) > 12
    opened = seen["opened"]
    assert {Path(path).stem for path in opened if path.endswith(".png")} == set(FIGURES)
    for path, result in opened.items():
        assert result["kind"] == ("image" if path.endswith(".png") else "page"), path
        left, top, width = result["place"]
        assert left >= 0 and 0 <= top < seen["height"] / 2, f"{path} is cut off"
        assert left + width <= seen["width"] + 1 and width > 300, f"{path} is cut off"
        assert "DESCRIPTION" in result["info"].upper(), f"{path} has no caption beside it"
        if result["kind"] == "image":
            assert result["pixels"] >= 1000
            assert Path(path).stem.replace("fig", "Figure ") in result["info"]
    pixels = imread(tmp_path / "first.png")
    middle = pixels[100:800, 300:1200, :3].mean(axis=2)
    assert 0.005 < (middle < 0.5).mean() < 0.5, "the first page is no words on white"


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize(
    ("table", "shown"),
    [
        ("claims", ["claim", "verdict", "effect", "low", "high", "p_holm", "p_against_holm", "n"]),
        ("curves", ["variant", "scope", "mean", "a", "c", "spearman", "above", "crossing"]),
        ("sensitivity", ["claim", "icd", "verdict", "changed", "effect"]),
        ("differences", ["variant", "reference", "scope", "difference", "p_holm"]),
    ],
)
def test_beside_its_caption_a_table_shows_what_matters(
    finished: Checkout, tmp_path: Path, table: str, shown: list[str]
) -> None:
    with browser(tmp_path / "profile") as page:
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=FRAME,
            height=850,
            deviceScaleFactor=1,
            mobile=False,
        )
        page.open(finished.path / ROOT / f"report/{table}.html")
        ends = page.run(ENDS)
        note = page.run("return document.querySelector('.note').innerText")
    for name in shown:
        in_note = re.search(rf"\b{name}\b", note)
        assert ends.get(name, FRAME + 1) <= FRAME or in_note, f"{name} is out of sight"
    rows = pd.read_csv(finished.path / ROOT / f"tables/{table}.csv", nrows=1)
    assert set(pages.FIRST[table].split()) <= set(rows.columns)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_an_error_in_a_page_does_not_go_unseen(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<script>console.error('told'); undefined.thing</script>")
    with browser(tmp_path / "profile") as page:
        page.open(tmp_path / "page.html")
        page.call("Runtime.evaluate", expression="0")
        assert len(page.wrong) == 2 and "told" in page.wrong[0] and "TypeError" in page.wrong[1]


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
