"""The cluster that start.sh starts, in the hands of a test."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


class NoCluster(Exception):
    """This machine can have none; the message says why."""


@dataclass(frozen=True)
class Job:
    """A job as squeue shows it; ``what`` names its rule and wildcards, or its group."""

    number: str
    state: str
    what: str
    cpus: str
    memory: str
    limit: str  # of time


@dataclass(frozen=True)
class Held:
    """What a job held from when to when, as the node wrote it down; no ``end`` while it runs."""

    gpus: list[str]
    start: float
    end: float | None


@dataclass(frozen=True)
class Cluster:
    """A running cluster, its state in ``folder``."""

    folder: Path

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Cluster]:
        """A cluster of its own for the length of the block.

        Raises:
            NoCluster: there can be none here.
        """
        # Not below pytest's folders: paths of sockets are short.
        cluster = cls(Path(tempfile.mkdtemp(prefix="laq-cluster-")))
        try:
            done = cluster._script("start.sh")
            if done.returncode == 2:
                raise NoCluster(done.stderr.strip())
            assert done.returncode == 0, done.stderr
            yield cluster
        finally:
            cluster._script("stop.sh")
            shutil.rmtree(cluster.folder, ignore_errors=True)

    def _script(self, name: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", HERE / name, self.folder]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def environment(self) -> dict[str, str]:
        """This process's environment with the cluster's commands first on the PATH."""
        outer = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        return outer | {"PATH": f"{self.folder / 'bin'}:{outer['PATH']}"}

    def call(self, *command: str) -> str:
        """What a command of the cluster prints."""
        return subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, check=True, timeout=60
        ).stdout

    def jobs(self) -> list[Job]:
        """Its jobs, those that are over too; none while the controller is away."""
        try:
            listed = self.call("squeue", "--noheader", "--states=all", "--format=%i|%T|%k|%C|%m|%l")
        except subprocess.CalledProcessError:
            return []
        return [Job(*line.split("|")) for line in listed.splitlines()]

    def held(self) -> dict[str, Held]:
        """By job, the GPUs it held, as the node itself wrote them down."""
        jobs: dict[str, Held] = {}
        for line in (self.folder / "log" / "jobs.txt").read_text().splitlines():
            event, number, seconds, gpus = line.split()
            if event == "prolog":
                jobs[number] = Held([] if gpus == "none" else gpus.split(","), float(seconds), None)
            else:
                jobs[number] = Held(jobs[number].gpus, jobs[number].start, float(seconds))
        return jobs

    def overdue(self, number: str) -> None:
        """Let a running job hang, and its time be over."""
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if f"SLURM_JOB_ID={number}".encode() in environ.read_bytes().split(b"\0"):
                    os.kill(int(environ.parent.name), signal.SIGSTOP)
        for _ in range(20):  # not in the second in which it started
            with contextlib.suppress(subprocess.CalledProcessError):
                self.call("scontrol", "update", f"JobId={number}", "EndTime=now")
                return
            time.sleep(0.5)
        raise AssertionError(f"job {number} keeps its time")

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Stop the controller, and start it again after the block."""
        # Killed outright it would forget the jobs of its last seconds.
        os.kill(int((self.folder / "run" / "slurmctld.pid").read_text()), signal.SIGTERM)
        time.sleep(1)
        yield
        done = self._script("start.sh")
        assert done.returncode == 0, done.stderr
