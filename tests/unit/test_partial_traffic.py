"""Bytes between processes: the formula, and what two real processes hand over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing

from laq.experiments.partial import traffic
from laq.experiments.partial.traffic import Traffic, TrafficArm
from laq.qat.lsq import LearnedSteps
from laq.training.distributed import Team
from laq.training.exchange import Exchange

torch.set_num_threads(1)

SPEC = {"name": "small_resnet", "classes": 4, "channels": 1, "widths": [6, 12]}
# Numbers in convolutions and in the head, and in six BatchNorms of two stages and the head's bias.
WEIGHTS = 54 + 2 * 324 + 648 + 1296 + 72 + 48
NORMS_AND_BIAS = 2 * (3 * 6 + 3 * 12) + 4


def lsq(frozen: bool = True, alone: bool = False) -> dict:
    """Two layers at 4 bits, the head's input too: 12 × 4 and 6 × 12 × 9 weights, three steps."""
    layers = {"head": 4, "stages.1.conv1": 4}
    given = {"inputs": {"head": 4}, "frozen": frozen, "alone": alone}
    return LearnedSteps(bits=layers, **given).description


ARMS = {
    "float": (TrafficArm(SPEC), Traffic(4 * (WEIGHTS + NORMS_AND_BIAS), 0)),
    "frozen": (TrafficArm(SPEC, lsq()), Traffic(4 * (WEIGHTS + NORMS_AND_BIAS + 3), 0)),
    "8 bits": (
        TrafficArm(SPEC, lsq(frozen=False), 8),
        Traffic(4 * (WEIGHTS - 696 + NORMS_AND_BIAS + 3), 696 + 8),
    ),
    "4 bits, alone": (TrafficArm(SPEC, lsq(alone=True), 4), Traffic(4 * (4 + 3), 348 + 8)),
    "2 bits, all": (TrafficArm(SPEC, None, 2), Traffic(4 * NORMS_AND_BIAS, 692 + 28)),
}


@pytest.mark.parametrize(("arm", "expected"), ARMS.values(), ids=ARMS)
def test_a_step_is_what_its_layers_come_to(arm, expected):
    assert traffic.computed(arm) == expected


def test_more_processes_send_more_codes_and_hardly_more_floats():
    assert Traffic(800, 100).sent(2) == 800 + 100
    assert Traffic(800, 100).sent(4) == 1.5 * 800 + 3 * 100
    # Codes of 8 bits save nothing from 8 processes on.
    assert Traffic(4, 0).sent(8) == Traffic(0, 1).sent(8)


def handed_over(arm: TrafficArm, team: Team) -> dict[str, int]:
    """Bytes that this process hands to collectives in the third step: in the first
    DistributedDataParallel arranges its buckets."""
    torch.manual_seed(0)
    network, constraint = traffic.built(arm)
    network.train()
    constraint.begin_epoch(network)
    coded = constraint.coded(network)
    wrapped = team.prepare(network, Exchange(team.rank, 2, arm.gradient_bits, coded, seed=0))
    for _ in range(3):
        handed.update(reduced=0, gathered=0)
        wrapped(torch.rand(4, 1, 8, 8)).square().mean().backward()
    return dict(handed)


handed: dict[str, int] = {}


def process(rank: int, folder: Path) -> None:
    """One of two that take steps of every arm."""
    all_reduce, all_gather = distributed.all_reduce, distributed.all_gather_into_tensor

    def reduced(x: Tensor, *others: Any, **named: Any) -> Any:
        handed["reduced"] += x.nbytes
        return all_reduce(x, *others, **named)

    def gathered(into: Tensor, x: Tensor, *others: Any, **named: Any) -> Any:
        handed["gathered"] += x.nbytes
        return all_gather(into, x, *others, **named)

    distributed.all_reduce, distributed.all_gather_into_tensor = reduced, gathered
    group = f"file://{folder / 'group'}"
    distributed.init_process_group("gloo", init_method=group, rank=rank, world_size=2)
    found = {name: handed_over(arm, Team(rank, 2)) for name, (arm, _) in ARMS.items()}
    (folder / f"{rank}.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


def test_what_two_processes_hand_over_is_what_is_computed(tmp_path):
    multiprocessing.spawn(process, (tmp_path,), nprocs=2)
    for rank in range(2):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        for name, (_, expected) in ARMS.items():
            assert Traffic(**found[name]) == expected, (rank, name)
