"""Jobs in processes of their own: arguments in; log, terminal and exit code out."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"
LIBRARY = SCRIPTS.parents[1] / "src"

JOB = """
import json, logging, os, sys
from types import SimpleNamespace
import job
from laq.utils.errors import DataError

snakemake = SimpleNamespace(
    input={"images": "in.npz", "tables": ["a.csv", "b.csv"], "checkpoint": []},
    output={"table": "out.json"},
    params=SimpleNamespace(settings=SETTINGS),
    config={"device": "cpu"},
    log=["job.log"],
    threads=3,
    resources={"mem_mb": 1000, "gpu": 1},
    rule="make_table",
)

BODY

job.run(snakemake, function)
"""


def run(
    folder: Path, body: str, settings: dict | None = None, env: dict | None = None
) -> tuple[subprocess.CompletedProcess, str]:
    """Run a job whose function is ``body``; return the process and its log."""
    script = folder / "script.py"
    script.write_text(JOB.replace("SETTINGS", repr(settings or {})).replace("BODY", body))
    done = subprocess.run(
        [sys.executable, script],
        cwd=folder,
        env={"PYTHONPATH": str(SCRIPTS), "PATH": "/usr/bin:/bin", **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    log = folder / "job.log"
    return done, log.read_text() if log.exists() else ""


def test_files_and_settings_become_arguments(tmp_path):
    body = """
def function(images, tables, checkpoint, table, bits, recipe, device):
    arguments = dict(locals())
    open(table, "w").write(json.dumps(arguments))
"""
    done, _ = run(tmp_path, body, {"bits": 4, "recipe": {"skip_layers": ["größe"]}})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "images": "in.npz",
        "tables": ["a.csv", "b.csv"],
        "checkpoint": [],
        "table": "out.json",
        "bits": 4,
        "recipe": {"skip_layers": ["größe"]},
        "device": "cpu",
    }


# Two more than the job's in every variable by which a user may have asked for threads.
ASKED = {
    **{f"{name}_NUM_THREADS": "5" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")},
    "OMP_DYNAMIC": "TRUE",
    "MKL_DYNAMIC": "TRUE",
    "OMP_THREAD_LIMIT": "1",
}


@pytest.mark.parametrize(("settings", "threads"), [({}, 1), ({"threads": 2}, 2)])
def test_threads_are_those_of_the_settings_or_one_whatever_else_was_asked(
    tmp_path, settings, threads
):
    body = """
def function(**arguments):
    assert "threads" not in arguments
    import numba, numpy, torch
    from threadpoolctl import threadpool_info
    blas = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    open("found.json", "w").write(
        json.dumps([torch.get_num_threads(), numba.get_num_threads(), *blas])
    )
"""
    _, log = run(tmp_path, body, settings, ASKED)
    assert json.loads((tmp_path / "found.json").read_text()) == [threads, threads, 1], log


def test_the_library_logs_to_both_and_everything_else_to_the_log(tmp_path):
    (tmp_path / "job.log").write_text("of the last run")
    body = """
def function(**_):
    logging.getLogger("laq.training").info("epoch 1")
    logging.getLogger("laq").debug("detail")
    logging.getLogger("fonttools").info("chatter")
    logging.getLogger("fonttools").warning("a strange font")
    print("a table", flush=True)
    print("progress bar", file=sys.stderr, flush=True)
    os.system("echo a C library >&2")
"""
    done, log = run(tmp_path, body)
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.splitlines() == ["epoch 1", "a strange font"]
    chatter = ["a table", "progress bar", "a C library"]
    assert log.splitlines() == ["epoch 1", "a strange font", *chatter]


def test_what_the_user_can_mend_is_told_without_a_traceback(tmp_path):
    body = """
def function(**_):
    raise DataError("class Ж has 2 images: add some")
"""
    done, log = run(tmp_path, body)
    assert done.returncode == 1
    expected = ["error in make_table: class Ж has 2 images: add some"]
    assert done.stderr.splitlines() == log.splitlines() == expected


def test_a_defect_leaves_its_traceback_in_the_log(tmp_path):
    body = """
def function(**_):
    raise KeyError("median_icd")
"""
    done, log = run(tmp_path, body)
    assert done.returncode != 0
    assert "Traceback" in log
    assert "in function" in log and "KeyError: 'median_icd'" in log


WORKING = """
import time
from laq.utils.files import atomic
def function(**_):
    with atomic("out.json") as temporary:
        temporary.write_text("half")
        logging.getLogger("laq").info("started")
        time.sleep(60)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_job_that_is_told_to_end_leaves_nothing_and_says_so(tmp_path, name):
    process = start(tmp_path, WORKING)
    process.send_signal(signal.Signals[name])
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.Signals[name]
    assert said.startswith(f"error in make_table: ended from outside ({name})")
    assert "run again" in said and "Traceback" not in said + (tmp_path / "job.log").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"job.log", "script.py"}


