"""A study's jobs one by one, each as the workflow runs it and in milliseconds: the real script's
function on real files, through the real binding (`job.run`), in a process of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PROJECT = Path(__file__).parents[1]
SCRIPTS = PROJECT / "workflow" / "scripts"

# Imported once, before the processes of the jobs are forked.
PRELOADED = ("torch", "safetensors.torch", "pandas", "pyarrow.parquet", "seaborn", "numba", "tqdm")

State = dict[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Outcome:
    """Exit code of a job, what it printed on the terminal, and its log."""

    code: int
    terminal: str
    log: str


@dataclass(frozen=True)
class Bench:
    """A finished study in ``folder`` and its planned jobs."""

    folder: Path
    config: dict[str, Any]
    jobs: list[dict[str, Any]]

    @classmethod
    def of(cls, folder: Path, config: str) -> Bench:
        """Plan the study whose results lie in ``folder``."""
        planned = subprocess.run(
            [sys.executable, "-m", "tests.planned", config],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            text=True,
            capture_output=True,
            check=True,
        )
        return cls(folder, **json.loads(planned.stdout))

    @contextlib.contextmanager
    def spoiled(self, path: Path) -> Iterator[Bench]:
        """The study again at ``path``: hard links, so replace its files and edit none."""
        shutil.copytree(self.folder / "results", path / "results", copy_function=os.link)
        yield Bench(path, self.config, self.jobs)
        shutil.rmtree(path)

    def job(self, name: str) -> dict[str, Any]:
        """The job that makes a file below the root."""
        target = f"{self.config['root']}/{name}"
        for job in self.jobs:
            made = list(job["output"].values())
            if target in made or any(target in files for files in made if isinstance(files, list)):
                return job
        raise LookupError(f"no job makes {target}")

    def run(self, job: dict[str, Any]) -> Outcome:
        """Run one job here; its outputs are not removed beforehand, as Snakemake would."""
        terminal, log = self.folder / "terminal.txt", self.folder / "job.txt"
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOADED))
        arguments = (str(self.folder), job, self.config, str(terminal), str(log))
        process = context.Process(target=_run, args=arguments)
        process.start()
        process.join(120)
        outcome = Outcome(process.exitcode, terminal.read_text(), log.read_text())
        terminal.unlink()
        log.unlink()
        return outcome

    def state(self) -> State:
        """Every file here, and what tells whether it was touched."""
        return {
            str(path.relative_to(self.folder)): (status.st_ino, status.st_size, status.st_mtime_ns)
            for path in sorted(self.folder.rglob("*"))
            if not path.is_dir() and (status := path.lstat())
        }


def _run(folder: str, job: dict[str, Any], config: dict[str, Any], terminal: str, log: str) -> None:
    """In the new process: what Snakemake does for a script."""
    handle = os.open(terminal, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(fd, "w", closefd=False), line_buffering=True) for fd in (1, 2)
    )
    os.chdir(folder)
    sys.path.insert(0, str(SCRIPTS))
    import job as binding

    name = Path(job["script"]).stem
    specification = importlib.util.spec_from_file_location(name, SCRIPTS / job["script"])
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    stand_in = SimpleNamespace(
        input=job["input"],
        output=job["output"],
        params=SimpleNamespace(settings=job["settings"]),
        config=config,
        log=[log],
        threads=1,
        resources={},
        rule=job["rule"],
    )
    binding.run(stand_in, getattr(script, name))
