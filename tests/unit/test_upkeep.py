"""One version, one set of pins, one way to run CI: what is said twice is said alike."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOLDERS = (".github", "config", "envs", "profiles", "tests", "workflow")
YAML = sorted(
    path.relative_to(ROOT).as_posix()
    for place in [ROOT.glob("*"), *((ROOT / folder).rglob("*") for folder in FOLDERS)]
    for path in place
    if path.suffix in (".yaml", ".yml", ".cff")
)


def names(requirements: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9][\w.-]*)", requirements, re.M))


@pytest.mark.parametrize("name", YAML)
def test_yaml_parses_and_no_key_stands_twice(name: str) -> None:
    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
            merge = "tag:yaml.org,2002:merge"  # <<: *anchor
            own = [key for key, _ in node.value if key.tag != merge]
            keys = [self.construct_object(key, deep=True) for key in own]
            assert len(keys) == len(set(keys)), f"{name}: {keys}"
            return super().construct_mapping(node, deep)

    assert yaml.load((ROOT / name).read_text(encoding="utf-8"), Strict) is not None


def test_yaml_files_were_found() -> None:
    wanted = {".pre-commit-config.yaml", ".snakemake-workflow-catalog.yml", "CITATION.cff"}
    assert wanted | {".github/workflows/ci.yml", "envs/laq.yaml"} <= set(YAML)


def test_the_citation_is_of_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "MIT"
    (author,) = citation["authors"]
    assert author["name"] == PROJECT["authors"][0]["name"]
    licence = (ROOT / "LICENSE").read_text()
    assert licence.startswith("MIT License") and author["name"] in licence


def test_the_conda_environment_has_the_same_pins() -> None:
    sys.path.insert(0, str(ROOT / "envs"))
    try:
        from mirror import mirrored
    finally:
        sys.path.pop(0)
    requirements = (ROOT / "envs/requirements.txt").read_text()
    assert mirrored(requirements) == (ROOT / "envs/laq.yaml").read_text()
    assert "://" not in requirements


def test_everything_asked_for_is_pinned() -> None:
    pinned = names((ROOT / "envs/requirements.txt").read_text())
    asked = names((ROOT / "envs/requirements.in").read_text())
    library = {*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())}
    assert len(asked) > 20
    assert asked <= pinned and library <= asked


def test_hooks_run_the_environment_s_own_tools() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    for repository in hooks["repos"]:
        assert repository["repo"] == "local", "another pin beside envs/requirements.txt"
        for hook in repository["hooks"]:
            assert hook["language"] == "system"
            tool = hook["entry"].split()[0]
            found = shutil.which(tool) or (Path(sys.executable).parent / tool).exists()
            assert found, f"{tool} is not in the environment"


def test_the_catalog_finds_what_it_looks_for() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"]["conda"] and usage["report"]
    assert usage["mandatory-flags"].keys() == {"desc", "flags"}
    for name in ("workflow/Snakefile", "config/README.md", "config/config.yaml", "LICENSE"):
        assert (ROOT / name).is_file()


def test_ci_runs_what_anyone_can_run() -> None:
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["run"]["steps"]
    assert any(".ci/run" in step.get("run", "") for step in steps)
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
