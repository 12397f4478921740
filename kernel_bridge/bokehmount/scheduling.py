"""Runs a Document's next-tick, timeout and periodic callbacks on an asyncio loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from bokeh.server.callbacks import NextTickCallback, PeriodicCallback, SessionCallback, TimeoutCallback

__all__ = ("SessionCallbacks",)

Run = Callable[[Callable[[], Any]], Awaitable[Any] | Any]


class SessionCallbacks:
    """The scheduled callbacks of one session.

    A periodic callback that takes longer than its period runs again when it has ended, never twice at once.

    Args:
        loop: where the callbacks run
        run: what runs one; gives an awaitable where the callback does, and lets no exception of the callback out
    """

    __slots__ = ("_coming", "_handles", "_is_over", "_loop", "_run", "_tasks")

    def __init__(self, loop: asyncio.AbstractEventLoop, run: Run) -> None:
        self._loop = loop
        self._run = run
        self._handles: dict[str, asyncio.Handle] = {}
        self._coming: set[str] = set()  # ids of those that other threads have added since the loop last turned
        self._tasks: set[asyncio.Future[Any]] = set()
        self._is_over = False

    def add(self, callback: SessionCallback) -> None:
        """Schedule a callback.  Call it on the loop's thread; after `remove_all` nothing happens."""
        if self._is_over:
            return
        match callback:
            case PeriodicCallback():
                self._tick_later(callback, self._loop.time())
            case TimeoutCallback():
                self._handles[callback.id] = self._loop.call_later(callback.timeout / 1000, self._once, callback)
            case NextTickCallback():
                self._handles[callback.id] = self._loop.call_soon(self._once, callback)
            case _:
                raise ValueError(f"expected a next-tick, timeout or periodic callback, not {callback!r}")

    def add_soon(self, callback: SessionCallback) -> None:
        """Schedule a callback on another thread than the loop's, unless it is removed until the loop comes to it."""
        self._coming.add(callback.id)
        self._loop.call_soon_threadsafe(self._came, callback)

    def _came(self, callback: SessionCallback) -> None:
        if callback.id in self._coming:
            self._coming.remove(callback.id)
            self.add(callback)

    def remove(self, callback: SessionCallback) -> None:
        """Forget a callback; nothing happens where it ran already."""
        self._coming.discard(callback.id)
        handle = self._handles.pop(callback.id, None)
        if handle is not None:
            handle.cancel()

    def remove_all(self) -> None:
        """Forget all callbacks and cancel those that are awaiting something; no more are taken."""
        self._is_over = True
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()
        for task in tuple(self._tasks):
            task.cancel()

    def _once(self, callback: SessionCallback) -> None:
        self._handles.pop(callback.id, None)
        self._start(callback)

    def _tick_later(self, callback: PeriodicCallback, last: float) -> None:
        due = max(last + callback.period / 1000, self._loop.time())
        self._handles[callback.id] = self._loop.call_at(due, self._tick, callback)

    def _tick(self, callback: PeriodicCallback) -> None:
        started = self._loop.time()
        task = self._start(callback)
        if task is None:
            self._tick_again(callback, started)
        else:
            task.add_done_callback(lambda _: self._tick_again(callback, started))

    def _tick_again(self, callback: PeriodicCallback, started: float) -> None:
        if callback.id in self._handles:  # else it was removed meanwhile
            self._tick_later(callback, started)

    def _start(self, callback: SessionCallback) -> asyncio.Future[Any] | None:
        result = self._run(callback.callback)
        if not inspect.isawaitable(result):
            return None
        task = asyncio.ensure_future(result, loop=self._loop)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
