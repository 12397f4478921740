"""Parts on a byte stream: how they are framed and read back.  No I/O.

A message is the number of its parts (4 bytes), their lengths (8 bytes each), and the parts, all big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from ..errors import ProtocolError
from .messages import Part

__all__ = ("MAX_MESSAGE", "SOCKET_BUFFER", "VECTOR", "PartsReader", "after", "kept_by", "pack")

MAX_MESSAGE: Final = 1 << 30
"""Bytes of the largest message that a link takes: a gibibyte; browsers' messages are held far below, at the door."""

SOCKET_BUFFER: Final = 1 << 21
"""Bytes that the operating system is asked to hold for each direction of a local socket: one large array at a time."""

VECTOR: Final = 512
"""Pieces in one system call; POSIX allows at least 16 and Linux 1,024."""

_MAX_PARTS: Final = 1_000_000
_SMALL: Final = 1 << 18
"""Bytes of a message that is joined rather than written in pieces, and of the buffer that messages are read into."""

_LARGE: Final = 1 << 16
"""Bytes of a part that is handed out where it was received: to copy it costs more than a new buffer."""

_OBJECTS: Final = 1 << 10
"""Bytes that Python takes for the objects of a small message and of what waits to handle it; 813 were measured."""


def pack(parts: Sequence[Part]) -> list[Part]:
    """What is to be written for a message: one piece for a small one, its head and parts for a large one."""
    head = struct.pack(f"!I{len(parts)}Q", len(parts), *map(len, parts))
    if sum(map(len, parts)) <= _SMALL:
        return [b"".join((head, *parts))]
    return [head, *parts]


def kept_by(message: Sequence[Part]) -> int:
    """Bytes of memory that a message which was read keeps for as long as it waits, about."""
    size = sum(map(len, message))
    return max(size, _SMALL) if any(len(part) >= _LARGE for part in message) else size + _OBJECTS


def after(pieces: Sequence[Part], count: int) -> tuple[Part, ...]:
    """What of these pieces is left when so many bytes are written."""
    for place, piece in enumerate(pieces):
        if count < len(piece):
            return (memoryview(piece)[count:], *pieces[place + 1 :])
        count -= len(piece)
    return ()


class PartsReader:
    """Puts messages together from bytes as they come.

    Ask for a `buffer`, fill some of it, say how much with `filled`: a large message is received where it stays.
    """

    def __init__(self) -> None:
        self._buffer = bytearray(_SMALL)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0  # what is filled and not yet read
        self._lengths: tuple[int, ...] | None = None
        self._needed = 4

    def buffer(self) -> memoryview:
        """Where to put the next bytes; never empty."""
        if self._start == self._end:
            self._start = self._end = 0
        if self._start + self._needed > len(self._buffer) or self._end == len(self._buffer):
            self._move(max(_SMALL, self._needed))
        return self._view[self._end :]

    def _move(self, size: int) -> None:
        """Begin a new buffer with what is not yet read; parts that were handed out keep the old one alive."""
        rest = self._view[self._start : self._end]
        self._buffer = bytearray(max(size, len(rest) + 1))
        self._view = memoryview(self._buffer)
        self._view[: len(rest)] = rest
        self._start, self._end = 0, len(rest)

    def filled(self, count: int) -> Iterator[list[Part]]:
        """So many bytes were put into the buffer; gives each message that they complete.

        Raises:
            ProtocolError: a length is out of bounds; the stream can't be read on
        """
        self._end += count
        while self._end - self._start >= self._needed:
            if self._lengths is None:
                self._read_lengths()
            else:
                yield self._cut(self._lengths)

    def feed(self, data: bytes) -> Iterator[list[Part]]:
        """Take bytes that were received elsewhere; gives each message that they complete."""
        given = memoryview(data)
        while given:
            room = self.buffer()
            count = min(len(room), len(given))
            room[:count] = given[:count]
            given = given[count:]
            yield from self.filled(count)

    def _read_lengths(self) -> None:
        (count,) = struct.unpack_from("!I", self._buffer, self._start)
        if not 0 < count <= _MAX_PARTS:
            raise ProtocolError(f"a message of {count} parts")
        head = 4 + 8 * count
        if self._end - self._start < head:
            self._needed = head
            return
        lengths = struct.unpack_from(f"!{count}Q", self._buffer, self._start + 4)
        if sum(lengths) > MAX_MESSAGE:
            raise ProtocolError(f"a message of {sum(lengths):,} bytes is over the limit of {MAX_MESSAGE:,}")
        self._lengths, self._needed = lengths, head + sum(lengths)

    def _cut(self, lengths: tuple[int, ...]) -> list[Part]:
        place, parts = self._start + 4 + 8 * len(lengths), list[Part]()
        for length in lengths:
            part = self._view[place : place + length]
            parts.append(part if length >= _LARGE else bytes(part))
            place += length
        self._start, self._lengths, self._needed = place, None, 4
        if max(lengths) >= _LARGE:
            self._move(_SMALL)  # the buffer belongs to its parts now
        return parts
