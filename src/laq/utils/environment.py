"""What results depend on beside the config: processor, libraries, versions, seeds, the commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# What results depend on of the machine: the processor and the libraries that do its sums.
#
# Sums in floating point depend on the order of their terms, which libraries choose by the
# instruction set that they find. No name of the machine, no path and no date is among the facts:
# the same kind of machine has the same ones.


# Variables that choose another instruction set than the processor's best.
CHOOSING = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "GLIBC_TUNABLES",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "NUMBA_CPU_FEATURES",
    "NUMBA_CPU_NAME",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
)


def facts(*, with_torch: bool = True) -> dict[str, Any]:
    """Of this machine as the libraries see it: system, instruction sets, BLAS.

    ``with_torch``: also what torch says of itself, which takes some seconds to import.
    """
    found: dict[str, Any] = {"system": platform.system(), "processor": platform.machine()}
    found["numpy"] = _numpy()
    if with_torch:
        found["torch"] = _torch()
    found["chosen"] = {name: os.environ[name] for name in CHOOSING if name in os.environ}
    return found


def _numpy() -> dict[str, Any]:
    """The instruction sets that NumPy uses, its BLAS, and the BLAS kernels chosen here."""
    import numpy as np
    from threadpoolctl import threadpool_info

    known = np.show_config(mode="dicts")
    simd = known.get("SIMD Extensions", {})
    blas = known.get("Build Dependencies", {}).get("blas", {})
    kernels = {info.get("architecture") for info in threadpool_info() if info["user_api"] == "blas"}
    return {
        "instructions": [*simd.get("baseline", []), *simd.get("found", [])],
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "blas_kernels": sorted(kernel for kernel in kernels if kernel),
    }


def _torch() -> dict[str, Any]:
    """The instruction set that torch uses, and what it was built with."""
    import torch

    built = torch.__config__.show()
    return {
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "mkl": _version(r"Math Kernel Library Version (\S+)", built),
        "onednn": _version(r"(?:MKL-DNN|oneDNN) v(\S+)", built),
        "cuda": torch.version.cuda,
        "cudnn": _version(r"CUDNN_VERSION=([\d.]+)", built),
    }


def _version(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1].removesuffix("-Product") if match else None


# Versions, seeds and threads that a study's results depend on.


PACKAGES = (
    "snakemake",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "torch",
    "torchvision",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "safetensors",
    "numba",
    "constriction",
    "scikit-learn",
    "umap-learn",
    "matplotlib",
    "seaborn",
)


def versions() -> dict[str, str]:
    """Of Python and of the packages that compute, as they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def seeds(config: Mapping[str, Any]) -> dict[str, Any]:
    """The study's one seed, and how many times each variant is made from streams of its own."""
    repeats = {
        name: recipe.get("repeats", 1) for name, recipe in config.get("variants", {}).items()
    }
    several = {
        f"times that {name} is made for each subset": count
        for name, count in repeats.items()
        if count > 1
    }
    return {"seed of the study": config["seed"], **several}


def threads(config: Mapping[str, Any]) -> dict[str, int]:
    """How many threads compute; of a replay nothing but tables and figures."""
    trained = {"training, features": config["threads"]} if "threads" in config else {}
    return {**trained, "all else": 1}


SECONDS = 60  # that git may take, on a slow network file system too


def state(folder: Path) -> dict[str, Any] | None:
    """``commit``, and ``changed``: whether tracked files differ from it.

    None where ``folder`` is not the top of a repository with a commit (a copy, an archive, a
    folder in someone else's repository), or where git is absent or refuses to read it.
    """
    try:
        top = _git(folder, "rev-parse", "--show-toplevel").rstrip("\n")
        if not Path(top).samefile(folder):
            return None
        commit = _git(folder, "rev-parse", "--verify", "HEAD").strip()
        changed = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    return {"commit": commit, "changed": changed}


def _git(folder: Path, *arguments: str) -> str:
    # Who runs the workflow from a git hook has variables set that point to another repository.
    environment = {name: v for name, v in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        ["git", "-C", os.fspath(folder), *arguments],
        env=environment | {"GIT_OPTIONAL_LOCKS": "0"},  # it only reads
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=True,
    ).stdout
