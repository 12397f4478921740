"""Reads a WebSocket's stream in gulps: all that has come, once, where Tornado asks for nine small pieces of a message.

Each piece that a stream is asked for costs a future, and as the stream watches its socket only while it is asked, each
message also costs two changes of what the loop watches.  And of a plain frame that has come from its first byte to its
last, Tornado is asked nothing at all: masked text or bytes that are a message by themselves (RFC 6455, section 5.2),
which is what browsers send.  They are taken where the stream reads its socket, and are gone before it looks for what
it was asked for: no future, and no turn of the loop, lies between a message and who takes it.  All other frames are
Tornado's to read and to judge, but for messages that are too big: it cuts the connection, and what a browser has been
told of the reason is gone with it.  So they are dropped here as they come, until the browser has closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from tornado.iostream import IOStream, SSLIOStream

__all__ = ("ReadAhead",)

_GULP: Final = 1 << 16
"""Bytes that are read ahead at most, which is what a stream reads at once anyway."""

_TURN: Final = 1 << 18
_FRAME: Final = 1 << 10
"""Bytes after which others have their turn, and what a frame counts beside its own; Tornado's reader grants as many."""

_PAUSE: Final = 0.05
"""Seconds between looks whether what holds the reading up still does."""

_FIN, _MASKED = 0x80, 0x80
_CONTINUED, _TEXT, _BINARY, _CLOSE = 0x0, 0x1, 0x2, 0x8
_MASK = 4


