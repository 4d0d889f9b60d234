"""What a result owes to threads and instruction sets: `python benchmarks/reproducibility.py`.

Runs the digits study once as it is and then in other conditions, each in a process of its own: from
nothing, and again with the first run's trained network. Prints what became of the numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
ROOT = Path("benchmarks/results/reproducibility")
CONFIG = Path("config/digits.yaml")
NETWORK, SUBSET = "small_resnet", "even"  # its classes are listed, so they are always the same
# What is measured: the road to one subset's accuracies, and the choice of all subsets.
ROAD = ("extract_features", "embed_features", "measure_distances", "select_subset")
ROAD += ("finetune_network", "compress_network", "evaluate_subset")
TRAINED = ("dataset", f"models/{NETWORK}/original.safetensors", f"models/{NETWORK}/training.csv")

# Name: variables of the environment, keys of the config.
CONDITIONS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "again": ({}, {}),
    "threads: 1": ({}, {"threads": 1}),
    "torch without AVX-512": ({"ATEN_CPU_CAPABILITY": "avx2"}, {}),
    "torch without AVX": ({"ATEN_CPU_CAPABILITY": "default"}, {}),
    "oneDNN without AVX-512": ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, {}),
    "MKL without AVX": ({"MKL_CBWR": "COMPATIBLE"}, {}),
    "OpenBLAS for Nehalem": ({"OPENBLAS_CORETYPE": "Nehalem"}, {}),
}


def run(root: Path, variables: dict[str, str], keys: dict[str, Any], first: Path | None) -> None:
    """Run the study in another process; with ``first`` from that run's data and network."""
    if first:
        for name in TRAINED:
            target = PROJECT / root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (PROJECT / first / name).is_dir() else shutil.copy
            copy(PROJECT / first / name, target)
    order = {"root": str(root), "keys": keys, "trained": bool(first)}
    command = [sys.executable, __file__, "--one", json.dumps(order)]
    environment = {**os.environ, **variables}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command, cwd=PROJECT, env=environment, check=True, **silent)


def one(order: dict[str, Any]) -> None:
    """The study's jobs, one after the other, in this process."""
    import overhead

    rules = ROAD if order["trained"] else ("make_dataset", "train_network", *ROAD)

    def wanted(job: Any) -> bool:
        other = getattr(job.wildcards, "subset", SUBSET) != SUBSET
        return job.rule.name in rules and not (other and job.rule.name != "select_subset")

    overhead.work_in_one_process(CONFIG, order["root"], wanted, **order["keys"])


def difference(first: Path, other: Path) -> dict[str, str]:
    """How far two runs are apart, quantity by quantity; ``same`` where bytes are."""
    import numpy as np
    import pandas as pd
    import torch

    from laq.checkpoints import packing
    from laq.distances import features

    def same(name: str) -> bool:
        return (first / name).read_bytes() == (other / name).read_bytes()

    def apart(name: str, of: Any) -> str:
        return "same" if same(name) else of(*(root / name for root in (first, other)))

    def weights(*paths: Path) -> str:
        one, two = (packing.load(path).state_dict() for path in paths)
        return f"{max(float((one[n].double() - two[n].double()).abs().max()) for n in one):.1g}"

    def codes(*paths: Path) -> str:
        one, two = (
            torch.cat([run.codes.flatten() for runs in packed.values() for run in runs])
            for packed in (packing.read(path).packed for path in paths)
        )
        return f"{float((one != two).double().mean()):.2%}"

    def vectors(*paths: Path) -> str:
        one, two = (features.read(path)[0].astype(float) for path in paths)
        return f"{np.abs(one - two).max() / np.abs(one).max():.1g}"

    def plane(*paths: Path) -> str:
        one, two = (pd.read_parquet(path)[["umap_1", "umap_2"]].to_numpy(float) for path in paths)
        return f"{np.abs(one - two).max() / np.ptp(one):.1g}"

    def points(*paths: Path) -> str:
        one, two = (pd.read_csv(path)["top1"] for path in paths)
        return f"{100 * (one - two).abs().max():.1f}"

    subsets = sorted(path.name for path in (first / "subsets").iterdir())
    chosen = [
        [json.loads((root / "subsets" / name).read_text())["classes"] for name in subsets]
        for root in (first, other)
    ]
    alike = sum(a == b for a, b in zip(*chosen, strict=True))
    return {
        "weights": apart(f"models/{NETWORK}/original.safetensors", weights),
        "features": apart("features/train.parquet", vectors),
        "UMAP": apart("umap/coordinates.parquet", plane),
        "subsets": f"{alike} of {len(subsets)}",
        "codes": apart(f"models/{NETWORK}/{SUBSET}/quant.safetensors", codes),
        "ft": apart(f"models/{NETWORK}/{SUBSET}/ft.safetensors", weights),
        "top-1": apart(f"accuracy/{NETWORK}/{SUBSET}.csv", points),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(CONDITIONS), choices=CONDITIONS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(json.loads(options.one))
        return

    sys.path.insert(0, str(PROJECT / "src"))
    shutil.rmtree(PROJECT / ROOT, ignore_errors=True)
    base = ROOT / "first"
    run(base, {}, {}, None)
    for number, name in enumerate(options.only):
        variables, keys = CONDITIONS[name]
        for start, first in (("from nothing", None), ("from one network", base)):
            root = ROOT / f"{number}_{'given' if first else 'anew'}"
            run(root, variables, keys, first)
            found = difference(PROJECT / base, PROJECT / root)
            print(f"{name}, {start}: {json.dumps(found, ensure_ascii=False)}", flush=True)


if __name__ == "__main__":
    main()
