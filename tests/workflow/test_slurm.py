"""The study on a SLURM cluster of one node and two simulated GPUs, and what clusters do to jobs."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.cluster.control import Cluster, Job, NoCluster
from tests.workflow.conftest import CONFIG, Checkout

pytestmark = pytest.mark.long

ROOT = Path("results/digits")
MODELS = f"{ROOT}/models/small_resnet"
GPU_RULES = (
    "train_network",
    "extract_features",
    "measure_similarity",
    "finetune_network",
    "compress_network",
    "evaluate_subset",
    "sweep_calibration",
    "sweep_conditions",
)
# Less than half of the study: something of every group, and two subsets whole, which share a job.
TARGETS = [
    *(f"{ROOT}/accuracy/small_resnet/{subset}.csv" for subset in ("even", "similar")),
    f"{ROOT}/sweep/small_resnet/even.csv",
    *(f"{ROOT}/tables/{name}.csv" for name in ("similarity", "subsets")),
    *(f"{ROOT}/figures/{name}.pdf" for name in ("fig1", "fig2")),
    f"{ROOT}/provenance.json",
]
SECONDS = 1500  # far more than the study takes: the head is killed then
# Snakemake whose looks at the queue grow no further apart while nothing ends.
LOOKING = """
from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda _: 2, lambda *_: None)
main()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    try:
        with Cluster.running() as running:
            yield running
    except NoCluster as reason:
        pytest.skip(str(reason))


