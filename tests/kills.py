"""Kill a study at random moments, resume it each time, and compare it with an undisturbed run.

python -m tests.kills --configfile config/digits.yaml --kills 20

Moments are drawn among the jobs, and within each by its length in the undisturbed run; two more
fall into planning and into ``--unlock``.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.workflow.conftest import CONFIG, Checkout

# Of each of these one job at least is killed, where the study has any: a training goes on from its
# state, any other job begins anew.
ALWAYS = ("train_network", "compress_network")
# Never the same twice: times, and what programs print.
UNLIKE = ("logs", "benchmarks")


@dataclass(frozen=True)
class Job:
    """A job of the undisturbed run."""

    log: str  # its own alone
    rule: str
    outputs: frozenset[str]
    seconds: float


@dataclass
class Killed:
    """A study that is killed again and again, and what is to be true of it."""

    checkout: Checkout
    reference: Checkout
    root: str
    config: str = CONFIG
    options: Sequence[str] = ()  # of all runs
    environment: Mapping[str, str] = field(default_factory=dict)
    umask: int = -1
    moments: list[str] = field(default_factory=list)
    _finished: dict[str, tuple[int, int]] = field(default_factory=dict)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Snakemake with its jobs, in a process group of their own."""
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *self.options, *arguments]
        return subprocess.Popen(
            [*command, "--configfile", self.config],
            cwd=self.checkout.path,
            env=os.environ | self.environment,
            umask=self.umask,
            stdout=subprocess.DEVNULL,
            stderr=(self.checkout.path / "said").open("wb"),
            start_new_session=True,
        )

    def kill(self, run: subprocess.Popen[bytes], moment: str) -> None:
        """Kill the group, and check what it leaves."""
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        while alive(run.pid):
            time.sleep(0.01)
        self.moments.append(moment)
        self.check()

    def check(self) -> None:
        """Nothing under its own name is half-written; what was finished is the same file still."""
        for name, content in contents(self.checkout.path / self.root):
            whole = self.reference.path / self.root / name
            assert whole.is_file(), f"{name} is no artifact; after {self.moments[-1:]}"
            assert content == whole.read_bytes(), f"{name} differs; after {self.moments[-1:]}"
        for name, identity in self._finished.items():
            now = identity_of(self.checkout.path / name)
            assert now == identity, f"{name} was finished, and made again; {self.moments[-1:]}"
        marked = running(self.checkout)
        for name in records(self.checkout):
            if name not in marked and (self.checkout.path / name).is_file():
                self._finished[name] = identity_of(self.checkout.path / name)

    def has(self, job: Job) -> bool:
        """Whether a job was found finished."""
        return job.outputs <= self._finished.keys()

    def refused(self) -> None:
        """A run that is started over a lock says what to do."""
        assert self.start().wait() != 0 and "--unlock" in self.said(), self.said()

    def unlock(self) -> None:
        """Remove the lock as the user would; the command does no more, and takes seconds."""
        if len(self.moments) % 5:
            shutil.rmtree(self.checkout.path / ".snakemake/locks", ignore_errors=True)
            return
        assert self.start("--unlock").wait() == 0, self.said()

    def kill_unlocking(self, after: float) -> None:
        """Kill the command that removes the lock."""
        run = self.start("--unlock")
        time.sleep(after)
        self.kill(run, f"{after:.1f} s into --unlock")

    def said(self) -> str:
        """What the last run printed."""
        return (self.checkout.path / "said").read_text(errors="replace")


def alive(group: int) -> bool:
    """Whether a process of the group is left; not those that only wait for a parent's notice."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def contents(root: Path) -> Iterator[tuple[str, bytes]]:
    """Artifacts under a study's root, by name; temporary files, which are hidden, are none."""
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        hidden = any(part.startswith(".") for part in parts)
        if path.is_file() and not hidden and parts[0] not in UNLIKE:
            yield "/".join(parts), path.read_bytes()


def identity_of(path: Path) -> tuple[int, int]:
    """What changes when a file is written anew, with the same content too."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def noted(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files that Snakemake keeps notes on, with the notes: base64 names, cut where too long."""
    for path in folder.rglob("*"):
        if path.is_file():
            parts = path.relative_to(folder).parts
            text = "".join([*(part.removeprefix("@") for part in parts[:-1]), parts[-1]])
            yield base64.urlsafe_b64decode(text).decode(), path


def records(checkout: Checkout) -> dict[str, dict]:
    """Snakemake's records of outputs that were finished once."""
    found = {}
    for name, path in noted(checkout.path / ".snakemake/metadata"):
        try:
            found[name] = json.loads(path.read_text())
        except ValueError:  # killed while it was written
            continue
    return found


def running(checkout: Checkout) -> set[str]:
    """Outputs of jobs that were started and not finished."""
    return {name for name, _ in noted(checkout.path / ".snakemake/incomplete")}


