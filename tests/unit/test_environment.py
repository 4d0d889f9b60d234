"""What is said of the machine: what sums depend on, and nothing that tells one from its like."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from laq.utils import environment

LIBRARY = Path(__file__).parents[2] / "src"


def elsewhere(**variables: str) -> dict:
    """The facts in a process with these variables."""
    code = "import json; from laq.utils import environment; print(json.dumps(environment.facts()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(LIBRARY), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_facts_are_those_of_the_libraries_and_name_no_machine() -> None:
    facts = environment.facts()
    assert facts["torch"]["instructions"] == torch.backends.cpu.get_cpu_capability()
    assert facts["torch"]["cuda"] == torch.version.cuda
    assert facts["processor"] == platform.machine() and facts["numpy"]["blas"]
    text = json.dumps(facts)
    for private in (sys.prefix, str(Path.cwd())):
        assert private not in text


def test_a_replay_does_not_wait_for_torch() -> None:
    code = "import sys; from laq.utils import environment as e; print(e.facts(with_torch=False))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"],
        env={**os.environ, "PYTHONPATH": str(LIBRARY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "'torch'" not in done.stdout, done.stderr


@pytest.mark.skipif(platform.machine() != "x86_64", reason="instruction sets of x86")
def test_another_instruction_set_is_seen_and_what_chose_it() -> None:
    chosen = {"ATEN_CPU_CAPABILITY": "default", "OPENBLAS_CORETYPE": "Nehalem"}
    facts = elsewhere(**chosen)
    assert facts["chosen"] == chosen
    assert facts["torch"]["instructions"] == "DEFAULT"
    assert facts["numpy"]["blas_kernels"] == ["Nehalem"]
