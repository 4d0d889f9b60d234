"""A study that is killed at four moments ends as one that was not."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import elsewhere
from tests.kills import Killed, kill_and_resume
from tests.workflow.conftest import CONFIG, Checkout

pytestmark = pytest.mark.long

ROOT = "results/digits"
KILLS = 4  # in one job of each rule in kills.ALWAYS, while planning and in --unlock


def test_a_study_killed_at_four_moments_elsewhere_ends_as_an_undisturbed_one_here(
    finished: Checkout, tmp_path: Path
) -> None:
    """Elsewhere: one core, told to be three; other threads, order, hash seed, locale, rights."""
    checkout = Checkout.create(tmp_path / "another place" / "laq", finished.path)
    study = Killed(
        *(checkout, finished, ROOT),
        options=elsewhere.OPTIONS,
        environment=elsewhere.ENVIRONMENT | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
        umask=elsewhere.UMASK,
    )
    try:
        with elsewhere.on_one_core():
            kill_and_resume(study, KILLS)
    finally:
        print(*study.moments, f"{len(study.moments)} of {KILLS} kills recovered", sep="\n")
    assert len(study.moments) == KILLS


def test_a_job_that_is_killed_alone_is_told_with_what_to_do(tmp_path: Path) -> None:
    # As the system does where memory runs out: Snakemake stays, and reports.
    checkout = Checkout.create(tmp_path / "laq")
    run = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2", "all", "--configfile", CONFIG],
        cwd=checkout.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = checkout.path / ROOT / "logs/make_dataset.log"
    deadline = time.monotonic() + 120
    while not log.exists():
        assert run.poll() is None and time.monotonic() < deadline, "no job started"
        time.sleep(0.02)
    jobs = psutil.Process(run.pid).children()
    next(job for job in jobs if "make_dataset" in " ".join(job.cmdline())).kill()
    said = run.communicate(timeout=120)[1]
    assert run.returncode == 1
    assert "Error in rule make_dataset" in said
    assert "A job was killed (SIGKILL)" in said and "--cores" in said
    assert "Traceback" not in said
    assert not list((checkout.path / ROOT).glob("dataset/*"))
