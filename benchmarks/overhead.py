"""What the workflow costs beyond its jobs' own work: `python benchmarks/overhead.py`.

Runs a study twice from nothing: as a user does, and as the same jobs one after the other in
one process, without Snakemake. Prints both, their ratio, and the work by rule.
"""

from __future__ import annotations

import argparse
import collections
import json
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
ROOT = "benchmarks/results/overhead"


def jobs(config: Path, root: str, cores: int = 2, **keys: Any) -> Iterator[Any]:
    """The jobs of a study with a script, in an order in which they can run; ``keys``: of config."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings import types

    with SnakemakeApi(types.OutputSettings(dryrun=True, quiet={types.Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=types.ResourceSettings(cores=cores),
            config_settings=types.ConfigSettings(
                configfiles=[config], config={"root": root, **keys}
            ),
            snakefile=PROJECT / "Snakefile",
        )
        workflow.dag().execute_workflow(executor="dryrun")
        for level in workflow._workflow.dag.toposorted():
            yield from (job for job in level if job.rule.script)


def work_in_one_process(
    config: Path, root: str, wanted: Callable[[Any], bool] = lambda job: True, **keys: Any
) -> dict[str, float]:
    """Run every job's function here; return seconds by rule, imports where they first fall.

    ``wanted``: which jobs; ``keys``: of the config.
    """
    sys.path.insert(0, str(PROJECT / "src"))
    import job as binding

    planned = [job for job in jobs(config, root, **keys) if wanted(job)]
    binding.limit_threads(max(binding.threads(_as_script_sees(job)) for job in planned))
    seconds: dict[str, float] = collections.defaultdict(float)
    for job in planned:
        seen = _as_script_sees(job)
        script = PROJECT / "workflow/rules" / job.rule.script
        function = runpy.run_path(str(script))[script.stem]
        start = time.perf_counter()
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(binding.threads(seen))
        function(**binding.arguments(seen, function))
        seconds[job.rule.name] += time.perf_counter() - start
    return dict(seconds)


def _as_script_sees(job: Any) -> SimpleNamespace:
    return SimpleNamespace(
        input=job.input,
        output=job.output,
        params=job.params,
        threads=job.threads,
        config=job.rule.workflow.config,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", default="config/digits.yaml")
    parser.add_argument("--cores", default="2")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()

    if options.in_process:
        print(json.dumps(work_in_one_process(Path(options.configfile), f"{ROOT}/process")))
        return

    shutil.rmtree(PROJECT / ROOT, ignore_errors=True)
    common = {"cwd": PROJECT, "check": True, "stderr": subprocess.DEVNULL}
    start = time.perf_counter()
    workflow = [sys.executable, "-m", "snakemake", "--cores", options.cores]
    workflow += ["--configfile", options.configfile, "--config", f"root={ROOT}/workflow"]
    subprocess.run(workflow, **common)
    wall = time.perf_counter() - start
    command = [sys.executable, __file__, "--in-process", "--configfile", options.configfile]
    printed = subprocess.run(command, **common, stdout=subprocess.PIPE, text=True).stdout
    work = json.loads(printed.splitlines()[-1])
    total = sum(work.values())

    for rule, seconds in work.items():
        print(f"{rule:20} {seconds:8.1f} s")
    print(f"work in one process  {total:8.1f} s")
    print(f"workflow, {options.cores} cores    {wall:8.1f} s")
    print(f"workflow / work      {wall / total:8.2f}")


if __name__ == "__main__":
    main()
