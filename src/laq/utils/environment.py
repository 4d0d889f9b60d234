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

# The machine, as far as results depend on it: the processor and the libraries that do its sums.
#
# Sums in floating point depend on the order of their terms. Libraries choose that order by the
# instruction set that they find. The facts hold no name of the machine, no path and no date, so
# that machines of the same kind have the same facts.


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
    """This machine as the libraries see it: system, instruction sets, BLAS.

    ``with_torch``: also what torch reports of itself. Its import takes some seconds.
    """
    machine: dict[str, Any] = {"system": platform.system(), "processor": platform.machine()}
    machine["numpy"] = _numpy()
    if with_torch:
        machine["torch"] = _torch()
    machine["chosen"] = {name: os.environ[name] for name in CHOOSING if name in os.environ}
    return machine


def _numpy() -> dict[str, Any]:
    """The instruction sets that NumPy uses, its BLAS, and the BLAS kernels chosen here."""
    import numpy as np
    from threadpoolctl import threadpool_info

    build = np.show_config(mode="dicts")
    simd = build.get("SIMD Extensions", {})
    blas = build.get("Build Dependencies", {}).get("blas", {})
    kernels = {info.get("architecture") for info in threadpool_info() if info["user_api"] == "blas"}
    return {
        "instructions": [*simd.get("baseline", []), *simd.get("found", [])],
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "blas_kernels": sorted(kernel for kernel in kernels if kernel),
    }


def _torch() -> dict[str, Any]:
    """The instruction set that torch uses, and what it was built with."""
    import torch

    build = torch.__config__.show()
    return {
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "mkl": _version(r"Math Kernel Library Version (\S+)", build),
        "onednn": _version(r"(?:MKL-DNN|oneDNN) v(\S+)", build),
        "cuda": torch.version.cuda,
        "cudnn": _version(r"CUDNN_VERSION=([\d.]+)", build),
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
    """The installed versions of Python and of the packages that compute."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            installed[name] = "not installed"
    return installed


def seeds(config: Mapping[str, Any]) -> dict[str, Any]:
    """The study's one seed, and how often each variant is made, from streams of its own."""
    repeats = {
        name: recipe.get("repeats", 1) for name, recipe in config.get("variants", {}).items()
    }
    counts = {
        f"times that {name} is made for each subset": count
        for name, count in repeats.items()
        if count > 1
    }
    return {"seed of the study": config["seed"], **counts}


def threads(config: Mapping[str, Any]) -> dict[str, int]:
    """How many threads compute. A replay makes tables and figures alone."""
    training = {"training, features": config["threads"]} if "threads" in config else {}
    return {**training, "all else": 1}


SECONDS = 60  # the most that git may take, on a slow network file system too


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
    # A git hook that runs the workflow has variables set that point to another repository.
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
