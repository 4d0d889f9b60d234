"""Every artifact that a job reads, spoiled: it says which file, what is wrong, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import bad_inputs
from tests.bad_inputs import Case
from tests.bench import Bench, Outcome
from tests.workflow.conftest import CONFIG, Checkout

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def bench(finished: Checkout) -> Bench:
    return Bench.of(finished.path, CONFIG)


@pytest.fixture
def spoiled(bench: Bench, tmp_path: Path) -> Iterator[Bench]:
    with bench.spoiled(tmp_path / "study") as copy:
        yield copy


def refused(outcome: Outcome, says: tuple[str, ...], remedy: str) -> None:
    """The job failed with such a message, on the terminal and in its log, and with no traceback."""
    assert outcome.code == 1, outcome
    for text in (outcome.terminal, outcome.log):
        assert "Traceback" not in text, text
        assert re.search(r"^error in \w+: ", text, flags=re.M), text
        for words in (*says, remedy):
            assert words in text, f"{words!r} is not in:\n{text}"


def number(case: Case) -> str:
    return f"{case.makes.rsplit('/', 1)[-1]}: {case.what}"


@pytest.mark.parametrize("case", bad_inputs.CASES, ids=number)
def test_a_spoiled_artifact_is_named_with_the_remedy_and_nothing_is_lost(
    spoiled: Bench, case: Case
) -> None:
    root = spoiled.config["root"]
    case.change(spoiled.folder / root / case.file)
    before = spoiled.state()
    outcome = spoiled.run(spoiled.job(case.makes))
    refused(outcome, (f"{root}/{case.file}", *case.says), case.remedy)
    assert spoiled.state() == before


@pytest.fixture
def checkout(finished: Checkout, tmp_path: Path) -> Checkout:
    """A copy of the finished study, for the command line."""
    return finished.copy(tmp_path / "laq")


def test_the_command_line_says_what_the_jobs_say_and_keeps_the_files(checkout: Checkout) -> None:
    made = {"accuracy.csv", "sweep.csv", "tables/memory.csv", "tables/similarity.csv"}
    whats = {"a line lost", "a line of the sweep lost", "a layer report of another making"}
    cases = [case for case in bad_inputs.TABLES + bad_inputs.CHECKPOINTS if case.what in whats]
    cases = [case for case in cases if case.makes in made]
    assert len(cases) == 3
    root = checkout.path / "results/digits"
    for case in cases:
        case.change(root / case.file)
    spoiled = {case.file: (root / case.file).read_bytes() for case in cases}
    done = checkout.snakemake(*(f"results/digits/{case.makes}" for case in cases))
    printed = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in printed
    for case in cases:
        for words in (f"results/digits/{case.file}", *case.says, case.remedy):
            assert words in printed
        assert (root / case.file).read_bytes() == spoiled[case.file]
    assert not [path for path in root.rglob(".*") if path.is_file()]


def test_a_program_in_a_config_is_not_run(tmp_path: Path) -> None:
    checkout = Checkout.create(tmp_path / "laq")
    program = 'study: !!python/object/apply:os.system ["touch ran"]\n'
    (checkout.path / "own.yaml").write_text(program)
    done = checkout.snakemake("-n", config="own.yaml")
    printed = done.stdout + done.stderr
    assert done.returncode != 0 and "Config file is not valid" in printed  # Snakemake's words
    assert not (checkout.path / "ran").exists()
