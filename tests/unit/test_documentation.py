"""The pages: generated ones are up to date, links lead somewhere, and lines are short."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from docs import make_reference

from tests.configs import ROOT

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "config/README.md",
        ROOT / "results/README.md",
    )
    if path.name != "CHANGELOG.md"
)
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.M | re.S)
# Rows of a table that python -m tests.coverage prints, word for word.
PRINTED = "| `timm/vit_tiny_patch16_224` |"
LINES = 250


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page: str) -> set[str]:
    """GitHub's anchors of the page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", FENCE.sub("", text(page)), flags=re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        plain = plain.replace("&lt;", "<").replace("&gt;", ">")
        anchor = re.sub(r"[^\w -]", "", plain.lower()).replace(" ", "-")
        number = 0
        while (unique := f"{anchor}-{number}" if number else anchor) in found:
            number += 1
        found.add(unique)
    return found


def test_generated_pages_are_what_the_sources_say() -> None:
    assert make_reference.stale() == [], "run python docs/make_reference.py"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    prose = re.sub(r"`[^`]*`", "", FENCE.sub("", text(page)))
    for target in re.findall(r"\]\(([^)]+)\)", prose.replace("\n", "")):
        target = target.replace(" ", "")
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), f"{page}: {target}"
        if anchor:
            there = path.resolve().relative_to(ROOT).as_posix()
            assert anchor in anchors(there), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_lines_are_at_most_100_characters_and_pages_250_lines(page: str) -> None:
    prose = FENCE.sub("", text(page))  # commands and code stand as they are run
    wide = [line for line in prose.splitlines() if len(line) > 100]
    assert [line for line in wide if not line.startswith(PRINTED)] == []
    if not page.startswith("docs/reference/"):
        assert len(text(page).splitlines()) <= LINES


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_files_that_exist(page: str) -> None:
    made = {"config/animals.yaml", "config/stripes.yaml"}  # by the reader, as the page says
    folders = "config|workflow|benchmarks|profiles|tests|docs"
    for language, block in FENCE.findall(text(page)):
        if language == "sh" and "path/to" not in block:
            for name in re.findall(rf"(?<![\w/])(?:{folders})/[\w./]+", block):
                assert (ROOT / name).exists() or name in made, f"{page}: {name}"


def test_every_page_is_in_the_index() -> None:
    index = text("docs/README.md") + text("docs/method.md")
    for page in PAGES:
        if page.startswith("docs/") and page != "docs/README.md":
            assert f"({page.removeprefix('docs/')})" in "".join(index.split("\n")), page


def test_every_study_is_in_the_page_of_configs() -> None:
    page = text("config/README.md")
    for path in (ROOT / "config").glob("*.yaml"):
        assert f"({path.name})" in page, path.name


def test_the_readme_has_the_marks_that_are_looked_for() -> None:
    """.ci/run and outside checks take the block after each mark word for word."""
    page = text("README.md")
    for mark, language in (("run", "sh"), ("test", "sh"), ("ten lines", "python")):
        block = re.search(rf"^<!-- {mark} -->\n```{language}\n(.*?)^```$", page, re.M | re.S)
        assert block, mark
        lines = [line for line in block[1].splitlines() if line]
        assert len(lines) == (10 if mark == "ten lines" else 1)
    assert page.count("<!-- findings -->") == 1


def test_pages_that_sources_name_exist() -> None:
    named: set[str] = set()
    for folder in ("src", "workflow", "profiles", "config", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".smk", ".yaml", ".rst") and path != Path(__file__):
                found = re.findall(
                    r"\b((?:docs|config|results)/[\w./-]+\.md)", path.read_text("utf-8")
                )
                named |= set(found)
    assert "docs/tutorial.md" in named
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_the_findings_conclusions_are_those_of_the_table() -> None:
    words = {"reproduced": "yes", "not reproduced": "no", "inconclusive": "?"}
    sources = ("Published", "CIFAR-100: small_resnet", "CIFAR-100: resnet18", "Glyphs")
    with (ROOT / "docs/findings/verdicts.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = re.findall(r"^\| \d+ \|.*\|$", text("docs/findings.md"), flags=re.M)
    assert len(lines) == len(rows) == 12
    for line, row in zip(lines, rows, strict=True):
        for cell, source in zip(line.split("|")[3:-1], sources, strict=True):
            if row[f"{source}: n"] == "0":
                assert not cell.strip()
                continue
            effect, verdict = cell.strip().replace("−", "-").replace(" %", "").split()
            assert abs(float(effect) - 100 * float(row[f"{source}: effect"])) < 0.0501
            assert verdict == words[row[f"{source}: verdict"]]
