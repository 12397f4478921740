"""Lends a browser's socket to the kernel whose app it shows, which then writes to it past this server.

See `bokehmount.kernel.shortcut` for why, and for what keeps messages in order.  This server goes on reading the socket,
and answers pings, sends heartbeats and closes it: each in its turn.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from tornado.iostream import StreamClosedError

from bokehmount.link.messages import Yours
from bokehmount.link.turns import Turns

__all__ = ("Borrower", "Lender", "LentStream", "Owner")

_SOONEST: Final = 0.001
"""Seconds until it is looked again whether the kernel has given the turn back, which it takes for microseconds."""

_LATEST: Final = 0.05

_FAREWELL: Final = 6.0
"""Seconds for which close frames may wait: Tornado cuts a connection after five."""


class Owner(Protocol):
    """A viewer whose WebSocket's socket can be lent."""

    def lend(self, turns: Turns, number: int) -> socket.socket | None:
        """Take turns from now on; the socket, or None where nobody else can write to it: it encrypts or compresses."""

    def when_written(self, call: Callable[[], object]) -> None:
        """Have a function called when all that it was given is written; now, if it is.  It may never be called."""

    def leave(self, *, kernels: bool) -> None:
        """Whether the kernel may write from now on, until further notice."""


class Borrower(Protocol):
    """What carries a link to the kernel."""

    def send_along(self, message: Yours, descriptor: int | None) -> bool:
        """Send a message, and with it a descriptor; False where that can't be done now."""


class Lender:
    """Lends the sockets of one link's viewers.

    Args:
        borrower: reaches the kernel
        turns: of this link
    """

    def __init__(self, borrower: Borrower, turns: Turns) -> None:
        self._borrower = borrower
        self._turns = turns
        self._passed: dict[int, int] = {}
        self._lent: set[int] = set()
        self._count = 0  # of all that were ever lent

    def passing(self, number: int, owner: Owner) -> None:
        """A message for a connection came through this server: the kernel does not write until it is told so again."""
        self._passed[number] = self._passed.get(number, 0) + 1
        owner.leave(kernels=False)

    def passed(self, number: int, owner: Owner) -> None:
        """It was given to the viewer.  When it is written, the kernel may write."""
        owner.when_written(lambda: self._leave(number, owner))

    def _leave(self, number: int, owner: Owner) -> None:
        passed = self._passed.get(number)
        if passed is None:
            return
        descriptor = None
        if number not in self._lent:
            lent = owner.lend(self._turns, number)
            if lent is None:
                return
            descriptor = lent.fileno()
        count = self._count if descriptor is not None else None
        if self._borrower.send_along(Yours(number, passed, count), descriptor):
            if descriptor is not None:
                self._count += 1
                self._lent.add(number)
            owner.leave(kernels=True)

    def gone(self, number: int) -> None:
        """A connection is over."""
        self._passed.pop(number, None)
        self._lent.discard(number)

    def close(self) -> None:
        """The link is over; that it is may still have to be said to browsers, in turn."""
        self._passed.clear()
        asyncio.get_running_loop().call_later(_FAREWELL, self._turns.close)


class LentStream:
    """A WebSocket's stream whose socket the kernel has too; all but writing and closing is the stream's own.

    Args:
        stream: the stream
        turns: of the link
        number: the connection's
    """

    __slots__ = ("_is_closing", "_is_kernels", "_number", "_stream", "_turns", "_waiting")

    def __init__(self, stream: Any, turns: Turns, number: int) -> None:
        self._stream = stream
        self._turns = turns
        self._number = number
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._is_closing = False
        self._is_kernels = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, data: bytes) -> asyncio.Future[None]:
        """Write a frame of this server's own, as soon as that stands between two of the kernel's."""
        if not self._waiting and (written := self._write(data)) is not None:
            return written
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((bytes(data), done))
        if len(self._waiting) == 1:
            self._again_in(_SOONEST)
        return done

    def _write(self, data: bytes) -> asyncio.Future[None] | None:
        if not self._is_kernels or self._stream.closed():  # then it raises
            return self._start(data)
        if not self._turns.take(self._number):
            return None
        try:
            written = self._start(data)
        except BaseException:
            self._turns.give_back(self._number)
            raise
        written.add_done_callback(self._give_back)
        return written

    def _give_back(self, _: object) -> None:
        if not self._stream.writing():  # else another of our frames is behind this one
            self._turns.give_back(self._number)

    def _start(self, data: bytes) -> asyncio.Future[None]:
        written: asyncio.Future[None] = self._stream.write(data)
        return written

    def _again_in(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._again, seconds)

    def _again(self, waited: float) -> None:
        while self._waiting:
            data, done = self._waiting[0]
            try:
                written = self._write(data)
            except OSError:  # it was closed meanwhile
                self._drop()
                return
            if written is None:
                self._again_in(min(_LATEST, 2 * waited))
                return
            del self._waiting[0]
            if not done.done():
                done.set_result(None)
        if self._is_closing:
            self._end()

    def leave(self, *, kernels: bool) -> None:
        """Whether the kernel may write from now on, until further notice; nothing of ours is being written then."""
        if kernels:
            self._turns.give_back(self._number)  # a frame of ours may have been written with others behind it
        self._is_kernels = kernels

    @property
    def has_to_wait(self) -> bool:
        """Whether a frame waits for the kernel to end one of its own, the rest of which has to be written first."""
        return bool(self._waiting)

    def _drop(self) -> None:
        for _, done in self._waiting:
            if not done.done():
                done.set_exception(StreamClosedError())
                done.exception()  # who wrote may have gone
        self._waiting.clear()

    def close(self, exc_info: Any = False) -> None:
        """Close the connection, and not only this process's end of it; a moment later if a frame still waits."""
        if not self._waiting:
            self._end(exc_info)
        elif not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_later(2 * _LATEST, self._end, exc_info)

    def _end(self, exc_info: Any = False) -> None:
        self._drop()
        with suppress(OSError, AttributeError):  # it is closed already
            self._stream.socket.shutdown(socket.SHUT_RDWR)
        self._stream.close(exc_info)
