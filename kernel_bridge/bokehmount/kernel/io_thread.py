"""The kernel's own thread for links: it answers and sends also while a cell runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final

__all__ = ("IOThread", "Paced")

FRAME: Final = 1 / 60
"""Seconds: a screen shows nothing in less."""


class IOThread:
    """An asyncio loop on a daemon thread.  `start` it, and `stop` it when nothing runs on it any more."""

    def __init__(self) -> None:
        self.loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._run, name="bokehmount-io", daemon=True)
        # debuggers that stop all threads at a breakpoint must leave this one running, as they do ipykernel's own
        self._thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
        self._thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def start(self) -> None:
        """Begin to run."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)


class Paced:
    """Calls functions on a loop, at once when the last such call is a frame ago, else together when it is.

    So a cell that streams in a tight loop is not held up by a message for each of its rows.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Callable[[], object]] = []
        self._next = 0.0

    def __call__(self, function: Callable[[], object]) -> None:
        """Have it called.  Safe on any thread."""
        self._loop.call_soon_threadsafe(self._take, function)

    def _take(self, function: Callable[[], object]) -> None:
        self._waiting.append(function)
        if len(self._waiting) == 1:
            self._loop.call_at(self._next, self._call)

    def _call(self) -> None:
        functions, self._waiting = self._waiting, []
        for function in functions:
            self._loop.call_soon(function)
        self._next = self._loop.time() + FRAME
