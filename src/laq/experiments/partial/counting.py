"""Traffic of a training step as real processes have it: ``torchrun … -m
laq.experiments.partial.counting``.

There are two counts for each arm. One is what a process hands to collectives, byte for byte: that
is what ``laq.experiments.partial.traffic`` computes. The other is what it receives over its TCP
connections, which includes gloo's header of each message.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from laq.experiments.partial.traffic import Traffic, TrafficArm, built
from laq.training import distributed as parallel
from laq.training import launch
from laq.training.exchange import Exchange
from laq.training.loop import State
from laq.training.recipe import Recipe
from laq.utils import signals

# Bytes that this process has sent and received over its TCP connections, as Linux counts them.
#
# These are the bytes of the streams: all that the program wrote, without headers of TCP and IP and
# without retransmissions.


# Of struct tcp_info in linux/tcp.h: the offset of the bytes that the other end acknowledged, which
# those received follow, and the least size of a struct with both.
_ACKED, _SIZE = 120, 136

_DESCRIPTORS = Path("/proc/self/fd")


@dataclass(frozen=True)
class Bytes:
    """sent: bytes that the other end acknowledged. received: bytes received."""

    sent: int
    received: int

    def __sub__(self, other: Bytes) -> Bytes:
        return Bytes(self.sent - other.sent, self.received - other.received)


def count(without: Collection[int] = ()) -> Bytes | None:
    """Over all connections but those to ports ``without``; None where the system counts none."""
    if not (_DESCRIPTORS.is_dir() and hasattr(socket, "TCP_INFO")):
        return None
    per_descriptor = [_of(int(entry.name), without) for entry in _DESCRIPTORS.iterdir()]
    connections = [connection for connection in per_descriptor if connection is not None]
    if not connections:
        return None
    return Bytes(
        sum(connection.sent for connection in connections),
        sum(connection.received for connection in connections),
    )


def _of(descriptor: int, without: Collection[int]) -> Bytes | None:
    """Of one TCP connection; None for any other file descriptor."""
    with suppress(OSError):
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
    with suppress(OSError), closing(socket.socket(fileno=os.dup(descriptor))) as connection:
        is_tcp = (
            connection.family in (socket.AF_INET, socket.AF_INET6)
            and connection.type == socket.SOCK_STREAM
        )
        if is_tcp and connection.getpeername()[1] not in without:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            if len(info) >= _SIZE:
                # Linux counts the SYN of the end that opened the connection as a byte.
                return Bytes(*struct.unpack_from("=QQ", info, _ACKED))
    return None  # no socket, no connection, or closed meanwhile


# Steps before those that are counted: in the first DistributedDataParallel arranges its buckets.
_WARM = 2
_TASK, _FOUND = "task.json", "counted.{rank}.json"


@dataclass(frozen=True)
class Counted:
    """Bytes of one process in a step, the mean over steps.

    handed: to collectives, as in ``Traffic``. received: over TCP; None where the system does not
    count them.
    """

    handed: Traffic
    received: float | None


def counted(
    arms: Sequence[TrafficArm],
    images: tuple[int, int, int],
    processes: int = 2,
    batch_size: int = 8,
    steps: int = 4,
) -> list[list[Counted]]:
    """Train each arm for ``steps`` steps in ``processes`` processes; returns one count a process
    for each arm.

    images: channels, height, width of random images: no count depends on their content. All arms
    are counted in the same processes, which start once. Raises ``ProcessError`` as
    ``laq.training.launch`` does.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task = {
            "arms": [asdict(arm) for arm in arms],
            "images": [batch_size, *images],
            "steps": steps,
        }
        (folder / _TASK).write_text(json.dumps(task), encoding="utf-8")
        launch.run(folder, processes, __name__)
        results = [
            json.loads((folder / _FOUND.format(rank=rank)).read_text(encoding="utf-8"))
            for rank in range(processes)
        ]
    return [
        [Counted(Traffic(**row["handed"]), row["received"]) for row in rows]
        for rows in zip(*results, strict=True)
    ]


