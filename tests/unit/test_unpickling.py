"""Plain data come out of a pickle; anything that could run does not."""

from __future__ import annotations

import contextlib
import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laq.data.unpickling import unpickle
from laq.utils.errors import DataError
from tests.cifar import python2_pickle

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
PLAIN = st.recursive(
    LEAVES | st.binary(min_size=1),
    lambda child: st.lists(child) | st.tuples(child, child) | st.dictionaries(st.text(), child),
    max_leaves=20,
)


@given(PLAIN, st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_plain_data_come_back_as_they_were(content, protocol):
    assert unpickle(pickle.dumps(content, protocol)) == content


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_from_every_protocol(protocol, order):
    array = np.asarray(np.arange(24, dtype=np.uint8).reshape(4, 6), order=order)
    found = unpickle(pickle.dumps({"data": array}, protocol))["data"]
    np.testing.assert_array_equal(found, array)
    assert found.dtype == np.uint8


@pytest.mark.parametrize("package", [b"numpy.core", b"numpy._core"])
def test_arrays_come_back_whatever_numpy_wrote_them(package):
    array = np.arange(300, dtype=np.int64)
    current = np.empty(0).__reduce__()[0].__module__.rsplit(".", 1)[0].encode()
    content = pickle.dumps(array, 2)
    assert current + b".multiarray" in content
    found = unpickle(content.replace(current + b".multiarray", package + b".multiarray"))
    np.testing.assert_array_equal(found, array)


def test_python_2_wrote_text_and_pixels_as_bytes():
    array = np.arange(256, dtype=np.uint8)
    found = unpickle(python2_pickle({"data": array, "name": "x" * 300, "labels": [1, 2]}))
    np.testing.assert_array_equal(found.pop("data"), array)
    assert found == {"name": "x" * 300, "labels": [1, 2]}


class Trap:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_program_in_a_pickle_is_refused_by_name_and_not_run(tmp_path, protocol):
    target = tmp_path / "ran"
    traps = {
        r"(posix|nt)\.mkdir": Trap(os.mkdir, str(target)),
        r"(__builtin__|builtins)\.eval": Trap(eval, f"__import__('os').mkdir({str(target)!r})"),
        r"(__builtin__|builtins)\.getattr": Trap(getattr, "x", "upper"),
        r"numpy.*\.loadtxt": Trap(np.loadtxt, str(target)),
    }
    for named, trap in traps.items():
        content = pickle.dumps({"data": np.zeros(2), "x": [trap]}, protocol)
        with pytest.raises(DataError, match=rf"its pickle names {named}, .* nothing of it was run"):
            unpickle(content)
    assert not target.exists()


def test_refused_names_are_not_even_imported(tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=r"names trap\.thing"):
        unpickle(b"\x80\x02ctrap\nthing\n.")
    assert not (tmp_path / "ran").exists()


def test_other_encodings_of_bytes_are_refused():
    bomb = b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf16\x86R."
    with pytest.raises(DataError, match="'utf16'"):
        unpickle(bomb)


@given(st.data())
def test_damage_raises_nothing_but_a_data_error(data):
    content = bytearray(python2_pickle({"data": np.arange(9, dtype=np.uint8), "labels": [3] * 9}))
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        with pytest.raises(DataError, match="no readable pickle"):
            unpickle(bytes(content[:place]))
        return
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(DataError):
        unpickle(bytes(content))
