"""A carrier without a wire: two ends joined in memory, for tests of what runs over a link."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from bokehmount.link.carrier import Receiver
from bokehmount.link.messages import Part


class MemoryCarrier:
    """One end.  What it is given arrives at the other end on a later turn of that end's loop.

    Args:
        loop: where this end's receiver is called
    """

    name = "memory"
    is_full = False
    waiting = 0

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.receiver: Receiver | None = None
        self.other: MemoryCarrier | None = None
        self.open = True
        self._mutex = threading.Lock()

    def send(self, parts: Sequence[Part]) -> None:
        """Send a message."""
        copied = [bytes(part) for part in parts]
        with self._mutex:
            if self.open and self.other is not None:
                self.other.loop.call_soon_threadsafe(self.other._hand_over, copied)

    def _hand_over(self, parts: list[bytes]) -> None:
        if self.open and self.receiver is not None:
            self.receiver.received(parts)

    def close(self) -> None:
        """Stop carrying."""
        self._end(None)
        if self.other is not None:
            self.other.loop.call_soon_threadsafe(self.other._end, "the other end closed the link")

    def _end(self, why: str | None) -> None:
        with self._mutex:
            was_open, self.open = self.open, False
        if was_open and why is not None and self.receiver is not None:
            self.receiver.lost(why)

    def cut(self, why: str) -> None:
        """Have the wire break: both ends hear of it."""
        for end in (self, self.other):
            if end is not None:
                end.loop.call_soon_threadsafe(end._end, why)


def joined(
    server: asyncio.AbstractEventLoop, kernel: asyncio.AbstractEventLoop | None = None
) -> tuple[MemoryCarrier, MemoryCarrier]:
    """The server's and the kernel's end of one link."""
    ends = MemoryCarrier(server), MemoryCarrier(kernel or server)
    ends[0].other, ends[1].other = ends[1], ends[0]
    return ends
