"""Writes to a socket that does not block, from the thread that has something to send."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from math import inf
from typing import Final

from ..link.messages import Part
from ..link.stream import VECTOR, after

__all__ = ("write_along",)

_ALONG: Final = 0.005
"""Seconds: who writes a large message waits so long for the other side to read on."""

_FLAGS: Final = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)
"""The process may be one whose user lets SIGPIPE end it."""


def write_along(connection: socket.socket, pieces: Sequence[Part], most: float = inf) -> Sequence[Part]:
    """Write as much as a socket takes, for as long as the other side reads along; gives the rest.

    Args:
        connection: the socket
        pieces: what to write
        most: seconds that all of this may take

    Raises:
        OSError: the connection is broken
    """
    rest, end = pieces, time.monotonic() + most
    try:
        while rest:
            rest = after(rest, connection.sendmsg(rest[:VECTOR], (), _FLAGS))
            if rest and not _is_read_along(connection, end - time.monotonic()):
                break
    except (BlockingIOError, InterruptedError):
        pass
    return rest


def _is_read_along(connection: socket.socket, seconds: float) -> bool:
    if seconds <= 0:
        return False
    writable = select.poll()
    writable.register(connection, select.POLLOUT)
    return bool(writable.poll(1000 * min(seconds, _ALONG)))
