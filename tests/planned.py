"""The jobs of a study as Snakemake has planned them: `python -m tests.planned config.yaml`, in the
study's folder, prints them as JSON. For tests that hand a job a file of their own."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from snakemake import cli, dag


def _named(files: Any) -> dict[str, Any]:
    """Named inputs or outputs, as a script meets them: one path, or a list of them."""
    return {
        name: str(value) if isinstance(value, str) else [str(file) for file in value]
        for name, value in files.items()
    }


async def _summary(self: dag.DAG, detailed: bool = False) -> AsyncIterator[str]:
    """Stands for Snakemake's own summary, the one answer for which it plans every job."""
    jobs = [
        {
            "rule": job.rule.name,
            "script": job.rule.script.rsplit("/", 1)[-1],
            "input": _named(job.input),
            "output": _named(job.output),
            "settings": job.params.settings,
            "threads": job.threads,
        }
        for job in self.jobs
        if job.rule.script
    ]
    yield json.dumps({"config": dict(self.workflow.config), "jobs": jobs}, default=str)


if __name__ == "__main__":
    dag.DAG.summary = _summary
    cli.main(["--summary", "--cores", "1", "--configfile", *sys.argv[1:]])
