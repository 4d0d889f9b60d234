"""Runs of the real workflow in copies of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.workflow.watched import Watch

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = ("Snakefile", "src", "workflow", "config", "envs", "profiles")
CONFIG = "config/digits.yaml"


@dataclass(frozen=True)
class Checkout:
    """A copy of the project's sources, with results of its own."""

    path: Path

    @classmethod
    def create(cls, path: Path, origin: Path = PROJECT) -> Checkout:
        path.mkdir(parents=True)
        for name in SOURCES:
            source = origin / name
            if source.is_dir():
                shutil.copytree(source, path / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, path / name)
        return cls(path)

    def copy(self, path: Path) -> Checkout:
        """Another one in the same state: results, times and Snakemake's records too."""
        copy = Checkout.create(path, self.path)
        for name in ("results", ".snakemake"):
            shutil.copytree(self.path / name, path / name, copy_function=shutil.copy2)
        return copy

    def snakemake(
        self, *arguments: str, config: str = CONFIG, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run snakemake here on the digits study, or on the study of ``config``.

        ``options`` are of ``subprocess.run``.
        """
        # The config last: --configfile takes all that follows, targets too.
        return self._call(*arguments, "--configfile", config, **options)

    def _call(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
            cwd=self.path,
            text=True,
            capture_output=True,
            timeout=900,
            check=False,
            **options,
        )

    def bare(self, *arguments: str) -> str:
        """Run snakemake without naming a config; return what it printed, or fail with it."""
        done = self._call(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run(self, *arguments: str, config: str = CONFIG, **options: Any) -> str:
        """Run snakemake; return what it printed, or fail with it."""
        done = self.snakemake(*arguments, config=config, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, config: str = CONFIG) -> set[str]:
        """Files that a run would make now, relative to the study's root."""
        lines = self.run("--summary", config=config).splitlines()
        header = next(i for i, line in enumerate(lines) if line.startswith("output_file\t"))
        rows = [line.split("\t") for line in lines[header + 1 :] if line.count("\t") >= 5]
        pending = [row[0] for row in rows if row[-1] == "update pending"]
        return {name.removeprefix("results/digits/") for name in pending}

    @contextmanager
    def edited(self, name: str, old: str, new: str) -> Iterator[None]:
        """Replace ``old`` by ``new`` in a source for the length of the block."""
        path = self.path / name
        text = path.read_text()
        assert old in text, f"{name} holds no {old!r}"
        path.write_text(text.replace(old, new))
        try:
            yield
        finally:
            path.write_text(text)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the digits study has run, watched. Tests leave it as they found it.

    Of several processes that share the tests one runs the study, and each has a copy. Further test
    runs take it from the folder ``LAQ_STUDY``, where that is set.
    """
    folder = tmp_path_factory.getbasetemp()
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    shared = Path(os.environ.get("LAQ_STUDY") or (folder.parent if parallel else folder))
    shared.mkdir(parents=True, exist_ok=True)
    with FileLock(shared / "finished.lock"):
        if not (shared / "finished").exists():
            made = tmp_path_factory.mktemp("study")
            checkout = Checkout.create(made / "laq")
            with Watch(made / "watch").over():
                checkout.run()
            shutil.move(made, shared / "finished")
    own = tmp_path_factory.mktemp("own")
    shutil.copytree(shared / "finished/watch", own / "watch")
    return Checkout(shared / "finished/laq").copy(own / "laq")
