"""Seconds that planning the whole published study takes: a dry run, no job.

    python benchmarks/planning.py [--networks 4] [--rounds 3]

The study of config/cifar100.yaml, 33 subsets and seven settings, each on the trained and on the
fine-tuned network, with so many networks. Wall-clock time of the whole command, Python's start
included.
"""

from __future__ import annotations

import argparse
import copy
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PLAN = "snakemake --cores 2 --dry-run --quiet host --configfile"
COMMAND = [sys.executable, "-m", *PLAN.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    config = yaml.safe_load((ROOT / "config/cifar100.yaml").read_text())
    (network,) = config["networks"].values()
    config["networks"] = {
        f"network_{number}": copy.deepcopy(network) for number in range(options.networks)
    }
    config["root"] = "results/planned"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(yaml.safe_dump(config, sort_keys=False))
        for _ in range(options.rounds):
            start = time.perf_counter()
            done = subprocess.run(
                [*COMMAND, str(file)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
            )
            seconds = time.perf_counter() - start
            jobs = re.search(r"^total\s+(\d+)", done.stdout + done.stderr, flags=re.M)
            print(f"{jobs[1] if jobs else '?'} jobs planned in {seconds:.1f} s")


if __name__ == "__main__":
    main()