def test_a_job_ends_with_the_snakemake_that_started_it(tmp_path):
    # A shell in Snakemake's place, which ends at once and leaves the job behind.
    process = start(tmp_path, WORKING, "sh", "-c", '"$@" & sleep 12', "sh")
    _, said = process.communicate(timeout=30)
    assert "ended from outside (SIGTERM)" in said
    assert {path.name for path in tmp_path.iterdir()} == {"job.log", "script.py"}


def _heeding() -> None:
    """Signals that the tests were started without, as under nohup or in the background."""
    for name in (signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)


def start(folder: Path, body: str, *under: str) -> subprocess.Popen:
    """Start a job whose function is ``body``; return once it has said something."""
    script = folder / "script.py"
    script.write_text(JOB.replace("SETTINGS", "{}").replace("BODY", body))
    process = subprocess.Popen(
        [*under, sys.executable, script],
        cwd=folder,
        env={"PYTHONPATH": str(SCRIPTS), "PATH": "/usr/bin:/bin"},
        preexec_fn=_heeding,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr.readline() == "started\n"
    return process


# A copy of the library that is installed beside the checkout must not run in its jobs.


def test_every_script_puts_its_own_folder_first_before_it_imports_anything_of_the_project():
    binding = "sys.path.insert(0, snakemake.scriptdir)"
    for script in SCRIPTS.glob("*_*.py"):
        *_, last = ast.parse(script.read_text()).body
        lines = [ast.unparse(line) for line in last.body]
        if "import job" in lines:
            assert lines[:3] == ["import sys", binding, "import job"], script.name


def test_a_job_does_not_run_a_copy_of_the_library_that_was_imported_before_it(tmp_path):
    copy = tmp_path / "site"
    (copy / "laq/utils").mkdir(parents=True)
    for package in ("laq", "laq/utils"):
        (copy / package / "__init__.py").write_text("")
    (copy / "laq/utils/errors.py").write_text("class DataError(Exception): pass")
    # As a .pth file does when Python starts.
    (copy / "sitecustomize.py").write_text("import laq")
    body = "def function(**_): print('ran')"
    done, _ = run(tmp_path, body, env={"PYTHONPATH": f"{copy}:{SCRIPTS}"})
    assert done.returncode == 1
    assert f"error in make_table: laq was imported from {copy / 'laq'}" in done.stderr
    assert f"not from {LIBRARY / 'laq'}" in done.stderr and "pip uninstall laq" in done.stderr


# What a job imports before it works is time that every job pays.


def statements(*scripts: str) -> list[str]:
    """All imports of scripts, also those inside their functions, but for the binding's."""
    return sorted(
        {
            ast.unparse(node)
            for script in scripts
            for node in ast.walk(ast.parse((SCRIPTS / script).read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
    )


def loaded(lines: list[str]) -> set[str]:
    """Top-level modules in a fresh process after these statements."""
    code = [*lines, "import sys", "print(*{name.split('.')[0] for name in sys.modules})"]
    output = subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        env={"PYTHONPATH": f"{SCRIPTS}:{LIBRARY}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return set(output.split())


def test_compression_training_and_evaluation_import_lean():
    lines = statements(
        "compress_network.py",
        "deep_compress_network.py",
        "evaluate_subset.py",
        "extract_features.py",
        "finetune_network.py",
        "sweep_calibration.py",
        "train_network.py",
        "train_quantized.py",
    )
    modules = loaded([*lines, "import laq.ptq.gpfq", "import laq.qat.lsq, laq.qat.prox"])
    assert {"torch", "pandas", "numba", "laq", "job"} <= modules
    heavy = {"seaborn", "umap", "torchvision", "sklearn", "matplotlib", "PIL", "snakemake"}
    assert not modules & heavy


def test_making_and_evaluating_variants_needs_no_pandas():
    names = ("compress_network.py", "evaluate_subset.py", "finetune_network.py")
    lines = statements(
        *names, "measure_similarity.py", "train_quantized.py", "deep_compress_network.py"
    )
    assert "pandas" not in loaded([*lines, "import laq.ptq.gpfq"])


def test_subsets_and_tables_are_made_without_torch():
    modules = loaded(
        statements(
            "collect_tables.py",
            "list_subsets.py",
            "make_dataset.py",
            "measure_distances.py",
            "select_subset.py",
            "spread_targets.py",
        )
    )
    assert {"pandas", "laq", "job"} <= modules
    assert not modules & {"torch", "numba", "umap", "seaborn", "matplotlib", "sklearn", "PIL"}
