"""Whole Bokeh messages as the bytes of WebSocket frames (RFC 6455, section 5.2), ready for one write.  No I/O.

Tornado writes each fragment by itself; a message of three fragments then costs three system calls and, on a socket
without TCP_NODELAY, a wait for the other side's acknowledgement.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from bokehmount.link.messages import RawFrames

__all__ = ("websocket_bytes",)

_TEXT, _BINARY = 0x81, 0x82  # the FIN bit and the opcode


def websocket_bytes(messages: Iterable[RawFrames]) -> bytes:
    """The frames of these messages, unmasked as a server sends them."""
    pieces: list[bytes] = []
    for frames in messages:
        for place, frame in enumerate(frames):
            pieces += (_head(_BINARY if place >= 3 and place % 2 == 0 else _TEXT, len(frame)), frame)
    return b"".join(pieces)


def _head(first: int, length: int) -> bytes:
    if length < 126:
        return struct.pack("!BB", first, length)
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)


def total(messages: Sequence[RawFrames]) -> int:
    """Bytes of all frames."""
    return sum(len(frame) for frames in messages for frame in frames)