def jobs(checkout: Checkout) -> list[Job]:
    """The jobs of a finished study, in an order that does not depend on the run."""
    outputs: dict[str, list[str]] = {}
    seconds: dict[str, float] = {}
    rules: dict[str, str] = {}
    for name, record in records(checkout).items():
        log = record["log"][0]
        outputs.setdefault(log, []).append(name)
        rules[log] = record["rule"]
        length = record["endtime"] - record["starttime"]
        seconds[log] = max(length, seconds.get(log, 0))
    return [Job(log, rules[log], frozenset(outputs[log]), seconds[log]) for log in sorted(outputs)]


def drawn(
    study: list[Job], count: int, chance: random.Random, rules: Sequence[str] = ALWAYS
) -> dict[Job, float]:
    """``count`` jobs to be killed in, of ``rules`` first, each with the seconds it is let run."""
    assert count <= len(study), f"{count} kills in {len(study)} jobs"
    shuffled = chance.sample(study, len(study))
    first = [next((job for job in shuffled if job.rule == rule), None) for rule in rules]
    victims = list(dict.fromkeys([job for job in first if job] + shuffled))[:count]
    return {job: job.seconds * chance.random() for job in victims}


def kill_and_resume(study: Killed, kills: int, seed: int = 0, patience: float = 600) -> None:
    """Run a study to its end, killing it ``kills`` times.

    Raises:
        AssertionError: something was lost, done twice, half-written, left behind or not said.
    """
    chance = random.Random(seed)
    planning, unlocking = (chance.uniform(0.5, 2.5) for _ in range(2))
    every = jobs(study.reference)
    left = drawn(every, kills - 2, chance)
    run = study.start()
    time.sleep(planning)
    study.kill(run, f"{planning:.1f} s into planning")
    while left:
        study.unlock()
        run = study.start()
        victim = next_victim(study, run, left, patience)
        seconds = wait_in(study, victim, left.pop(victim))
        study.kill(run, f"{seconds:.1f} s into {victim.rule} ({Path(victim.log).stem})")
        # Some may have come and gone meanwhile: others instead, or the same again.
        undone = [job for job in every if not study.has(job)]
        gone = [job for job in left if job not in undone]
        for job in gone:
            del left[job]
        others = [job for job in undone if job not in left]
        left |= drawn(others, min(len(gone), len(others)), chance, ())
        if len(study.moments) == kills // 2:
            study.refused()
            study.kill_unlocking(unlocking)
    study.unlock()
    run = study.start()
    assert run.wait(patience) == 0, study.said()
    study.check()
    ours, theirs = (
        {name for name, _ in contents(checkout.path / study.root)}
        for checkout in (study.checkout, study.reference)
    )
    assert ours == theirs
    leftovers = [str(path) for path in (study.checkout.path / study.root).rglob(".*")]
    assert not leftovers, f"temporary files are left: {leftovers}"


def wait_in(study: Killed, victim: Job, seconds: float) -> float:
    """Wait for ``seconds``, or until the job has ended; return how long it was."""
    started = time.monotonic()
    while time.monotonic() < started + seconds and running(study.checkout) & victim.outputs:
        time.sleep(0.02)
    return time.monotonic() - started


def next_victim(
    study: Killed, run: subprocess.Popen[bytes], left: dict[Job, float], patience: float
) -> Job:
    """The next job to be killed in, once it runs."""
    # Markers of the last run's jobs are there until the jobs run again.
    before = {name: path.stat().st_mtime_ns for name, path in marks(study)}
    deadline = time.monotonic() + patience
    while run.poll() is None:
        assert time.monotonic() < deadline, study.said()
        new = {name for name, path in marks(study) if changed(path, before.get(name))}
        for job in left:
            if new & job.outputs:
                return job
        time.sleep(0.02)
    raise AssertionError(f"the run ended before {[job.log for job in left]}: {study.said()}")


def marks(study: Killed) -> list[tuple[str, Path]]:
    """Outputs that are marked as incomplete, with the marks."""
    return list(noted(study.checkout.path / ".snakemake/incomplete"))


def changed(path: Path, before: int | None) -> bool:
    """Whether a mark was made after ``before``, and is still there."""
    try:
        return path.stat().st_mtime_ns != before
    except FileNotFoundError:
        return False


def main() -> None:
    """Run a study undisturbed and killed, in copies of the project, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", default=CONFIG)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", default="results/digits", help="the study's, as in its config")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reference, checkout = (Checkout.create(Path(folder, name)) for name in ("whole", "killed"))
        reference.run(config=arguments.configfile)
        study = Killed(checkout, reference, arguments.root, arguments.configfile)
        started = time.monotonic()
        try:
            kill_and_resume(study, arguments.kills, arguments.seed)
        finally:
            print(*study.moments, sep="\n")
        took = time.monotonic() - started
        print(f"{len(study.moments)} of {arguments.kills} kills recovered in {took:.0f} s")


if __name__ == "__main__":
    main()
