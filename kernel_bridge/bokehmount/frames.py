"""WebSocket fragments to whole Bokeh messages.  No I/O, and no look into a message's content.

A Bokeh message is three text fragments (header, metadata, content) and, for each buffer that the header announces, a
text fragment ``{"id": …}`` and a binary one.  Whoever only routes messages needs no more than this module.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any, Final

import orjson

from .errors import ProtocolError

__all__ = ("MAX_BUFFERS", "Assembler", "Frame", "Frames", "SentFrames", "TooBig", "header_of", "kept_by")

Frame = str | bytes
Frames = tuple[Frame, ...]

SentFrames = tuple[Frame | memoryview, ...]
"""The frames of a message that is to be sent; a binary one may lie in memory that is used again when it is gone."""

MAX_BUFFERS: Final = 100_000
"""More buffers than this in one message is nonsense or an attack; a table of 10,000 columns stays far below."""


class TooBig(ProtocolError):
    """The message is over the size limit."""


_OBJECTS: Final = 1 << 11
"""Bytes that Python takes for the objects of a message and of the task that waits to handle it; 1,900 were measured."""


def kept_by(frames: Sequence[Sized]) -> int:
    """Bytes of memory that a message keeps for as long as it waits, about."""
    return sum(map(len, frames)) + _OBJECTS


def header_of(frame: Frame) -> dict[str, Any]:
    """Read and check a message's header fragment.

    Raises:
        ProtocolError: it is not a JSON object with ``msgid``, ``msgtype`` and a sane ``num_buffers``
    """
    try:
        header = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"the header fragment is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise ProtocolError("the header fragment is not a JSON object")
    for key in ("msgid", "msgtype"):
        if not isinstance(header.get(key), str):
            raise ProtocolError(f"the header has no text {key!r}")
    count = header.get("num_buffers", 0)
    if type(count) is not int or not 0 <= count <= MAX_BUFFERS:
        raise ProtocolError(f"num_buffers must be a number from 0 to {MAX_BUFFERS:,}, not {count!r}")
    return header


class Assembler:
    """Puts the fragments of one connection together.

    Feed it each fragment in turn; it gives the frames of a whole message, or None while one is under way.  After a
    `ProtocolError` the fragments' meaning is lost: close the connection.

    Args:
        limit: the largest message that is taken, in characters and bytes of all its fragments
    """

    __slots__ = ("_expected", "_frames", "_size", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._frames: list[Frame] = []
        self._size = 0
        self._expected = 3

    def feed(self, frame: Frame) -> Frames | None:
        """Take one fragment.

        Returns:
            the frames of the message that it completes, or None

        Raises:
            ProtocolError: text where binary was due or the other way round, or a bad header
            TooBig: the message is over the limit
        """
        place = len(self._frames)
        wants_binary = place >= 3 and place % 2 == 0
        if isinstance(frame, bytes) is not wants_binary:
            expected, got = ("binary", "text") if wants_binary else ("text", "binary")
            raise ProtocolError(f"expected a {expected} fragment in place {place} of a message, got a {got} one")
        self._size += len(frame)
        if self._size > self.limit:
            raise TooBig(f"the message is over the limit of {self.limit:,} bytes")
        if place == 0:
            self._expected = 3 + 2 * header_of(frame).get("num_buffers", 0)
        self._frames.append(frame)
        if place + 1 < self._expected:
            return None
        whole = tuple(self._frames)
        self._frames, self._size = [], 0
        return whole
