"""Reads a WebSocket's stream in gulps: all that has come, once, where Tornado asks for nine small pieces of a message.

Each piece that a stream is asked for costs a future, and as the stream watches its socket only while it is asked, each
message also costs two changes of what the loop watches.
"""

from __future__ import annotations

from typing import Any, Final

from tornado.iostream import IOStream

__all__ = ("ReadAhead",)

_GULP: Final = 1 << 16
"""Bytes that are read ahead at most, which is what a stream reads at once anyway."""


class ReadAhead:
    """A stream, as the reader of a WebSocket needs it; all but `read_bytes` is the stream's own.

    Args:
        stream: an open stream that nobody else reads
    """

    def __init__(self, stream: IOStream) -> None:
        self._stream = stream
        self._ahead = b""
        self._place = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def read_bytes(self, num_bytes: int) -> bytes:
        """So many bytes, when they have come.

        Raises:
            StreamClosedError: they will not come
        """
        end = self._place + num_bytes
        while end > len(self._ahead):
            ahead, self._ahead, self._place = self._ahead[self._place :], b"", 0
            missing = num_bytes - len(ahead)
            if missing > _GULP:
                return ahead + await self._stream.read_bytes(missing)
            self._ahead = ahead + await self._stream.read_bytes(_GULP, partial=True)
            end = num_bytes
        data = self._ahead[self._place : end]
        self._place = end
        return data
