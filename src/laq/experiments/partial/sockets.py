"""Bytes that this process has sent and received over its TCP connections, as Linux counts them.

What is counted are the bytes of the streams: all that the program wrote, and neither the headers of
TCP and IP nor what was sent again.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Collection
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

# Of struct tcp_info in linux/tcp.h: what the other end acknowledged, and what came.
_ACKED, _SIZE = 120, 136

_DESCRIPTORS = Path("/proc/self/fd")


@dataclass(frozen=True)
class Bytes:
    """sent, as far as the other end has it, and received."""

    sent: int
    received: int

    def __sub__(self, other: Bytes) -> Bytes:
        return Bytes(self.sent - other.sent, self.received - other.received)


def count(without: Collection[int] = ()) -> Bytes | None:
    """Over all connections but those to ports ``without``; None where the system does not tell."""
    if not (_DESCRIPTORS.is_dir() and hasattr(socket, "TCP_INFO")):
        return None
    found = [_of(int(entry.name), without) for entry in _DESCRIPTORS.iterdir()]
    known = [each for each in found if each is not None]
    if not known:
        return None
    return Bytes(sum(each.sent for each in known), sum(each.received for each in known))


def _of(descriptor: int, without: Collection[int]) -> Bytes | None:
    """Of one connection; None for what is none."""
    with suppress(OSError):
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
    with suppress(OSError), closing(socket.socket(fileno=os.dup(descriptor))) as own:
        ours = own.family in (socket.AF_INET, socket.AF_INET6) and own.type == socket.SOCK_STREAM
        if ours and own.getpeername()[1] not in without:
            told = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            if len(told) >= _SIZE:
                # Linux counts the opening of the end that began it as a byte.
                return Bytes(*struct.unpack_from("=QQ", told, _ACKED))
    return None  # no socket, no connection, or closed meanwhile