class ReadAhead:
    """A stream, as the reader of a WebSocket needs it; all but `read_bytes` is the stream's own.

    Args:
        stream: an open stream that nobody else reads, where a frame begins

    Raises:
        RuntimeError: somebody is reading it, so what is read next may be the middle of a frame
    """

    __slots__ = (
        "_ahead",
        "_begun",
        "_drops",
        "_is_tornados",
        "_pieces",
        "_place",
        "_taken",
        "is_held_up",
        "limit",
        "stream",
        "take",
        "too_big",
    )

    def __init__(self, stream: IOStream) -> None:
        if stream.reading():
            raise RuntimeError(
                "a WebSocket can be read ahead from its opening on, before Tornado reads its first frame"
            )
        self.stream = stream
        self.take: Callable[[str | bytes], None] | None = None
        """Is given the messages that Tornado does not see, and does not raise; None for Tornado to see all."""
        self.is_held_up: Callable[[], bool] = lambda: False
        """Whether nothing more is to be read for now: then TCP has the browser keep what it sends."""
        self.limit: int | None = None
        """Bytes of the largest message; None for Tornado to judge that too."""
        self.too_big: Callable[[], None] = lambda: None
        """Called once, when a larger one comes; closes the WebSocket.  All messages are dropped from then on."""
        self._taken = 0
        self._ahead = b""
        self._place = 0
        self._pieces = 0  # that Tornado still asks for of the frame that it reads
        self._is_tornados = False  # whether all is: until a message of several frames ends, and after a close frame
        self._begun = 0  # bytes of a message of several frames
        self._drops = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    async def read_bytes(self, num_bytes: int) -> bytes:
        """So many bytes, when they have come.

        Raises:
            StreamClosedError: they will not come
        """
        if not self._pieces:
            await self._begin()
        self._pieces -= 1
        return await self._read(num_bytes)

    async def _begin(self) -> None:
        """Take what is plain and drop what is too big, until a frame begins that Tornado has to read."""
        while True:
            await self._take_all_plain()
            first, second = self._ahead[self._place], self._ahead[self._place + 1]
            opcode = first & 0xF
            if opcode >= _CLOSE or self.limit is None:
                break
            head, length = await self._announced()
            if not self._is_too_big(first, length, self.limit):
                break
            await self._drop(head + length)
        self._pieces = 2 + (second >= _MASKED) + (second & 0x7F > 125)  # head, length, mask, payload
        if opcode < _CLOSE:
            self._is_tornados = not first & _FIN
        elif opcode == _CLOSE:
            self._is_tornados = True

    async def _take_all_plain(self) -> None:
        """Until another frame begins."""
        while True:
            if self._place == len(self._ahead) and not self._is_tornados:
                await self._listen()
            elif len(self._ahead) - self._place < 2:
                await self._gulp()
            elif self._is_tornados or self.take is None:
                return
            elif self._taken >= _TURN:
                self._taken = 0
                await asyncio.sleep(0)
            elif not self._take_plain(self.take):
                return

    async def _announced(self) -> tuple[int, int]:
        """The lengths of the head, with its mask, and of the payload of the frame that begins here."""
        second = self._ahead[self._place + 1]
        length = second & 0x7F
        more = {126: 2, 127: 8}.get(length, 0)
        while len(self._ahead) - self._place < 2 + more:
            await self._gulp()
        if more:
            length = int.from_bytes(self._ahead[self._place + 2 : self._place + 2 + more])
        return 2 + more + (_MASK if second >= _MASKED else 0), length

    def _is_too_big(self, first: int, length: int, limit: int) -> bool:
        """Whether a message is over the limit with the frame that begins here, or one was before."""
        size = length + (self._begun if first & 0xF == _CONTINUED else 0)
        self._begun = 0 if first & _FIN else size
        if size > limit and not self._drops:
            self._drops, self.take = True, None
            self.too_big()
        return self._drops

    async def _drop(self, count: int) -> None:
        while (missing := count - (len(self._ahead) - self._place)) > 0:
            self._place, count = len(self._ahead), missing
            await self._gulp()
        self._place += count

    async def _listen(self) -> None:
        """Take what is plain as it comes, until something comes that is not, or ends in the middle."""
        if isinstance(self.stream, SSLIOStream):  # what it has decrypted no loop can see, so it has to read all
            await self._gulp()
            return
        self.stream.read_from_fd = self._read_plain  # type: ignore[method-assign]  # what a stream reads by
        try:
            await self._gulp()
        finally:
            del self.stream.read_from_fd
        if self.is_held_up():
            await self._wait()

    def _read_plain(self, buf: bytearray | memoryview) -> int | None:
        """Read the socket, and give the stream what is left: like `IOStream.read_from_fd`, and None for nothing.

        Who takes a message may run the loop until something has happened (nest_asyncio), which calls this again, or
        break off.  What has come behind that message is still here then, and before all that comes now.
        """
        count = type(self.stream).read_from_fd(self.stream, buf)
        if not count or self.take is None:
            return count
        is_first = not self._ahead  # else what is here comes first
        if is_first and (self.is_held_up() or not self.stream.reading() or self._may_nest()):
            return count
        self._ahead, self._place = self._ahead[self._place :] + bytes(memoryview(buf)[:count]), 0
        while len(self._ahead) - self._place >= 2 and self._taken < _TURN and self._take_plain(self.take):
            pass
        rest, self._ahead, self._place = self._ahead[self._place :], b"", 0
        buf[: len(rest)] = rest
        return len(rest) or None

    def _may_nest(self) -> bool:
        """Whether the loop may be run by who takes a message, where a socket that is being read can't be read again.

        Such a loop would look at it all the time until what is waited for has happened.  So the reader's task takes.
        """
        return hasattr(self.stream.io_loop.asyncio_loop, "_nest_patched")  # type: ignore[attr-defined]  # asyncio's

    def _take_plain(self, take: Callable[[str | bytes], None]) -> bool:
        """Whether a plain frame, all of it, was next."""
        ahead, place = self._ahead, self._place
        first, second = ahead[place], ahead[place + 1]
        if first not in (_FIN | _TEXT, _FIN | _BINARY) or second < _MASKED:
            return False
        mask, length = place + 2, second & 0x7F
        if length == 127:  # longer than a gulp
            return False
        if length == 126:
            mask, length = place + 4, int.from_bytes(ahead[place + 2 : place + 4])
        end = mask + 4 + length
        if end > len(ahead):
            return False
        data = _unmasked(ahead[mask + 4 : end], ahead[mask : mask + 4])
        try:
            message = data.decode() if first == _FIN | _TEXT else data
        except UnicodeDecodeError:
            return False
        self._place = end
        self._taken += _FRAME + length
        take(message)
        return True

    async def _read(self, num_bytes: int) -> bytes:
        while (missing := self._place + num_bytes - len(self._ahead)) > 0:
            if missing > _GULP:
                if self.is_held_up():
                    await self._wait()
                ahead, self._ahead, self._place = self._ahead[self._place :], b"", 0
                return ahead + await self.stream.read_bytes(missing)
            await self._gulp()
        self._place += num_bytes
        return self._ahead[self._place - num_bytes : self._place]

    async def _gulp(self) -> None:
        if self.is_held_up():
            await self._wait()
        rest, self._ahead, self._place = self._ahead[self._place :], b"", 0
        self._ahead = rest + await self.stream.read_bytes(_GULP, partial=True)

    async def _wait(self) -> None:
        while self.is_held_up() and not self.stream.closed():
            await asyncio.sleep(_PAUSE)


def _unmasked(data: bytes, mask: bytes) -> bytes:
    length = len(data)
    pattern = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(data) ^ int.from_bytes(pattern)).to_bytes(length)
