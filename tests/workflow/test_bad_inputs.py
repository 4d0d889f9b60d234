"""Every artifact that a job reads, spoiled: it says which file, what is wrong, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import bad_files, bad_inputs
from tests.bad_inputs import Case
from tests.bench import Bench, Outcome
from tests.workflow.conftest import CONFIG, Checkout


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
    named = f"{root}/{case.names or case.file}"
    refused(outcome, (named, *case.says), case.remedy)
    assert spoiled.state() == before


@pytest.mark.parametrize(
    ("make", "case"), bad_files.CASES, ids=[case.what for _, case in bad_files.CASES]
)
def test_files_of_one_s_own_are_named_with_the_remedy_and_nothing_is_made(
    spoiled: Bench, make: Callable[[dict], tuple[dict, dict]], case: bad_files.Case
) -> None:
    job, config = make(case.write(spoiled.folder))
    before = spoiled.state()
    outcome = replace(spoiled, config=config).run(job)
    refused(outcome, case.says, case.remedy)
    assert spoiled.state() == before
    assert not (spoiled.folder / "ran").exists()
