"""What is kept between layers comes back bit for bit, whether from memory or from a file."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laq.ptq.activation_cache import Activations, LayerInputs
from laq.utils.errors import LaqError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def numbers(*shape: int) -> Tensor:
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape)


DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_values_in_files_are_the_same_tensors(dtype, folder):
    value = torch.arange(24).reshape(2, 3, 4).to(dtype)
    layouts = {
        "plain": value,
        "transposed": value.transpose(0, 2),
        "part": value[:, 1:, ::2],
        "expanded": value[:1].expand(5, 3, 4),
        "empty": value[:0],
        "scalar": value[0, 1, 2],
    }
    with Activations(0) as activations:
        frame = activations.put(layouts)
        assert len(files(folder)) == 1  # they share one storage
        for name, expected in layouts.items():
            found = activations.get(frame, name)
            assert torch.equal(found, expected) and found.dtype == expected.dtype
            assert found.stride() == expected.stride()
            assert frame.shape(name) == expected.shape


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    budget=st.integers(0, 1200),
    drops=st.lists(st.integers(0, 11), max_size=6),
)
def test_memory_never_passes_the_budget_and_files_hold_the_rest(sizes, budget, drops):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", folder)
        with Activations(budget) as activations:
            frames = []
            for index, size in enumerate(sizes):
                frames.append(activations.put({"x": torch.full((size,), float(index))}))
                assert activations.held <= budget
            written = sum(path.stat().st_size for path in files(Path(folder)))
            assert activations.held + written == 4 * sum(sizes)
            kept = {index: frame for index, frame in enumerate(frames) if index not in drops}
            for index in set(drops) & set(range(len(frames))):
                activations.drop(frames[index])
            written = sum(path.stat().st_size for path in files(Path(folder)))
            assert activations.held + written == 4 * sum(sizes[index] for index in kept)
            for index, frame in kept.items():
                assert torch.equal(
                    activations.get(frame, "x"), torch.full((sizes[index],), float(index))
                )
        assert not files(Path(folder))


@pytest.mark.parametrize("budget", [0, 2**20])
def test_an_update_keeps_what_it_leaves_and_forgets_the_rest(budget, folder):
    with Activations(budget) as activations:
        frame = activations.put({"old": numbers(4), "stays": numbers(3)})
        written = {path.name for path in files(folder)}

        def change(values) -> None:
            values["new"] = values.pop("old") + 1

        frame = activations.update(frame, change)
        assert frame.values.keys() == {"stays", "new"}
        assert torch.equal(activations.get(frame, "new"), numbers(4) + 1)
        assert torch.equal(activations.get(frame, "stays"), numbers(3))
        left = {path.name for path in files(folder)}
        if budget:
            assert (activations.held, left) == (28, set())
        else:  # what stays is not written again
            assert (activations.held, len(left), len(left & written)) == (0, 2, 1)
        activations.drop(frame)
        assert activations.held == 0
        assert not files(folder)


@pytest.mark.parametrize("budget", [0, 16, 2**20])
def test_views_of_one_storage_stay_so_through_work_in_place(budget):
    base = numbers(4, 5)
    with Activations(budget) as activations:
        frame = activations.put({"base": base, "view": base[1:3, ::2], "other": numbers(2)})
        frame = activations.update(frame, lambda values: values["view"].mul_(10))
        frame = activations.update(frame, lambda values: values["base"].add_(1))
        expected = numbers(4, 5)
        expected[1:3, ::2] *= 10
        assert torch.equal(activations.get(frame, "base"), expected + 1)
        assert torch.equal(activations.get(frame, "view"), expected[1:3, ::2] + 1)


@pytest.mark.parametrize("budget", [0, 2**20])
def test_a_copy_shares_nothing_with_the_first_but_keeps_views_together(budget):
    base = numbers(3, 4)
    with Activations(budget) as activations:
        first = activations.put({"base": base, "view": base[1], "number": 3})
        second = activations.copy(first)
        second = activations.update(second, lambda values: values["view"].zero_())
        assert torch.equal(activations.get(first, "base"), numbers(3, 4))
        changed = activations.get(second, "base")
        assert not changed[1].any() and torch.equal(changed[0], numbers(3, 4)[0])
        assert activations.get(second, "number") == 3


def test_files_are_removed_when_something_raises(folder):
    with pytest.raises(RuntimeError, match="midway"), Activations(0) as activations:
        activations.put({"x": numbers(5)})
        assert files(folder)
        raise RuntimeError("midway")
    assert not list(folder.iterdir())


@pytest.mark.parametrize("where", ["file", "folder"])
def test_a_full_disk_is_said_with_the_folder_and_the_remedy(where, folder, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if where == "file":
        monkeypatch.setattr(Path, "write_bytes", full)
    else:
        monkeypatch.setattr(tempfile, "mkdtemp", full)
    message = rf"20 bytes .*{folder}.*No space left.*TMPDIR.*memory, now 7 bytes"
    with Activations(7) as activations, pytest.raises(LaqError, match=message):
        activations.put({"x": numbers(5)})
    assert not files(folder)


def test_inputs_of_both_networks_by_chunk():
    with Activations(0) as activations:
        same = [[activations.put({"x": numbers(n, 2)})] for n in (3, 1)]
        inputs = LayerInputs(activations, same, "x")
        assert inputs.shapes == [(3, 2), (1, 2)]
        for (x, xq), n in zip(inputs.chunks(), (3, 1), strict=True):
            assert x is xq and torch.equal(x, numbers(n, 2))
        apart = [
            [frame, activations.put({"x": -numbers(n, 2)})]
            for (frame,), n in zip(same, (3, 1), strict=True)
        ]
        for x, xq in LayerInputs(activations, apart, "x").chunks():
            assert torch.equal(x, -xq)
