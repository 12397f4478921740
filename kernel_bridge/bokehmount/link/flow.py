"""Messages over a channel that takes all: at the pace of its far end, and large ones in pieces.  No I/O.

What waits on the way to a far machine waits in processes that are not ours.  So each end says how much it took, and
the other sends no more than `ON_THE_WAY` beyond that.  Pieces let an end hear that a message is coming, where on a slow
line it would hear nothing for as long as all of it takes; and a gateway cuts a line that brings it more than its limit
at once: 10 MiB in Tornado, where jupyter_server sets no other (`tornado.websocket`, `websocket_max_message_size`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from ..errors import ProtocolError
from .messages import Part, Parts
from .stream import MAX_MESSAGE

__all__ = ("ON_THE_WAY", "PIECE", "Flow", "Words")

ON_THE_WAY: Final = 2 * 2**20
"""Bytes that may be on the way: what a line of 40 MB/s takes in 50 ms, and one of 1 MB/s in 2 s."""

PIECE: Final = ON_THE_WAY // 8
"""Bytes of a piece, and bytes after which an end says how much it took: a line of 100 kB/s takes them in 3 s."""

_LEAST: Final = 2**11
"""Bytes that a piece counts at least: a ZMQ socket drops what is more than a thousand messages."""

Words = dict[str, Any]
"""What is said with a piece of a large message: whether there is more, and with the first the sizes of all parts."""


class Flow:
    """What one end of a link sends and takes.

    Args:
        write: gives a piece and its words to the channel; they come out at the far end's `take`
    """

    def __init__(self, write: Callable[[Words, Parts], None]) -> None:
        self._write = write
        self._queue: deque[tuple[Words, Parts]] = deque()
        self.waiting = 0
        """Bytes that were put and are not sent yet."""
        self.is_holding = False
        """Whether the far end is not told what was taken since, so that it sends no more than may be on the way."""
        self._sent = self._arrived = 0
        self._took = self._told = 0
        self._sizes: list[int] = []
        self._coming: list[bytes] = []

    @property
    def arrived(self) -> int:
        """Bytes that the far end has taken."""
        return self._arrived

    @property
    def is_full(self) -> bool:
        """Whether what is put now has to wait."""
        return bool(self._queue) or self._sent - self._arrived > ON_THE_WAY

    def put(self, parts: Sequence[Part]) -> None:
        """Send a message, after all that was put before."""
        for words, piece in _pieces(parts):
            self._queue.append((words, piece))
            self.waiting += _weight(piece)
        self._go_on()

    def _go_on(self) -> None:
        while self._queue and self._sent - self._arrived <= ON_THE_WAY:
            self._pass(*self._queue.popleft())

    def flush(self) -> None:
        """Send all that waits, at whatever pace."""
        while self._queue:
            self._pass(*self._queue.popleft())

    def take(self, words: Mapping[str, Any], parts: Sequence[Part]) -> Sequence[Part] | None:
        """Take what came: a message, a piece of one, or the word that the far end has taken so many bytes in all.

        Returns:
            a message's parts, or None where there is none, or more of it is to come

        Raises:
            ProtocolError: it is nothing of these
        """
        try:
            return self._take(words, parts)
        except (TypeError, ValueError) as error:
            raise ProtocolError(f"a link does not say {dict(words)!r:.200}: {error}") from error

    def _take(self, words: Mapping[str, Any], parts: Sequence[Part]) -> Sequence[Part] | None:
        if "taken" in words:
            self._arrived = int(words["taken"])
            self._go_on()
            return None
        self._took += _weight(parts)
        if self._took - self._told >= PIECE and not self.is_holding:
            self.tell()
        return self._gather(words, parts) if "more" in words else parts

    def tell(self) -> None:
        """Tell the far end how much was taken; while this end is holding, what it was told last: a sign of life."""
        if not self.is_holding:
            self._told = self._took
        self._write({"taken": self._told}, [])

    def _pass(self, words: Words, piece: Parts) -> None:
        self._sent += _weight(piece)
        self.waiting -= _weight(piece)
        self._write(words, piece)

    def _gather(self, words: Mapping[str, Any], parts: Sequence[Part]) -> Sequence[Part] | None:
        if "sizes" in words:
            self._sizes, self._coming = [int(size) for size in words["sizes"]], []
            if sum(self._sizes) > MAX_MESSAGE:
                raise ProtocolError(f"a message of {sum(self._sizes):,} bytes is over the limit of {MAX_MESSAGE:,}")
        self._coming.extend(bytes(part) for part in parts)
        if words["more"]:
            return None
        sizes, rest = self._sizes, memoryview(b"".join(self._coming))
        self._sizes, self._coming = [], []
        if len(rest) != sum(sizes):
            raise ProtocolError(f"a message of {sum(sizes):,} bytes came as {len(rest):,}")
        whole: Parts = []
        for size in sizes:
            whole.append(rest[:size])
            rest = rest[size:]
        return whole


def _pieces(parts: Sequence[Part]) -> Iterator[tuple[Words, Parts]]:
    sizes = [len(part) for part in parts]
    if sum(sizes) <= PIECE:
        yield {}, list(parts)
        return
    words: Words = {"sizes": sizes}
    piece: Parts = []
    room = PIECE
    for part in parts:
        rest = memoryview(part)
        while len(rest) > room:
            piece.append(rest[:room])
            yield {**words, "more": True}, piece
            words, piece, rest, room = {}, [], rest[room:], PIECE
        piece.append(rest)
        room -= len(rest)
    yield {**words, "more": False}, piece


def _weight(parts: Sequence[Part]) -> int:
    return max(_LEAST, sum(len(part) for part in parts))
