"""Copies of large arrays, in memory that is used again.  No I/O.

What is sent has to be copied when it happens, since its owner may change it before it is written.  A megabyte of new
memory comes from the operating system in 256 pages, each at its first touch, and goes back when the copy is written;
that takes longer than to copy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final
from weakref import ref

import numpy as np

__all__ = ("KEPT", "LARGE", "Copies")

LARGE: Final = 1 << 17
"""Bytes from which on memory is the operating system's each time (M_MMAP_THRESHOLD, see mallopt(3))."""

KEPT: Final = 1 << 25
"""Bytes that stay with the process at most; a copy that takes more than half of it is made anew each time."""


class _Room:
    """Memory, and whether somebody still needs what was last copied there."""

    __slots__ = ("_last", "memory")

    def __init__(self, size: int) -> None:
        self.memory = np.empty(size, np.uint8)  # whose views can be asked whether they are gone; those of bytes can't
        self._last: Callable[[], object] = lambda: None

    @property
    def is_free(self) -> bool:
        return self._last() is None

    def part(self, size: int) -> np.ndarray[Any, Any]:
        """Its beginning; it is free again when this, and each view of this, is gone."""
        part = self.memory[:size]
        self._last = ref(part)
        return part


class Copies:
    """Makes copies.  Safe on any thread."""

    def __init__(self) -> None:
        self._rooms: list[_Room] = []
        self._mutex = threading.Lock()

    def of(self, data: memoryview[Any]) -> bytes | memoryview:
        """The bytes of a buffer as they are now."""
        if not LARGE <= data.nbytes <= KEPT // 2 or not data.c_contiguous:
            return data.tobytes()
        with self._mutex:
            copy = self._room(data.nbytes).part(data.nbytes)
        copy[:] = np.frombuffer(data, np.uint8)
        return copy.data

    def _room(self, size: int) -> _Room:
        free = [room for room in self._rooms if room.is_free]
        for room in free:
            if len(room.memory) >= size:
                return room
        made = _Room(size)
        for room in free:  # too small by now, most likely for good
            self._rooms.remove(room)
        if self.kept + size <= KEPT:
            self._rooms.append(made)
        return made

    @property
    def kept(self) -> int:
        """Bytes that are kept."""
        return sum(len(room.memory) for room in self._rooms)
