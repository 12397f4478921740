"""The kernel's end of a link over a local socket that the server offered: fast, and off the kernel's own channels.

Messages are written by whoever sends, at once, as far as the socket takes them; the I/O thread writes the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..link.carrier import Receiver
from ..link.messages import Part
from ..link.stream import SOCKET_BUFFER, pack
from .shortcut import Loans
from .socket_reader import SocketReader
from .writing import write_along

__all__ = ("SocketCarrier", "connect")

log = logging.getLogger(__name__)

_CONNECTING: Final = 2.0
QUEUE: Final = 64 * 2**20
"""Bytes that may wait for the server; whoever sends more waits, so a stream is as fast as the link and no faster."""

STUCK: Final = 30.0
"""Seconds of such waiting after which the server counts as gone."""


def connect(offer: Mapping[str, Any] | None) -> socket.socket | None:
    """Take up a server's offer of a local socket.

    Args:
        offer: its ``path`` and a one-time ``key``; None where there is none

    Returns:
        the connected socket; None where it can't be reached, because the server is on another machine
    """
    if offer is None or not hasattr(socket, "AF_UNIX"):
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_CONNECTING)
        connection.connect(str(offer["path"]))
        connection.sendall(b"".join(pack([str(offer["key"]).encode()])))
    except (OSError, KeyError) as error:
        log.debug("bokehmount: no local socket to the server: %s", error)
        connection.close()
        return None
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
    return connection


class SocketCarrier:
    """Carries one link.

    Args:
        connection: a connected socket that does not block
        main: the main thread's loop
        loop: the I/O thread's loop
        loans: takes the sockets that the server lends; None where it lends none
    """

    name = "socket"

    def __init__(
        self,
        connection: socket.socket,
        main: asyncio.AbstractEventLoop,
        loop: asyncio.AbstractEventLoop,
        loans: Loans | None = None,
    ) -> None:
        self._socket = connection
        self._loop = loop
        self._reader = SocketReader(connection, main, loop, self._received, self._lose, loans.came if loans else None)
        self._receiver: Receiver | None = None
        self._changed = threading.Condition()
        self._waiting: deque[memoryview] = deque()
        self._waiting_size = 0
        self._closed = False

    def start(self, receiver: Receiver) -> None:
        """Begin to hand messages over."""
        self._receiver = receiver
        self._reader.start()

    def _received(self, parts: list[Part]) -> None:
        receiver = self._receiver
        if receiver is not None and not self._closed:
            receiver.received(parts)

    def send(self, parts: Sequence[Part]) -> None:
        """Send a message; waits for a server that does not read, up to `STUCK` seconds."""
        pieces = pack(parts)
        with self._changed:
            if self._waiting_size > QUEUE:
                try:
                    drained = self._drained()
                except BaseException:  # who interrupts a cell that waits here does not want its changes lost
                    self._keep(pieces)
                    raise
                if not drained:
                    return
            if self._closed:
                return
            if self._waiting:
                self._keep(pieces)
                return
            rest = self._write(pieces)
            if rest:
                self._keep(rest)
                self._loop.call_soon_threadsafe(self._watch_writable)

    @property
    def is_full(self) -> bool:
        """Whether `send` waits."""
        return self._waiting_size > QUEUE

    def _write(self, pieces: Sequence[Part]) -> Sequence[Part]:
        """Write while the server reads along; gives the rest, which is the I/O thread's to write."""
        try:
            return write_along(self._socket, pieces)
        except OSError as error:
            self._loop.call_soon_threadsafe(self._lose, str(error))
            return []

    def _keep(self, pieces: Sequence[Part]) -> None:
        for piece in pieces:
            self._waiting.append(memoryview(piece))
            self._waiting_size += len(piece)

    def _drained(self) -> bool:
        if threading.get_ident() == getattr(self._loop, "_thread_id", None):
            return True  # the thread that drains can't wait for itself
        end = time.monotonic() + STUCK
        while self._waiting_size > QUEUE and not self._closed:
            if not self._changed.wait(end - time.monotonic()):
                self._loop.call_soon_threadsafe(self._lose, f"the server has not read anything for {STUCK:.0f} s")
                return False
        return not self._closed

    def _watch_writable(self) -> None:
        if not self._closed:
            self._loop.add_writer(self._socket.fileno(), self._writable)

    def _writable(self) -> None:
        with self._changed:
            try:
                while self._waiting:
                    piece = self._waiting[0]
                    count = self._socket.send(piece)
                    self._waiting_size -= count
                    if count < len(piece):
                        self._waiting[0] = piece[count:]
                        break
                    self._waiting.popleft()
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                self._loop.call_soon(self._lose, str(error))
            if not self._waiting and not self._closed:
                self._loop.remove_writer(self._socket.fileno())
            self._changed.notify_all()

    def _lose(self, why: str) -> None:
        if not self._closed:
            self._end()
            if self._receiver is not None:
                self._receiver.lost(why)

    def close(self) -> None:
        """Stop carrying."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the socket with it
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._waiting.clear()
            self._waiting_size = 0
            self._loop.remove_writer(self._socket.fileno())
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._reader.stop()
            self._changed.notify_all()
