"""Devices by name and streams by key."""

from __future__ import annotations

import itertools

import pytest
import torch

from laq.utils.devices import pick, seed_everything


@pytest.mark.parametrize(("present", "kind"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch, present, kind):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present)
    assert pick("auto") == torch.device(kind)
    assert pick("cpu") == torch.device("cpu")


def draws(*key: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    generator = seed_everything(*key)
    return tuple(torch.rand(4).tolist()), tuple(torch.rand(4, generator=generator).tolist())


def test_a_key_gives_its_own_streams_and_the_same_each_time():
    keys = [(0,), (0, 0), (1,), (0, 1), (1, 0), (1, 0, 0), (0, 1, 2), (2, 1, 0), (0, 2, 1)]
    assert all(draws(*key) == draws(*key) for key in keys)
    for first, second in itertools.combinations(keys, 2):
        assert draws(*first)[0] != draws(*second)[0], (first, second)
        assert draws(*first)[1] != draws(*second)[1], (first, second)
    assert seed_everything(3).device == torch.device("cpu")
    assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark
