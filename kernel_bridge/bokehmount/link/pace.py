"""How much may be on the way over a channel that takes all: what its far end says that it took sets the pace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .messages import Part

__all__ = ("ON_THE_WAY", "TOLD_AFTER", "size")

ON_THE_WAY: Final = 2 * 2**20
"""Bytes that may be on the way: what a line of 40 MB/s takes in 50 ms, and one of 1 MB/s in 2 s."""

TOLD_AFTER: Final = ON_THE_WAY // 8
"""Bytes after which the far end says how much it took."""

_LEAST: Final = 2**11
"""Bytes that a message counts at least: a ZMQ socket drops what is more than a thousand messages."""


def size(parts: Sequence[Part]) -> int:
    """What a message counts, at both ends."""
    return max(_LEAST, sum(len(part) for part in parts))
