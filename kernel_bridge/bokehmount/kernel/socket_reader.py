"""Reads a link's socket on the main thread while that is free, and on the I/O thread while it is not.

Nearly all messages are work for the main thread.  Where it waits for them itself, no other thread has to be woken in
between, which would take longer than most of the work.  Both threads' loops watch the socket; the I/O thread, when it
sees that something came, looks again a moment later, and reads what the main thread has left.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from array import array
from collections import deque
from collections.abc import Callable
from typing import Final

from ..errors import ProtocolError
from ..link.messages import Part
from ..link.stream import PartsReader, kept_by

__all__ = ("MOST", "SocketReader")

MOMENT: Final = 0.005
"""Seconds that the main thread has to begin with what came: more than a callback of most apps takes."""

TRUST: Final = 0.05
"""Seconds for which a main thread that has just read is trusted to read on; less than a person notices."""

MOST: Final = 1 << 26
"""Bytes of memory that may wait for the main thread.  More stays in the socket, and then with the server and its
browsers, who hear meanwhile that the kernel does not answer."""

_INT: Final = array("i").itemsize
_ANCILLARY: Final = socket.CMSG_SPACE(_INT) if hasattr(socket, "CMSG_SPACE") else 0
_CLOSED_BY_EXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
"""What other programs that a cell starts don't inherit."""

_CUT_OFF: Final = int(getattr(socket, "MSG_CTRUNC", 0))
"""A number: with the enumeration's member each `and` takes two microseconds."""


class SocketReader:
    """Hands over the messages that come in a socket, whole and in order.

    Args:
        connection: a connected socket that does not block
        main: the main thread's loop
        watch: the I/O thread's loop
        received: called with each message, on either thread; what it hands over to the main thread from the other it
            hands over by ``main.call_soon_threadsafe``
        lost: called once on the I/O thread, when nothing will come any more, with the reason
        came: called with the descriptors of sockets that come along, before the messages that tell of them, and with
            whether there were more, ``lost``; None where none are to come
    """

    def __init__(
        self,
        connection: socket.socket,
        main: asyncio.AbstractEventLoop,
        watch: asyncio.AbstractEventLoop,
        received: Callable[[list[Part]], None],
        lost: Callable[[str], None],
        came: Callable[..., None] | None = None,
    ) -> None:
        self._socket = connection
        self._descriptor = connection.fileno()
        self._main = main
        self._watch = watch
        self._received = received
        self._lost = lost
        self._came = came
        self._reader = PartsReader()
        self._reading = threading.Lock()
        self._to_hand_over: deque[list[Part]] = deque()  # of what the main thread has read
        self._main_has_read = False  # since the I/O thread looked
        self._handed_over = 0  # how often messages went to the main thread that it has not come to yet
        self._waiting = 0  # bytes of these
        self._is_over = False

    def start(self) -> None:
        """Begin.  On any thread."""
        self._main.call_soon_threadsafe(self._main.add_reader, self._descriptor, self._main_is_free)
        self._watch.call_soon_threadsafe(self._watch_on)

    def stop(self) -> None:
        """Read no more.  On the I/O thread; the main thread lets go of the socket, and closes it, when it is free."""
        self._is_over = True
        self._watch.remove_reader(self._descriptor)
        try:
            self._main.call_soon_threadsafe(self._let_go)
        except RuntimeError:  # its loop is closed
            self._socket.close()

    def _let_go(self) -> None:
        self._main.remove_reader(self._descriptor)
        self._socket.close()

    # On the main thread ----------------------------------------------------------------------------------------------

    def _main_is_free(self) -> None:
        if not self._reading.acquire(blocking=False):
            return
        try:
            if self._is_over:
                self._main.remove_reader(self._descriptor)
                return
            if self._handed_over:
                return  # what came before is in the loop's queue already
            self._to_hand_over += self._read()
            self._main_has_read = True
        finally:
            self._reading.release()
        if len(self._to_hand_over) > 1:  # the first may raise, or run the loop itself, and others come after the second
            self._main.call_soon(self._hand_over)
        self._hand_over()

    def _hand_over(self) -> None:
        while self._to_hand_over:
            self._received(self._to_hand_over.popleft())

    def _caught_up(self, size: int) -> None:
        with self._reading:
            self._handed_over -= 1
            self._waiting -= size

    # On the I/O thread -----------------------------------------------------------------------------------------------

    def _watch_on(self) -> None:
        if not self._is_over:
            self._watch.add_reader(self._descriptor, self._something_came)

    def _something_came(self) -> None:
        self._watch.remove_reader(self._descriptor)
        self._watch.call_later(MOMENT, self._look)

    def _look(self) -> None:
        with self._reading:
            trusted, self._main_has_read = self._main_has_read and not self._is_over, False
            while not self._is_over and self._waiting <= MOST and self._polled():
                trusted, size = False, 0
                for parts in self._read():
                    self._received(parts)
                    size += kept_by(parts)
                self._handed_over += 1
                self._waiting += size
                self._main.call_soon_threadsafe(self._caught_up, size)
            is_full = self._waiting > MOST and not self._is_over
            if is_full and self._polled() & select.POLLHUP:
                self._end("the server closed the link")
        if trusted or is_full:
            self._watch.call_later(TRUST, self._look)
        else:
            self._watch_on()

    def _polled(self) -> int:
        readable = select.poll()
        readable.register(self._descriptor, select.POLLIN)
        return sum(events for _, events in readable.poll(0))

    # On either, with the lock ----------------------------------------------------------------------------------------

    def _read(self) -> list[list[Part]]:
        try:
            count, along, flags, _ = self._socket.recvmsg_into([self._reader.buffer()], _ANCILLARY, _CLOSED_BY_EXEC)
            if along or flags & _CUT_OFF:
                self._take_along(along, lost=bool(flags & _CUT_OFF))
            if not count:
                raise ConnectionError("the server closed the link")
            return list(self._reader.filled(count))
        except (BlockingIOError, InterruptedError):
            return []
        except (OSError, ProtocolError) as error:
            self._end(str(error))
            return []

    def _end(self, why: str) -> None:
        self._is_over = True
        self._watch.call_soon_threadsafe(self._lost, why)

    def _take_along(self, along: list[tuple[int, int, bytes]], *, lost: bool) -> None:
        for level, kind, data in along:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors = array("i", data[: len(data) - len(data) % _INT])
                if self._came is not None:
                    self._came(descriptors, lost=lost)
                    return
                for descriptor in descriptors:
                    os.close(descriptor)
        if self._came is not None:
            self._came((), lost=lost)
