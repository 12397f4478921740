"""Several processes that listen on the same sockets, and end together."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from threading import Thread
from types import FrameType
from typing import Final

from tornado.process import cpu_count

__all__ = ("fork",)

log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_REPLACED: Final = 100
"""How many processes that crashed are replaced, until it is clear that it won't get better."""


def fork(count: int) -> None:
    """Go on in so many processes; the one that called this waits for them and then exits.

    A process that crashes is replaced.  SIGTERM and SIGINT that reach the waiting process are passed on, so that each
    process ends in its own good order; they get SIGTERM too when it is killed.

    Other children of the waiting process, started before, may end as they like.  But it takes the news of that too, so
    that nobody else in it can wait for them.

    Args:
        count: how many; as many as there are cores where 0 or less
    """
    lifeline, held = os.pipe()
    if _Family().go_on_in(count if count > 0 else cpu_count()):
        os.close(held)
        Thread(target=_end_with_parent, args=(lifeline,), daemon=True, name="lifeline").start()


class _Family:
    """The waiting process and what it waits for.  `go_on_in` comes back in the children only."""

    def __init__(self) -> None:
        self._children: set[int] = set()
        self._ending = False
        self._before = {number: signal.signal(number, self._end) for number in _SIGNALS}

    def go_on_in(self, count: int) -> bool:
        for _ in range(count):
            if self._is_born():
                return True
        crashes = 0
        while self._children:
            pid, status = os.wait()
            if pid not in self._children:  # of somebody else, who had started it before
                continue
            self._children.remove(pid)
            if status == 0 or self._ending:
                continue
            crashes += 1
            if crashes > _REPLACED:
                log.error("processes crash again and again: the others are ended too")
                self._end(signal.SIGTERM, None)
            else:
                log.warning("process %d ended with status %d, and is replaced", pid, os.waitstatus_to_exitcode(status))
                if self._is_born():
                    return True
        sys.exit(1 if crashes > _REPLACED else 0)

    def _is_born(self) -> bool:
        """Fork; whether this is the child."""
        # a signal that comes in between would miss the child
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            if self._ending:
                return False
            pid = os.fork()
            if pid:
                self._children.add(pid)
                return False
            for number, handler in self._before.items():
                signal.signal(number, handler)
            return True
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._ending = True
        for pid in self._children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def _end_with_parent(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is written: this comes back when the last who could is gone
    os.kill(os.getpid(), signal.SIGTERM)
