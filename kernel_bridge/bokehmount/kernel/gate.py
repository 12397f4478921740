"""The way to the kernel's main thread, and the knowledge whether it is busy.

All work on Documents is done there, between cells.  A cell that runs for long holds it up; who waits is to be told.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final

__all__ = ("PATIENCE", "MainGate")

PATIENCE: Final = 0.3
"""Seconds that work may wait before the main thread counts as busy: longer than a callback, shorter than a doubt."""


class MainGate:
    """Hands work over to the main thread's loop, in order.

    Args:
        main: the main thread's loop
        watch: a loop that runs also while the main thread is busy
        tell: called with True when work has waited for too long, with False when the last of what waited was called,
            though a task that it started may go on; on any of the two threads, but never on both at once, and the last
            that it is told is what is so
    """

    def __init__(
        self, main: asyncio.AbstractEventLoop, watch: asyncio.AbstractEventLoop, tell: Callable[[bool], None]
    ) -> None:
        self._main = main
        self._watch = watch
        self._tell = tell
        self._mutex = threading.Lock()
        self._waiting = 0
        self._since = 0.0
        self._looking = False
        self.busy = False
        self._told = False
        self._telling = False

    def run(self, work: Callable[[], object]) -> None:
        """Have a function called on the main thread; on that thread, call it.  Safe on any thread."""
        if self._is_here():
            work()
            return
        with self._mutex:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting += 1
            look, self._looking = not self._looking, True
        self._main.call_soon_threadsafe(self._pass, work)
        if look:
            self._watch.call_soon_threadsafe(self._watch.call_later, PATIENCE, self._look)

    def _is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._main
        except RuntimeError:
            return False

    def _pass(self, work: Callable[[], object]) -> None:
        with self._mutex:
            self._waiting -= 1
            self._since = time.monotonic()
        try:
            work()
        finally:
            with self._mutex:
                self.busy = self.busy and self._waiting > 0
            self._tell_changes()

    def _look(self) -> None:
        with self._mutex:
            waited = time.monotonic() - self._since
            if not self._waiting:
                self._looking = False
                return
            self.busy = self.busy or waited >= PATIENCE
        self._tell_changes()
        self._watch.call_later(max(0.05, PATIENCE - waited), self._look)

    def _tell_changes(self) -> None:
        """Tell until what was told is so; where the other thread is telling, it does: none waits for the other."""
        while True:
            with self._mutex:
                if self._telling or self._told == self.busy:
                    return
                self._telling, self._told = True, self.busy
            try:
                self._tell(self._told)
            finally:
                with self._mutex:
                    self._telling = False
