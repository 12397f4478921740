"""Whole Bokeh messages as the bytes of WebSocket frames (RFC 6455, section 5.2), ready to be written.  No I/O.

Tornado writes each fragment by itself; a message of three fragments then costs three system calls and, on a socket
without TCP_NODELAY, a wait for the other side's acknowledgement.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from .link.messages import RawFrames

__all__ = ("Writes", "websocket_bytes")

Writes = tuple[bytes | memoryview, ...]
"""What is to be written, in order; one piece unless there is a large frame."""

_TEXT, _BINARY = 0x81, 0x82  # the FIN bit and the opcode

_LARGE: Final = 1 << 16
"""Bytes of a frame that is written by itself: to copy it costs more than to write twice."""


def websocket_bytes(messages: Iterable[RawFrames]) -> Writes:
    """The frames of these messages, unmasked as a server sends them."""
    writes: list[bytes | memoryview] = []
    small: list[bytes | memoryview] = []
    for frames in messages:
        for place, frame in enumerate(frames):
            small.append(_head(_BINARY if place >= 3 and place % 2 == 0 else _TEXT, len(frame)))
            if len(frame) < _LARGE:
                small.append(frame)
            else:
                writes += (b"".join(small), frame)
                small = []
    if small:
        writes.append(b"".join(small))
    return tuple(writes)


def _head(first: int, length: int) -> bytes:
    if length < 126:
        return struct.pack("!BB", first, length)
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)
