"""Whose turn it is to write to a browser's socket that a server has lent its kernel.

Two processes have that socket then.  Each writes whole WebSocket frames, and only while it has the turn; so no frame
ever stands inside another.  A turn is the lock of one byte of a file (POSIX `fcntl` locks): the operating system gives
it back for a process that dies.
"""

from __future__ import annotations

import os
from contextlib import suppress

with suppress(ImportError):  # where there are no such locks there are no Unix sockets either, and nothing is lent
    import fcntl

__all__ = ("Turns",)


class Turns:
    """The turns of all connections of one link, as one of its two processes sees them.

    Args:
        path: of a file that both open, each once: a process loses its locks when it closes any opening of a file

    Raises:
        OSError: it can't be opened
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def take(self, number: int) -> bool:
        """Take a connection's turn; False where the other process has it, or the turns are over."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except (OSError, ValueError):  # ValueError: it is closed
            return False
        return True

    def give_back(self, number: int) -> None:
        """Let the other process have it."""
        with suppress(OSError, ValueError):
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)

    def close(self) -> None:
        """Give all of them back.  Doing it again does nothing."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)
