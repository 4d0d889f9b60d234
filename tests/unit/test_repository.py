"""Git state of the project's own folder, and of no other repository."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from laq.utils import environment

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Someone", "-c", "user.email=someone@example.org"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a checkout"
    (folder / "workflow").mkdir(parents=True)
    (folder / "workflow/rule.smk").write_text("rule a:\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


@needs_git
def test_a_checkout_has_its_commit_and_says_whether_tracked_files_differ(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    assert environment.state(checkout) == {"commit": commit, "changed": False}
    (checkout / "results.csv").write_text("not tracked")
    assert environment.state(checkout) == {"commit": commit, "changed": False}
    (checkout / "workflow/rule.smk").write_text("rule b:\n")
    assert environment.state(checkout) == {"commit": commit, "changed": True}
    git(checkout, "add", "--all")
    assert environment.state(checkout) == {"commit": commit, "changed": True}
    git(checkout, "commit", "--quiet", "--message", "second")
    state = environment.state(checkout)
    assert state == {"commit": git(checkout, "rev-parse", "HEAD"), "changed": False} != commit


@needs_git
def test_a_work_tree_and_a_link_are_checkouts_too(checkout: Path) -> None:
    git(checkout, "worktree", "add", "--quiet", "../other")
    assert environment.state(checkout.parent / "other")["changed"] is False
    (checkout.parent / "link").symlink_to(checkout)
    assert environment.state(checkout.parent / "link") == environment.state(checkout)


@needs_git
def test_no_commit_no_state(tmp_path: Path) -> None:
    assert environment.state(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert environment.state(tmp_path) is None
    assert environment.state(tmp_path / "nowhere") is None


def test_without_git_there_is_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.state(Path(__file__).parents[2]) is None
