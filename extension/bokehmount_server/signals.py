"""Ctrl-C and SIGTERM end what a loop runs in good order; said again, they break off what keeps the loop busy."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

from bokehmount.stage import BrokenOff

__all__ = ("signals_heeded",)

_AT_WORK: Final = 0.5
"""Seconds after which a loop that has not heard of a signal yet is held up by one of its callbacks.

The same signal may come twice at once: from the terminal, and from a process that passes it on.
"""


@contextmanager
def signals_heeded(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> Iterator[None]:
    """Have ``end`` called on the loop at each Ctrl-C and SIGTERM.

    Where a callback holds the loop up, the second signal raises `BrokenOff` in it, a KeyboardInterrupt.  On Windows
    and outside of the main thread nothing changes: there Ctrl-C raises KeyboardInterrupt at once.
    """
    unheard_since: float | None = None

    def hear(number: int) -> None:
        nonlocal unheard_since
        unheard_since = None
        print(f"Received {signal.Signals(number).name}, shutting down", flush=True)
        end()

    def note(number: int, frame: FrameType | None) -> None:
        # must not print: it may have interrupted a print
        nonlocal unheard_since
        now = time.monotonic()
        if unheard_since is None:
            unheard_since = now
        elif now - unheard_since > _AT_WORK:
            raise BrokenOff

    heeded = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError, RuntimeError, ValueError):
            before = signal.getsignal(number)
            loop.add_signal_handler(number, hear, number)
            heeded[number] = before
            signal.signal(number, note)  # beside the loop, which hears of signals through a pipe
            signal.siginterrupt(number, False)
    try:
        yield
    finally:
        for number, before in heeded.items():
            loop.remove_signal_handler(number)
            if before is not None:  # else it was not Python's
                signal.signal(number, before)
