"""Another place than the developer's, in all that results must not depend on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

ENVIRONMENT = {
    **{f"{name}_NUM_THREADS": "3" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")},
    "OMP_DYNAMIC": "TRUE",
    "MKL_DYNAMIC": "TRUE",
    "OMP_THREAD_LIMIT": "3",
    "PYTHONHASHSEED": "12345",
    "TZ": "Pacific/Kiritimati",
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",  # ASCII, as it was once
    "HOME": "/dev/null/nobody",
}
# Other threads than settings state, another order of jobs, and more cores than there are.
THREADS = {
    "train_network": 1,
    "extract_features": 1,
    **dict.fromkeys(("compress_network", "sweep_calibration", "evaluate_subset"), 3),
    **dict.fromkeys(("embed_features", "finetune_network", "fit_curves"), 3),
}
OPTIONS = (
    *("--cores", "3", "--scheduler", "greedy"),
    *("--prioritize", "results/digits/models/small_resnet/even/ft_quant.safetensors"),
    *("--set-threads", *(f"{rule}={count}" for rule, count in THREADS.items())),
)
UMASK = 0o077


@contextmanager
def on_one_core() -> Iterator[None]:
    """Let this process and its children see one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
