"""A kernel's own way to a browser: it writes to the socket that the server has lent it, past the server.

The way through the server wakes one more process and copies each message once more.  A connection is in one of two
states, and messages stay in order because only one process writes in each:

- *the server's*: what is sent goes through the server.  It becomes ours when the server says that all of that is
  written.
- *ours*: we write.  It becomes the server's as soon as a message, or the rest of one that the socket does not take,
  goes through the server, which keeps it for a browser that reads slowly.

What the server says to a browser itself, it says in its turn (`bokehmount.link.turns`).
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from weakref import WeakSet

from ..fragments import Writes
from ..link.turns import Turns
from .writing import write_along

__all__ = ("Loans", "Shortcut")

log = logging.getLogger(__name__)


PATIENCE: Final = 0.005
"""Seconds that a message may take us: a browser on a slow line is the server's to wait for, not a callback's."""


class Loans:
    """What a server lends over one link.

    Args:
        turns: of the link's connections
    """

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self._came: dict[int, int] = {}
        self._count = 0
        self._is_over = False

    @classmethod
    def offered(cls, offer: Mapping[str, Any] | None) -> Loans | None:
        """For a server's offer of a local socket, with the path of its ``turns``; None where those can't be had."""
        try:
            return cls(Turns(str((offer or {})["turns"])))
        except (KeyError, OSError) as error:
            log.debug("bokehmount: the server can't lend its sockets: %r", error)
            return None

    def came(self, descriptors: Sequence[int], *, lost: bool) -> None:
        """Sockets came, in the order in which they were sent.

        Args:
            descriptors: theirs
            lost: whether there were more, and no room for them: none is taken any more, since nobody knows which
        """
        for descriptor in descriptors:
            self._came[self._count] = descriptor
            self._count += 1
        self._is_over = self._is_over or lost
        if self._is_over:
            self._let_go()

    def take(self, count: int) -> socket.socket | None:
        """The socket that came after so many others; None where it was lost on the way."""
        descriptor = self._came.pop(count, None)
        if descriptor is None:
            return None
        taken = socket.socket(fileno=descriptor)
        taken.setblocking(False)  # whatever timeout a cell has set for all sockets
        return taken

    def close(self) -> None:
        """The link is over, and the shortcuts of its connections are closed.  Doing it again does nothing."""
        self._is_over = True
        self._let_go()
        self.turns.close()

    def _let_go(self) -> None:
        for count in list(self._came):
            if (descriptor := self._came.pop(count, None)) is not None:
                os.close(descriptor)


class Shortcut:
    """One connection's own way to its browser, if there is one.  Safe on any thread.

    Args:
        number: the connection's, which is that of its turn
    """

    __slots__ = (
        "__weakref__",
        "_is_ours",
        "_is_over",
        "_mutex",
        "_number",
        "_passed",
        "_socket",
        "_turns",
        "_within_frame",
    )

    def __init__(self, number: int) -> None:
        self._number = number
        self._mutex = threading.Lock()
        self._socket: socket.socket | None = None
        self._turns: Turns | None = None
        self._passed = 0
        self._is_ours = self._within_frame = self._is_over = False

    def lent(self, passed: int, turns: Turns, connection: socket.socket | None) -> None:
        """The server has written what we gave it.

        Args:
            passed: how many messages that were; it is ours if there are no more by now
            turns: those of the link
            connection: the browser's socket; None if we have it already
        """
        with self._mutex:
            self._turns = turns
            if connection is not None:
                if self._is_over or self._socket is not None:
                    connection.close()
                else:
                    self._socket = connection
                    _lent.add(self)
            if self._socket is not None and passed == self._passed:
                if self._within_frame:
                    turns.give_back(self._number)
                self._within_frame, self._is_ours = False, True

    def write(self, writes: Writes) -> Writes:
        """Write to the browser if that is ours to do; gives the rest, which is to go through the server."""
        with self._mutex:
            if not self._is_ours or self._socket is None or self._turns is None:
                return writes
            if self._within_frame:  # its rest never went through the server: something interrupted that
                self._break(self._socket)
                return ()
            if not self._turns.take(self._number):
                return writes
            # a turn is kept until the server has written the rest of a frame that we began
            self._within_frame = True
            try:
                rest = tuple(write_along(self._socket, writes, PATIENCE))
            except OSError:
                self._break(self._socket)
                return ()
            except BaseException:
                self._break(self._socket)
                raise
            if not rest:
                self._within_frame = False
                self._turns.give_back(self._number)
            return rest

    def _break(self, connection: socket.socket) -> None:
        """End what can't go on, since nobody knows where a frame ends: the server notices, the browser returns."""
        self._is_ours = False
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def pass_on(self) -> None:
        """A message goes through the server, at once after this."""
        with self._mutex:
            self._passed += 1
            self._is_ours = False

    def close(self) -> None:
        """The connection is over: the socket is the server's alone again.  Doing it again does nothing."""
        with self._mutex:
            self._is_over, self._is_ours = True, False
            self.forget()

    def forget(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


_lent: WeakSet[Shortcut] = WeakSet()


def _forget_in_child() -> None:
    """A process that is forked, a worker of a pool perhaps, would keep browsers' connections open after our end."""
    for shortcut in list(_lent):
        shortcut.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
