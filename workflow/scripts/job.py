"""Bind a function to a Snakemake job: files and settings in, log and exit code out."""

from __future__ import annotations

import inspect
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

# The library of this checkout, whatever is installed.
LIBRARY = Path(__file__).resolve().parents[2] / "src"
sys.path.insert(0, str(LIBRARY))


def run(snakemake: Any, function: Callable[..., None]) -> None:
    """Call ``function`` with the job's ``arguments``.

    stdout and stderr (with progress bars) go to the job's log. What ``laq`` logs is also shown on
    the terminal. Errors that the user can mend are printed without a traceback. So is the end of a
    job by Ctrl-C or SIGTERM, which leaves no temporary file. Under SLURM a job without the GPUs it
    asked for ends here. So does a job that would run another copy of the library than its script's
    own.
    """
    limit_threads(threads(snakemake))
    check_library(snakemake.rule)

    from laq.utils import disks, gpus, signals, slurm
    from laq.utils.errors import LaqError

    signals.raise_on_signals()
    signals.end_with(os.getppid(), grace=20)
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    # Other libraries log warnings alone.
    handlers = [logging.StreamHandler(terminal)]
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=handlers, force=True)
    logger = logging.getLogger("laq")
    logger.setLevel(logging.INFO)

    def fail(reason: object, code: int = 1) -> NoReturn:
        logger.error("error in %s: %s", snakemake.rule, reason)
        sys.exit(code)

    try:
        with disks.writing(snakemake.log[0]):
            _redirect(snakemake.log[0])
        log_handler = logging.StreamHandler(sys.stderr)
        log_handler.setFormatter(handlers[0].formatter)
        logging.getLogger().addHandler(log_handler)
        slurm.tell(snakemake.resources)
        count, nodes = (snakemake.resources.get(*query) for query in (("gpu", 0), ("nodes", 1)))
        if message := gpus.check(
            count if nodes == 1 else min(count, 1)
        ):  # others are on other nodes
            print(message, flush=True)
        function(**arguments(snakemake, function))
    except LaqError as error:
        fail(error)
    except (KeyboardInterrupt, signals.Ended) as cause:
        ended = cause if isinstance(cause, signals.Ended) else signals.Ended(signal.SIGINT)
        fail(
            f"ended from outside ({ended.name}) before its files were whole; run again, and it is "
            "done anew, a training from its last epoch on",
            ended.code,
        )
    except Exception as error:
        # An error that no module handles: the disk does not take a log or a temporary file.
        if (cause := disks.explained(error)) is None:
            raise
        fail(cause)


def check_library(rule: str) -> None:
    """End the job where ``laq`` is not the package in ``LIBRARY``, whose digest was recorded.

    ``LIBRARY`` comes first in ``sys.path``, so only an earlier import of ``laq`` can take another.
    """
    import laq

    path = LIBRARY / "laq"
    if (folder := Path(laq.__file__ or "").resolve().parent) != path:
        sys.exit(
            f"error in {rule}: laq was imported from {folder} before the job began, and not from "
            f"{path}, whose code this job is to run: take out what imports laq when Python starts "
            "(a .pth file, sitecustomize or usercustomize), or uninstall it (pip uninstall laq)"
        )


def arguments(snakemake: Any, function: Callable[..., None]) -> dict[str, Any]:
    """The keyword arguments of a job's function: named files and settings.

    Named inputs and outputs keep their names. ``params.settings`` is a mapping, each key an
    argument, except ``threads``. ``device`` and ``memory_mb`` are passed where the function takes
    them. They come from the config, not from params, since no result depends on them. ``config`` is
    the whole config, for functions that describe the study as a whole.
    """
    settings = dict(snakemake.params.settings)
    settings.pop("threads", None)
    for name in {"device", "memory_mb"} & inspect.signature(function).parameters.keys():
        settings[name] = snakemake.config[name]
    if "config" in inspect.signature(function).parameters:
        settings["config"] = dict(snakemake.config)
    return {**dict(snakemake.input.items()), **dict(snakemake.output.items()), **settings}


def threads(snakemake: Any) -> int:
    """How many threads the job computes with: floating-point sums depend on it.

    It is what the settings state, or one. It is never ``snakemake.threads``, which ``--cores`` and
    ``--set-threads`` change.
    """
    return snakemake.params.settings.get("threads", 1)


def limit_threads(count: int) -> None:
    """Limit torch and Numba to ``count`` threads, on any number of cores, whatever was set.

    Call it before they are imported. NumPy's BLAS has one thread: OpenBLAS would silently take
    fewer than it is told where there are fewer cores.
    """
    for name in ("OMP", "MKL", "NUMBA"):
        os.environ[f"{name}_NUM_THREADS"] = str(count)
    for name in ("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS"):
        os.environ[name] = "1"
    for name in ("OMP_DYNAMIC", "MKL_DYNAMIC"):  # fewer where there are fewer cores
        os.environ[name] = "FALSE"
    for name in ("OMP_THREAD_LIMIT", "MKL_DOMAIN_NUM_THREADS"):
        os.environ.pop(name, None)
    # Threads that wait must not spin: beside another job that costs a factor of ten and more.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _redirect(log: str) -> None:
    """Send stdout and stderr to ``log``, also those of C libraries."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
