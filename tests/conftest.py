"""The order of the test files where two processes share them: the longest go first.

Otherwise one process would end long before the other. Files that need the finished study wait for
the first of them, which makes it, while the other process runs what needs none.
"""

from __future__ import annotations

import pytest

# Of several minutes each; the first one makes the study.
LONGEST = (
    "test_rebuild.py",
    "test_tutorial.py",
    "test_slurm.py",
    "test_kills.py",
    "test_deep_study.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    waiting = {item.path for item in items if "finished" in getattr(item, "fixturenames", ())}

    def position(item: pytest.Item) -> int:
        name = item.path.name
        if name in LONGEST:
            return LONGEST.index(name)
        return len(LONGEST) + (item.path in waiting)

    items.sort(key=position)
