"""Bytes between processes: computed from the layers, and counted in real ones."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch

from laq.experiments.partial import bandwidth, counting, traffic
from laq.experiments.partial.traffic import Traffic, TrafficArm
from laq.models import networks
from laq.qat.lsq import LearnedSteps

torch.set_num_threads(1)

SPEC = {"name": "small_resnet", "classes": 4, "channels": 1, "widths": [6, 12]}
# Numbers in convolutions and in the head; channels of the six BatchNorms, in two stages.
WEIGHTS = 54 + 2 * 324 + 648 + 1296 + 72 + 48
CHANNELS = 3 * 6 + 3 * 12


def lsq(frozen: bool = True, alone: bool = False) -> dict:
    """Two layers at 4 bits, the head's input too: 12 × 4 and 6 × 12 × 9 weights, three steps."""
    layers = {"head": 4, "stages.1.conv1": 4}
    given = {"inputs": {"head": 4}, "frozen": frozen, "alone": alone}
    return LearnedSteps(bits=layers, **given).description


NORMS_AND_BIAS = 2 * CHANNELS + 4
STATISTICS = 2 * 4 * (2 * CHANNELS + 6)
ARMS = {
    "float": (TrafficArm(SPEC), Traffic(4 * (WEIGHTS + NORMS_AND_BIAS), 0, STATISTICS)),
    "frozen": (TrafficArm(SPEC, lsq()), Traffic(4 * (WEIGHTS + NORMS_AND_BIAS + 3), 0, 0)),
    "8 bits": (
        TrafficArm(SPEC, lsq(frozen=False), 8),
        Traffic(4 * (WEIGHTS - 696 + NORMS_AND_BIAS + 3), 696 + 8, STATISTICS),
    ),
    "4 bits, alone": (TrafficArm(SPEC, lsq(alone=True), 4), Traffic(4 * (4 + 3), 348 + 8, 0)),
    "2 bits, all": (TrafficArm(SPEC, None, 2), Traffic(4 * NORMS_AND_BIAS, 692 + 28, STATISTICS)),
}


@pytest.mark.parametrize(("arm", "expected"), ARMS.values(), ids=ARMS)
def test_a_step_is_what_its_layers_come_to(arm, expected):
    assert traffic.computed(arm) == expected


def test_more_processes_send_more_codes_and_hardly_more_floats():
    assert Traffic(800, 100, 80, 2).sent == 800 + 100 + 80
    assert Traffic(800, 100, 80, 4).sent == 1.5 * 880 + 3 * 100
    # Codes of 8 bits save nothing from 8 processes on.
    assert Traffic(4, 0, 0, 8).sent == Traffic(0, 1, 0, 8).sent


TRAINING = {
    "method": "lsq",
    "granularity": "per_channel",
    "batchnorm": "frozen",
    "step_rate": 1.0,
    "layers": "all",
    "skip_layers": [],
    "activations": None,
}


def test_the_table_has_the_control_and_both_kinds_of_gradients_for_every_arm(monkeypatch):
    """Counting is stood in for; that it is what is computed says the next test."""

    def counted(arms, images, processes):
        assert images == (1, 8, 8) and processes == 2
        return [[counting.Counted(traffic.computed(arm), None)] * 2 for arm in arms]

    monkeypatch.setattr(counting, "counted", counted)
    described = {"network": SPEC, "images": [1, 8, 8]}
    rows = bandwidth.table({"small": (networks.create(**SPEC), described)}, TRAINING, [3])
    found = [(row["arm"], row["trained"], row["bits"], row["gradient_bits"]) for row in rows]
    assert found == [
        ("float", "all", 32, 32),
        *(("last 3", "all", 3, sent) for sent in (32, 4)),
        *(("last 3", "quantized", 3, sent) for sent in (32, 4)),
        *(("all", "all", 3, sent) for sent in (32, 4)),
    ]
    assert all(row["counted"] == row["computed"] for row in rows)
    # A step a filter: of the last three layers 12, 12 and 4.
    assert rows[0]["computed"] == 4 * (WEIGHTS + NORMS_AND_BIAS)
    assert rows[1]["computed"] == rows[0]["computed"] + 4 * 28
    last = 1296 + 72 + 48
    assert rows[4]["computed"] == last // 2 + 3 * 4 + 4 * (28 + 4)


def test_what_two_processes_hand_over_is_what_is_computed():
    """And what comes in is that and what gloo says of each message, 48 bytes."""
    found = counting.counted([arm for arm, _ in ARMS.values()], (1, 8, 8), steps=2)
    for (name, (_, expected)), processes in zip(ARMS.items(), found, strict=True):
        assert [each.handed for each in processes] == [expected, expected], name
        for each in processes:
            if each.received is not None:  # on Linux
                over = each.received - expected.sent
                assert over > 0 and over % 48 == 0, (name, each)
    if counting.count() is not None:
        # Messages of gradients alone: one all-reduce is cut into twelve of them at most.
        assert found[1][0].received - ARMS["frozen"][1].sent <= 12 * 48


def test_counting_leaves_no_file_open():
    own = Path("/proc/self/fd")
    if not own.is_dir():
        pytest.skip("this system does not count them")
    before = len(list(own.iterdir()))
    counting.count()
    assert len(list(own.iterdir())) == before


def test_connections_are_counted_to_the_byte():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            with accepted:
                before = counting.count()
                if before is None:
                    pytest.skip("this system does not count them")
                others = counting.count(without={port})
                client.sendall(b"x" * 1003)
                received = 0
                while received < 1003:
                    received += len(accepted.recv(4096))
                assert (counting.count() - before).received == 1003
                # The client's end is left out; the other's peer is another port.
                assert others is not None and counting.count(without={port}).received == (
                    others.received + 1003
                )
