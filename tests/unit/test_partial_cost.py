"""Seconds and memory of a step."""

from __future__ import annotations

import torch

from laq.experiments.partial import cost
from laq.experiments.partial.traffic import TrafficArm
from laq.qat.lsq import LearnedSteps
from tests.unit.test_partial_traffic import SPEC, WEIGHTS

torch.set_num_threads(1)

CPU = torch.device("cpu")


def test_the_peak_is_what_is_held_at_a_time():
    def work() -> None:
        first = torch.empty(1000)
        del first
        second, third = torch.empty(500), torch.empty(300, dtype=torch.float64)
        del second, third

    assert cost.peak(work, CPU) == 4 * 500 + 8 * 300


def test_arms_are_told_apart_by_what_they_hold():
    layers = dict.fromkeys(["stages.1.conv1", "stages.1.conv2"], 4)
    arms = [
        TrafficArm(SPEC, LearnedSteps(bits={}, frozen=True).description),
        TrafficArm(SPEC, LearnedSteps(bits=layers, frozen=True).description),
        TrafficArm(SPEC, LearnedSteps(bits=layers, frozen=True, alone=True).description),
    ]
    images = torch.zeros(8, 1, 8, 8, dtype=torch.uint8)
    plain, chosen, alone = cost.measured(arms, images, CPU, steps=2)
    # AdamW: each parameter four times, and the rounded weights beside them.
    assert plain.memory > 4 * 4 * WEIGHTS
    assert chosen.memory > plain.memory > alone.memory
    assert [each.memory for each in cost.measured(arms, images, CPU, steps=1)] == [
        each.memory for each in (plain, chosen, alone)
    ]
    for each in (plain, chosen, alone):
        assert 0 < each.fastest <= each.seconds < 60
