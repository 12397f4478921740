"""Local sockets for links: the server listens in a folder of its own; each kernel of this machine may connect once."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import shutil
import socket
import tempfile
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bokehmount.errors import ProtocolError
from bokehmount.link.carrier import Receiver
from bokehmount.link.messages import LinkMessage, Part, encode
from bokehmount.link.stream import SOCKET_BUFFER, PartsReader, after, pack
from bokehmount.link.turns import Turns

from .control_carrier import RESTARTED

__all__ = ("LocalSockets", "Offer", "SocketCarrier")

log = logging.getLogger(__name__)

_LONGEST_PATH: Final = 100
"""Bytes; a Unix socket's address holds 108 on Linux, 104 on macOS."""

ARRIVAL: Final = 2.0
"""Seconds between a kernel's word that it has connected and our noticing it."""


class SocketCarrier(asyncio.BufferedProtocol):
    """Carries one link over a socket that a kernel connected to.

    Args:
        sockets: whom to tell the key that comes first
    """

    name = "socket"

    def __init__(self, sockets: LocalSockets) -> None:
        self._sockets = sockets
        self._reader = PartsReader()
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._known = False
        self._early: list[list[Part]] = []
        self._own: socket.socket | None = None  # the transport's, for what that can't send

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected; nothing but the right key makes it a kernel."""
        assert isinstance(transport, asyncio.Transport), "a stream has such a transport"
        self._transport = transport
        own: socket.socket = transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._reader.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        try:
            for parts in self._reader.filled(nbytes):
                self._take(parts)
        except ProtocolError as error:
            log.error("bokehmount: a link's socket is closed: %s", error)
            self._abort()

    def _take(self, parts: list[Part]) -> None:
        if not self._known:
            self._known = self._sockets.arrived(bytes(parts[0]), self)
            if not self._known:
                raise ProtocolError("somebody connected without the right key")
        elif self._receiver is None:
            self._early.append(parts)
        else:
            self._receiver.received(parts)

    def connection_lost(self, error: Exception | None) -> None:
        """The kernel is gone."""
        self._transport = None
        if self._own is not None:
            self._own.close()
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost(RESTARTED)

    def start(self, receiver: Receiver) -> None:
        """Begin to hand messages over."""
        self._receiver = receiver
        early, self._early = self._early, []
        for parts in early:
            receiver.received(parts)
        if self._transport is None:
            self.connection_lost(None)

    @property
    def waiting(self) -> int:
        """Bytes that the kernel has not taken, beyond what the socket holds."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def send(self, parts: Sequence[Part]) -> None:
        """Send a message."""
        if self._transport is not None:
            self._transport.writelines(pack(parts))

    def send_along(self, message: LinkMessage, descriptor: int | None) -> bool:
        """Send a message, and with it a descriptor, which has to go at once.

        Returns:
            whether it was sent; it can't be while others wait
        """
        if self._transport is None or (descriptor is not None and self._transport.get_write_buffer_size()):
            return False
        pieces: Sequence[Part] = pack(encode(message))
        if descriptor is not None:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))
            try:
                if self._own is None:
                    own: socket.socket = self._transport.get_extra_info("socket")
                    self._own = own.dup()
                pieces = after(pieces, self._own.sendmsg(pieces, [rights]))
            except OSError:
                return False
        self._transport.writelines(pieces)
        return True

    def close(self) -> None:
        """Stop carrying."""
        self._receiver = None
        if self._transport is not None:
            self._transport.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """An invitation to connect, good for one kernel and once.

    Args:
        path: of the socket
        key: what proves who connects
        turns_path: of the file by which both sides take turns; empty where there is none
        turns: our side of that; who asked for the offer closes it
        taken: the carrier, as soon as the kernel has connected
    """

    path: str
    key: str
    turns_path: str
    turns: Turns | None
    taken: asyncio.Future[SocketCarrier]

    def said(self) -> dict[str, str]:
        """What the kernel is told."""
        said = {"path": self.path, "key": self.key}
        return {**said, "turns": self.turns_path} if self.turns is not None else said

    async def carrier(self) -> SocketCarrier | None:
        """The carrier of a kernel that says it has connected; None where it does not come."""
        try:
            async with asyncio.timeout(ARRIVAL):
                return await self.taken
        except TimeoutError:
            return None


class LocalSockets:
    """One listening socket for the links to all kernels of this machine.

    Args:
        folder: where to make a folder for it, which nobody else may enter; one in the temporary folder where the
            path would be too long
    """

    def __init__(self, folder: str) -> None:
        self._parent = folder
        self._folder: Path | None = None
        self._server: asyncio.Server | None = None
        self._offers: dict[str, Offer] = {}  # until they are withdrawn, by their keys
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Listen.  Doing it again does nothing.

        Raises:
            OSError: there can be no such socket; nothing is left behind
        """
        async with self._opening:
            if self._server is None:
                await self._open()

    async def _open(self) -> None:
        fits = len(os.fsencode(self._parent)) + len("/bokehmount-12345678/link") <= _LONGEST_PATH
        parent = self._parent if fits else None
        if parent is not None:
            Path(parent).mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="bokehmount-", dir=parent))  # mode 0700
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_unix_server(lambda: SocketCarrier(self), str(self._folder / "link"))
        except BaseException:
            await self.close()
            raise

    def offer(self) -> Offer | None:
        """What a kernel needs to connect once; None where nobody listens."""
        if self._server is None or self._folder is None:
            return None
        taken = asyncio.get_running_loop().create_future()
        offer = Offer(str(self._folder / "link"), secrets.token_hex(32), *_turns(), taken)
        self._offers[offer.key] = offer
        return offer

    def withdraw(self, offer: Offer) -> None:
        """It was taken up by now, or will not be."""
        self._offers.pop(offer.key, None)
        offer.taken.cancel()
        with contextlib.suppress(OSError):
            os.unlink(offer.turns_path)

    def arrived(self, key: bytes, carrier: SocketCarrier) -> bool:
        """Whether this is the key of an offer that stands; it stands no longer."""
        for offer in self._offers.values():
            if hmac.compare_digest(offer.key.encode(), key) and not offer.taken.done():
                offer.taken.set_result(carrier)
                return True
        return False

    async def close(self) -> None:
        """Leave nothing behind."""
        for offer in list(self._offers.values()):
            self.withdraw(offer)
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._folder is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(self._folder)
            self._folder = None


def _turns() -> tuple[str, Turns | None]:
    """A file for turns; not in a user's own folders, which may be on a network, where locks are slow."""
    try:
        file, path = tempfile.mkstemp(prefix="bokehmount-turns-")  # mode 0600
        os.close(file)
        return path, Turns(path)
    except OSError as error:
        log.warning("bokehmount: kernels write to browsers through this server only: %s", error)
        return "", None
