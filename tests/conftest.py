"""The order of the test files: where two processes share them, the longest go first.

Otherwise one process would end long before the other, or both would wait for the same study.
"""

from __future__ import annotations

import pytest

# Of several minutes each, in turns with and without the study that others wait for.
LONGEST = (
    "test_bad_inputs.py",
    "test_tutorial.py",
    "test_slurm.py",
    "test_kills.py",
    "test_failures.py",
    "test_training_distributed.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        name = item.path.name
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)