def main(folder: Path) -> None:
    """Count in one of the processes that torchrun started."""
    task = json.loads((folder / _TASK).read_text(encoding="utf-8"))
    signals.end_with_starter()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rows = []
    for index, fields in enumerate(task["arms"]):
        barrier = folder / f"arm{index}"
        rows.append(_count(TrafficArm(**fields), task, parallel.Team(rank, size), barrier))
    (folder / _FOUND.format(rank=rank)).write_text(json.dumps(rows), encoding="utf-8")
    distributed.destroy_process_group()


def _count(
    arm: TrafficArm, task: dict[str, Any], team: parallel.Team, meeting: Path
) -> dict[str, Any]:
    torch.manual_seed(0)
    network, constraint = built(arm)
    network.train()
    constraint.begin_epoch(network)
    batch, device = task["images"][0], torch.device("cpu")
    recipe = Recipe(learning_rate=1e-6, schedule="constant")
    state = State(network, recipe, _WARM + task["steps"], torch.Generator(), device, constraint)
    coded = constraint.coded(network)
    exchange = Exchange(team.rank, team.size, arm.gradient_bits, coded, seed=0)
    wrapped = team.prepare(network, exchange)
    images = torch.rand(task["images"])[team.part(batch)]
    with watched() as handed:
        start_bytes: Bytes | None = None
        for step in range(_WARM + task["steps"]):
            if step == _WARM:
                _meet(meeting.with_suffix(".begin"), team)
                handed.update(dict.fromkeys(handed, 0))
                start_bytes = _received()
                _meet(meeting.with_suffix(".go"), team)
            with team.batch(batch):
                loss = wrapped(images).square().mean()
            state.step(loss)
    _meet(meeting.with_suffix(".end"), team)
    end_bytes = _received()
    per_step = {name: count / task["steps"] for name, count in handed.items()}
    assert all(count == int(count) for count in per_step.values()), per_step
    received = (
        (end_bytes - start_bytes).received / task["steps"] if start_bytes and end_bytes else None
    )
    _meet(meeting.with_suffix(".over"), team)
    fields = {name: int(count) for name, count in per_step.items()}
    return {"handed": fields | {"processes": team.size}, "received": received}


@contextmanager
def watched() -> Iterator[dict[str, int]]:
    """Count the bytes of all that this process hands to collectives, by their kind."""
    handed = {"reduced": 0, "gathered": 0, "statistics": 0}
    originals = {
        name: getattr(distributed, name) for name in ("all_reduce", "all_gather_into_tensor")
    }

    def all_reduce(x: Tensor, *others: Any, **named: Any) -> Any:
        # Gradients are sent asynchronously while others are computed; BatchNorm waits for its sums.
        handed["reduced" if named.get("async_op") else "statistics"] += x.nbytes
        return originals["all_reduce"](x, *others, **named)

    def all_gather_into_tensor(into: Tensor, x: Tensor, *others: Any, **named: Any) -> Any:
        handed["gathered"] += x.nbytes
        return originals["all_gather_into_tensor"](into, x, *others, **named)

    distributed.all_reduce = all_reduce
    distributed.all_gather_into_tensor = all_gather_into_tensor
    try:
        yield handed
    finally:
        for name, function in originals.items():
            setattr(distributed, name, function)


def _received() -> Bytes | None:
    """Over all connections but that to the store, through which processes find each other."""
    return count(without={int(os.environ["MASTER_PORT"])})


def _meet(place: Path, team: parallel.Team) -> None:
    """Wait for the other processes, through files, which put no bytes on their connections."""
    place.with_suffix(f"{place.suffix}{team.rank}").touch()
    markers = [place.with_suffix(f"{place.suffix}{rank}") for rank in range(team.size)]
    while not all(marker.exists() for marker in markers):
        time.sleep(0.001)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
