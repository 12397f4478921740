"""Parts on a byte stream: how they are framed and read back.  No I/O.

A message is the number of its parts (4 bytes), their lengths (8 bytes each), and the parts, all big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from ..errors import ProtocolError

__all__ = ("MAX_MESSAGE", "PartsReader", "pack")

MAX_MESSAGE: Final = 1 << 30
"""Bytes of the largest message that a link takes: a gibibyte; browsers' messages are held far below, at the door."""

_MAX_PARTS: Final = 1_000_000
_SMALL: Final = 1 << 16


def pack(parts: Sequence[bytes]) -> list[bytes]:
    """What is to be written for a message: a few pieces, small ones joined."""
    head = struct.pack(f"!I{len(parts)}Q", len(parts), *map(len, parts))
    if sum(map(len, parts)) <= _SMALL:
        return [b"".join((head, *parts))]
    return [head, *parts]


class PartsReader:
    """Puts messages together from bytes as they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lengths: tuple[int, ...] | None = None
        self._needed = 4

    def feed(self, data: bytes) -> Iterator[list[bytes]]:
        """Take bytes; gives each message that they complete.

        Raises:
            ProtocolError: a length is out of bounds; the stream can't be read on
        """
        self._buffer += data
        while len(self._buffer) >= self._needed:
            if self._lengths is None:
                self._read_lengths()
                continue
            yield self._cut(self._lengths)
            self._lengths, self._needed = None, 4

    def _read_lengths(self) -> None:
        (count,) = struct.unpack_from("!I", self._buffer)
        if not 0 < count <= _MAX_PARTS:
            raise ProtocolError(f"a message of {count} parts")
        head = 4 + 8 * count
        if len(self._buffer) < head:
            self._needed = head
            return
        lengths = struct.unpack_from(f"!{count}Q", self._buffer, 4)
        if sum(lengths) > MAX_MESSAGE:
            raise ProtocolError(f"a message of {sum(lengths):,} bytes is over the limit of {MAX_MESSAGE:,}")
        self._lengths, self._needed = lengths, head + sum(lengths)

    def _cut(self, lengths: tuple[int, ...]) -> list[bytes]:
        start, parts = 4 + 8 * len(lengths), []
        with memoryview(self._buffer) as view:
            for length in lengths:
                parts.append(bytes(view[start : start + length]))
                start += length
        del self._buffer[:start]
        return parts
