"""Lists in the cells of published logs: indices and names, however they were written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laq.data.published import log


@pytest.mark.parametrize(
    "text",
    [
        "[96, 33, 7]",
        "[96 33  7]",
        "[96 33\n  7]",
        "[ 96 33 7 ]",
        "96 33 7",
        "96,33,7",
        "(96, 33, 7)",
        "[96, 33, 7,]",
        "[96. 33. 7.]",
        "array([96, 33, 7])",
        "array([96, 33,  7], dtype=int64)",
        "[np.int64(96), np.int64(33), np.int64(7)]",
    ],
)
def test_indices_are_read_however_they_were_written(text: str) -> None:
    assert log.indices(text) == (96, 33, 7)


@pytest.mark.parametrize(
    "text",
    [
        "['sea', 'oak tree', \"cat's\"]",
        "['sea' 'oak tree' \"cat's\"]",
        "['sea'\n 'oak tree'\n \"cat's\"]",
        "['sea', 'oak tree', 'cat\\'s']",
        "array(['sea', 'oak tree', \"cat's\"], dtype='<U8')",
        "[np.str_('sea'), np.str_('oak tree'), np.str_(\"cat's\")]",
        "[sea, oak tree, cat's]",
    ],
)
def test_names_are_read_however_they_were_written(text: str) -> None:
    assert log.names(text) == ("sea", "oak tree", "cat's")


WORDS = st.text("ab'\"\\()[],; é", min_size=1).filter(lambda text: text == text.strip())


@settings(deadline=None)
@given(st.lists(WORDS, min_size=2, unique=True))
def test_any_names_come_back_from_python_s_text(names: list[str]) -> None:
    assert log.names(str(names)) == tuple(names)
