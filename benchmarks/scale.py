"""What the workflow itself costs, against the number of jobs: `python benchmarks/scale.py`.

    python benchmarks/scale.py --jobs 100 1000 5000 [--seconds 0] [-- snakemake's options]

The default study with so many subsets and variants that it has about as many jobs, each of them a
sleep that leaves empty files: rules, paths, params and digests are the real ones, in a temporary
copy of the project. Options after `--` go to snakemake, `--profile profiles/slurm` for example;
without any it runs here, on two cores.

Prints for each size the jobs; seconds of wall-clock time to plan them (a dry run); and of the run
the seconds a job, wall-clock and CPU (user and system, all processes of this machine that the run
waited for, so none that a cluster ran). `bare` is what the sleeping script itself takes, started
by Python alone: what is above is the workflow's.
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[1]
SOURCES = ("Snakefile", "workflow", "config", "envs", "profiles")
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
STUB = """\
import time
from pathlib import Path

time.sleep({seconds})
for output in snakemake.output:
    Path(output).touch()
"""
STUDY_JOBS = 35  # data, network, distances, tables, figures
SUBSET_JOBS = 5  # choosing, evaluating, a sweep, and what one fine-tuning adds


def shape(jobs: int) -> tuple[int, int]:
    """Subsets, and quantized variants of each, that make about so many jobs."""
    subsets = max(5, min(200, round((jobs / 2.5) ** 0.5)))
    return subsets, max(1, round((jobs - STUDY_JOBS) / subsets) - SUBSET_JOBS)


def project(folder: Path, jobs: int, seconds: float) -> None:
    """Copy the project and put a sleep in the place of every script."""
    for name in SOURCES:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for script in (folder / "workflow/scripts").glob("*.py"):
        script.write_text(STUB.format(seconds=seconds))
    config = yaml.safe_load((folder / "config/config.yaml").read_text())
    subsets, variants = shape(jobs)
    config["subsets"]["definitions"] = {"target": {"kind": "target", "count": subsets}}
    quantized = [{"compress": {"bits": 2 + i % 7, "images": 8 + i}} for i in range(variants)]
    config["variants"] = {"original": {}, "ft": {"finetune": {}}}
    config["variants"] |= {f"quant_{i}": recipe for i, recipe in enumerate(quantized)}
    config["sweep"]["variant"] = "quant_0"
    config.pop("claims", None)
    config["figures"] = {}
    (folder / "study.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def measure(folder: Path, options: list[str], limit: float) -> None:
    """Plan and run the study in ``folder``; print what both took."""
    common = [*options, "--configfile", "study.yaml"]
    plan = [*SNAKEMAKE, "--cores", "2", "--dry-run", "--quiet", "host", "--configfile"]
    start = time.perf_counter()
    printed = call([*plan, "study.yaml"], folder, limit)
    planned = time.perf_counter() - start
    jobs = int(re.search(r"^total\s+(\d+)", printed, flags=re.MULTILINE)[1])
    start, before = time.perf_counter(), cpu()
    call([*SNAKEMAKE, *common], folder, limit)
    wall, used = time.perf_counter() - start, cpu() - before
    print(
        f"{jobs:6} {planned:8.1f} {wall:8.1f} {wall / jobs:8.3f} {used / jobs:8.3f}",
        flush=True,
    )


def bare(seconds: float, rounds: int = 20) -> float:
    """Seconds that the sleeping script takes by itself, of this machine's Python."""
    start = time.perf_counter()
    for _ in range(rounds):
        program = f"import time; from pathlib import Path; time.sleep({seconds})"
        subprocess.run([sys.executable, "-c", program], check=True)
    return (time.perf_counter() - start) / rounds


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def call(command: list[str], folder: Path, limit: float) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=limit, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout + done.stderr


def main() -> None:
    arguments = sys.argv[1:]
    at = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--seconds", type=float, default=0, help="that each job sleeps")
    parser.add_argument("--limit", type=float, default=7200, help="seconds a run may take")
    parser.add_argument("--folder", help="where the copies go; a cluster's nodes must see it")
    given = parser.parse_args(arguments[:at])
    options = arguments[at + 1 :] or ["--cores", "2"]
    print(f"bare: {bare(given.seconds):.3f} s a job")
    print("  jobs   plan s    run s   s/job  CPU s/job")
    for jobs in given.jobs:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            copy = Path(folder) / "laq"
            copy.mkdir()
            project(copy, jobs, given.seconds)
            measure(copy, options, given.limit)


if __name__ == "__main__":
    main()
