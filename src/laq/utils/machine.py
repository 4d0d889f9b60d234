"""What results depend on of the machine: the processor and the libraries that do its sums.

Sums in floating point depend on the order of their terms, which libraries choose by the
instruction set that they find. No name of the machine, no path and no date is among the facts:
the same kind of machine has the same ones.
"""

from __future__ import annotations

import os
import platform
import re
from typing import Any

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
