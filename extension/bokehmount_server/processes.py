"""Several processes that listen on the same sockets, and end together."""

from __future__ import annotations

import os
import signal
import struct
from contextlib import suppress
from types import FrameType

from tornado.process import fork_processes

__all__ = ("fork",)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def fork(count: int) -> None:
    """Go on in so many processes; the one that called this waits for them and then exits.

    A process that crashes is replaced.  SIGTERM and SIGINT that reach the waiting process are passed on, so that each
    process ends in its own good order.

    Args:
        count: how many; as many as there are cores where 0
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    children: set[int] = set()

    def pass_on(number: int, frame: FrameType | None) -> None:
        with suppress(BlockingIOError):
            known = os.read(reading, 1 << 16)
            children.update(pid for (pid,) in struct.iter_unpack("i", known))
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in _SIGNALS}
    fork_processes(count)  # comes back in the children only
    for number, handler in before.items():
        signal.signal(number, handler)
    os.write(writing, struct.pack("i", os.getpid()))
    os.close(reading)
    os.close(writing)
