"""Work that a server repeats while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tornado.ioloop import IOLoop

from bokehmount.repeating import forever

__all__ = ("Job",)


class Job:
    """Calls a function, which may be async, again and again until `stop`; an exception is logged and stops nothing.

    Args:
        io_loop: where it runs
        work: the function
        seconds: between the end of a call and the next one
    """

    def __init__(self, io_loop: IOLoop, work: Callable[[], Any], seconds: float) -> None:
        self._loop = io_loop
        self._work = work
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None
        self._wanted = False

    def start(self) -> None:
        """Begin, from any thread, also before the loop runs."""
        self._wanted = True
        self._loop.add_callback(self._begin)

    def stop(self) -> None:
        """End.  Call it on the loop's thread."""
        self._wanted = False
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _begin(self) -> None:
        if self._wanted and self._task is None:
            self._task = asyncio.ensure_future(forever(self._work, self._seconds))