@contextmanager
def head(
    cluster: Cluster,
    checkout: Checkout,
    *arguments: str,
    path: Path | None = None,
    **variables: str,
) -> Iterator[subprocess.Popen]:
    """Snakemake on the cluster's login node; what it prints goes to ``head.log``."""
    stand_in = checkout.path / "profiles/slurm/bin"  # no accounting here
    before = [str(folder) for folder in (path, stand_in) if folder]
    environment = cluster.environment() | variables
    environment["PATH"] = ":".join([*before, environment["PATH"]])
    command = [sys.executable, "-c", LOOKING, "--profile", "profiles/slurm"]
    quick = ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10"]
    with (checkout.path / "head.log").open("w") as log:
        process = subprocess.Popen(
            [*command, *quick, *arguments, "--configfile", CONFIG],
            cwd=checkout.path,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def ended(process: subprocess.Popen, checkout: Checkout, seconds: float) -> str:
    """Wait for the head; what it printed."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pytest.fail("not over in time:\n" + (checkout.path / "head.log").read_text()[-5000:])
    return (checkout.path / "head.log").read_text()


def first(jobs: list[Job], what: str, state: str = "RUNNING") -> Job | None:
    return next((job for job in jobs if what in job.what and job.state == state), None)


@pytest.fixture(scope="module")
def survived(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Checkout, str, dict[str, Job]]:
    """The study on the cluster, through failures: its checkout, what the head said, its jobs.

    The data set's job gets too little memory, one sweep is cancelled, the similarities run out of
    time, and the controller is away for 15 seconds.
    """
    checkout = Checkout.create(tmp_path_factory.mktemp("slurm") / "laq")
    profile = checkout.path / "profiles/slurm/config.yaml"
    profile.write_text(profile.read_text().replace("  # finetune_", "  finetune_"))
    for rule in ("compress_network", "evaluate_subset"):
        profile.write_text(profile.read_text().replace(f"  # {rule}:", f"  {rule}:"))
    arguments = [*TARGETS, "--set-resources", "make_dataset:mem_mb=200*attempt"]
    arguments += ["--group-components", "subsets=100", "tables=100", "subset=2"]
    training = checkout.path / ROOT / "logs/train_network/small_resnet.log"
    seen: dict[str, Job] = {}
    cancelled = overdue = outage = False
    end = time.monotonic() + SECONDS
    with head(cluster, checkout, *arguments, LAQ_SIMULATED_GPUS="1") as process:
        while process.poll() is None and time.monotonic() < end:
            jobs = cluster.jobs()
            seen |= {job.number: job for job in jobs}
            if not cancelled and (job := first(jobs, "sweep_calibration")):
                cluster.call("scancel", job.number)
                cancelled = True
            if not overdue and (job := first(jobs, "measure_similarity")):
                cluster.overdue(job.number)
                overdue = True
            # While a step runs and none begins: srun, begun in an outage, waits two minutes.
            if not outage and training.exists() and training.stat().st_size:
                with cluster.outage():
                    time.sleep(8)
                outage = True
            time.sleep(0.5)
        printed = ended(process, checkout, 1)
    assert process.returncode == 0, printed[-8000:]
    assert cancelled and overdue and outage
    return checkout, printed, seen


def test_a_study_that_survived_its_cluster_has_the_results_of_a_local_run(
    survived: tuple[Checkout, str, dict[str, Job]], finished: Checkout
) -> None:
    checkout, printed, jobs = survived
    for state in ("CANCELLED", "TIMEOUT"):
        assert f"SLURM status is: '{state}" in printed
    states = [job.state for job in jobs.values() if "make_dataset" in job.what]
    assert set(states) & {"FAILED", "OUT_OF_MEMORY"} and states[-1] == "COMPLETED", states

    def results(study: Checkout) -> dict[str, bytes]:
        files = (path for path in (study.path / ROOT).rglob("*") if path.is_file())
        kinds = {".csv", ".json", ".parquet", ".safetensors", ".md"}
        return {
            str(path.relative_to(study.path)): path.read_bytes()
            for path in files
            if path.suffix in kinds
        }

    local, remote = results(finished), results(checkout)
    assert len(remote) > 30 and remote.keys() <= local.keys()
    assert [name for name in remote if local[name] != remote[name]] == []
    # A local run has nothing left to do of it.
    assert not {f"{ROOT}/{name}" for name in checkout.planned()} & {*remote, *TARGETS}


def test_every_gpu_job_held_one_gpu_of_its_own(
    survived: tuple[Checkout, str, dict[str, Job]], cluster: Cluster
) -> None:
    checkout, _, jobs = survived
    held = {number: record for number, record in cluster.held().items() if number in jobs}
    for number, job in jobs.items():
        if number in held:
            on_gpu = any(rule in job.what for rule in GPU_RULES)
            assert len(held[number].gpus) == on_gpu, job
    records = sorted((r for r in held.values() if r.gpus), key=lambda record: record.start)
    for gpu in ("0", "1"):
        spans = [record for record in records if record.gpus == [gpu]]
        assert spans
        assert all(a.end <= b.start for a, b in itertools.pairwise(spans))

    folder = checkout.path / ROOT / "logs"
    logs = [
        log
        for log in folder.rglob("*.log")
        if log.relative_to(folder).parts[0].removesuffix(".log") in GPU_RULES
    ]
    assert len(logs) == 1 + 1 + 1 + 2 + 6 + 2 + 1
    for log in logs:
        words = log.read_text().splitlines()[0].split()  # SLURM job 17 on laq holds 1 GPU: 0
        assert words[:2] == ["SLURM", "job"] and words[-4:-1] == ["holds", "1", "GPU:"], log
        assert held[words[2]].gpus == [words[-1]], log


def test_memory_and_time_grow_with_every_retry_and_groups_ask_for_their_largest_member(
    survived: tuple[Checkout, str, dict[str, Job]],
) -> None:
    jobs = list(survived[2].values())
    sizes = [job.memory for job in jobs if "make_dataset" in job.what]
    assert sizes[:2] == ["200M", "400M"]
    # The first was made overdue, and shows it.
    again = [job for job in jobs if "measure_similarity" in job.what][1]
    assert (again.limit, again.memory) == ("4:00:00", "16000M")
    tables = next(job for job in jobs if "rule_tables_" in job.what)
    assert (tables.cpus, tables.memory) == ("1", "4000M")
    # Of one subset: three compressions and a fine-tuning of two hours, and an hour's evaluation.
    subsets = next(job for job in jobs if "rule_subset_" in job.what)
    assert (subsets.cpus, subsets.memory, subsets.limit) == ("1", "8064M", "18:00:00")  # of two


def test_a_job_without_its_gpu_ends_at_once_and_says_so(
    cluster: Cluster, finished: Checkout, tmp_path: Path
) -> None:
    checkout = finished.copy(tmp_path / "laq")
    quant, accuracy = f"{MODELS}/even/quant.safetensors", f"{ROOT}/sweep/small_resnet/even.csv"
    for name in (quant, accuracy):
        (checkout.path / name).unlink()
    # A site that drops the request for GPUs of one rule.
    site = tmp_path / "site"
    site.mkdir()
    for command in ("sbatch", "srun"):
        (site / command).write_text(
            f'#!/bin/sh\ncase "$*" in *sweep_calibration*) gpus=no ;; esac\n'
            f'for a; do shift; [ "$gpus$a" = no--gpus=1 ] || set -- "$@" "$a"; done\n'
            f'exec {cluster.folder}/bin/{command} "$@"\n'
        )
        (site / command).chmod(0o755)
    # Not a rehearsal: torch must see what SLURM gave.
    with head(cluster, checkout, quant, accuracy, "--retries", "0", path=site) as process:
        printed = ended(process, checkout, 300)
    assert process.returncode != 0
    logs = checkout.path / ROOT / "logs"
    none = (logs / "sweep_calibration/small_resnet/even.log").read_text()
    assert "asked for 1 GPU and holds none" in none and "device: cpu" in none
    unseen = (logs / "compress_network/small_resnet/even/quant.log").read_text()
    assert "holds 1 GPU: " in unseen and "torch sees none" in unseen and "device: cpu" in unseen
    for text in (none, unseen):
        assert "Traceback" not in text
    assert not (checkout.path / quant).exists() and not (checkout.path / accuracy).exists()
    assert "asked for 1 GPU and holds none" in printed


def test_a_training_over_two_tasks_that_loses_one_ends_as_two_processes_of_one_machine(
    cluster: Cluster, finished: Checkout, tmp_path: Path
) -> None:
    checkout = finished.copy(tmp_path / "laq")
    network = checkout.path / MODELS / "original.safetensors"
    log = checkout.path / ROOT / "logs/train_network/small_resnet.log"
    network.unlink()
    config = [str(network.relative_to(checkout.path)), "--config", "device=cpu", "threads=1"]
    own = [f"train_network:{name}" for name in ("mpi=srun", "tasks=2", "cpus_per_task=1")]
    with (
        checkout.edited(CONFIG, "widths: [16, 32, 64]", "widths: [8, 16]"),
        checkout.edited(CONFIG, "epochs: 6", "epochs: 8\n      processes: 2"),
    ):
        checkout.run(*config)  # under torchrun
        undisturbed = network.read_bytes()
        network.unlink()
        with head(cluster, checkout, *config, "--set-resources", *own) as process:
            while not network.with_name(".original.state").exists():
                assert process.poll() is None, (checkout.path / "head.log").read_text()[-5000:]
                time.sleep(0.01)
            job = first(cluster.jobs(), "train_network")
            assert job is not None and job.cpus == "2"
            workers = processes_of(job, "laq.training.worker")
            workers["1"].kill()
            # The other one does not wait for it.
            assert not psutil.wait_procs(workers.values(), timeout=60)[1]
            printed = ended(process, checkout, 900)
    assert process.returncode == 0, printed[-8000:]
    assert workers.keys() == {"0", "1"}
    assert "process 1 of the training was ended by SIGKILL" in printed
    assert "going on after epoch" in log.read_text() and "epoch 1/8: loss" not in log.read_text()
    assert network.read_bytes() == undisturbed


def processes_of(job: Job, module: str) -> dict[str, psutil.Process]:
    """Processes of a job that run ``module``, by task."""
    found = {}
    for process in psutil.process_iter(["cmdline", "environ"]):
        command, environment = process.info["cmdline"] or [], process.info["environ"] or {}
        if command[1:3] == ["-m", module] and environment["SLURM_JOB_ID"] == job.number:
            found[environment["SLURM_PROCID"]] = process
    return found
