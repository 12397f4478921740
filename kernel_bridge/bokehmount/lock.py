"""The lock of a Document: free for whoever asks first, and taken at once where it is free.

`asyncio.Lock` can only be taken by awaiting it; nearly all work on a Document neither waits nor awaits.
"""

from __future__ import annotations

import asyncio

__all__ = ("DocumentLock",)


class DocumentLock:
    """A fair lock for one thread.  Whoever took it must `release` it."""

    __slots__ = ("_held", "_waiting")

    def __init__(self) -> None:
        self._held = False
        self._waiting: list[asyncio.Future[None]] = []  # a deque's first 600 bytes are for many more

    @property
    def held(self) -> bool:
        """Whether somebody holds it."""
        return self._held

    def locked(self) -> bool:
        """False, to Panel, which asks by this name in a thread of its own whether it may change models there.

        Bokeh 3.10 holds the lock while such threads run callbacks; here one thread alone may change a Document.
        """
        return False

    def try_acquire(self) -> bool:
        """Take it if it is free and nobody waits for it."""
        if self._held or self._waiting:
            return False
        self._held = True
        return True

    async def acquire(self) -> None:
        """Take it as soon as all who asked before have had it."""
        if self.try_acquire():
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # it was handed to us in the same moment
            elif turn in self._waiting:  # else it was passed over already
                self._waiting.remove(turn)
            raise

    def release(self) -> None:
        """Hand it to the next who waits."""
        while self._waiting:
            turn = self._waiting.pop(0)
            if not turn.done():
                turn.set_result(None)
                return
        self._held = False
