"""Texts of configs, edited at random: YAML refuses them, the workflow does, or they are a study."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laq.utils.errors import LaqError
from tests.configs import ROOT, opened

TEXTS = {path.name: path.read_text() for path in sorted((ROOT / "config").glob("*.yaml"))}
# What YAML, paths, patterns and Python trip over.
SNIPPETS = [
    *("{", "}", "[", "]", ":", "- ", "&a ", "*a", "!!python/name:os.system", "? ", "|", "#", "'"),
    *(
        '"',
        "\t",
        "\0",
        "~",
        "null",
        ".nan",
        "-.inf",
        "1e999",
        "0x10",
        "yes",
        "2001-01-01",
        "é",
        "😀",
    ),
    *("~nobody/x", "/dev/null", "../..", "x" * 300, '"\\0"', "{x}", "%s", "9" * 30, "<<: *a", "on"),
]


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, str]:
    """A config's name, and its text after a few edits."""
    name = draw(st.sampled_from(sorted(TEXTS)))
    text = TEXTS[name]
    for _ in range(draw(st.integers(1, 3))):
        lines = text.splitlines(keepends=True) or [""]
        row = draw(st.integers(0, len(lines) - 1))
        line = lines[row]
        match draw(st.sampled_from(["cut", "insert", "value", "drop", "twice", "indent", "end"])):
            case "cut":
                lines[row] = line[: draw(st.integers(0, len(line)))] + "\n"
            case "insert":
                place = draw(st.integers(0, len(line)))
                lines[row] = line[:place] + draw(st.sampled_from(SNIPPETS)) + line[place:]
            case "value":
                key, colon, _ = line.partition(":")
                lines[row] = f"{key}{colon} {draw(st.sampled_from(SNIPPETS))}\n"
            case "drop":
                del lines[row]
            case "twice":
                lines.insert(row, lines[draw(st.integers(0, len(lines) - 1))])
            case "indent":
                lines[row] = " " * draw(st.integers(1, 3)) + line
            case "end":
                del lines[row:]
        text = "".join(lines)
    return name, text


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits())
def test_an_edited_text_is_no_yaml_or_taken_or_refused(edited: tuple[str, str]) -> None:
    _, text = edited
    try:
        config = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # Snakemake says that itself; ValueError: 2001-99-01
        return
    if not isinstance(config, dict):  # that too
        return
    try:
        opened(config)
    except LaqError as error:
        assert str(error).strip() and "object at 0x" not in str(error)


def study(**dataset: object) -> dict:
    text = TEXTS["digits.yaml"]
    return {**yaml.safe_load(text), "dataset": dataset}


@pytest.mark.parametrize(
    ("root", "says"),
    [
        ("file", "'file' is a file; take a folder"),
        ("file/below", "'file' is a file; take a folder"),
        ("to_workflow", "a folder of the workflow's own; take one"),
        ("to_workflow/results", "a folder of the workflow's own; take one"),
        ("nowhere", "'nowhere' is a link to nothing; make the folder"),
        ("benchmarks", "a folder of the workflow's own; take one"),
        ("x" * 300, "longer than 200 letters; take a shorter one"),
    ],
)
def test_a_root_that_cannot_be_one_is_refused(
    root: str, says: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workflow").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "to_workflow").symlink_to("workflow")
    (tmp_path / "nowhere").symlink_to("not there")
    with pytest.raises(LaqError, match=f"root: .*{says}"):
        opened({**yaml.safe_load(TEXTS["digits.yaml"]), "root": root})


def test_a_root_may_be_a_link_to_another_disk(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "here/scratch").symlink_to(tmp_path / "disk")
    monkeypatch.chdir(tmp_path / "here")
    opened({**yaml.safe_load(TEXTS["digits.yaml"]), "root": "scratch/study"})
