"""A WebSocket client with as little in it as a clock wants beside it: one protocol, TCP_NODELAY, no compression.

It trusts the server (this is a benchmark on loopback) and checks only what a wrong measurement could come from.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
RECEIVE_BUFFER = 1 << 22
MAX_HEAD = 1 << 16


class HandshakeRefused(ConnectionError):
    """The server answered the upgrade with something else than 101."""


class Listener(Protocol):
    """Whoever takes what arrives; both are called from the loop, as soon as the bytes are there.

    ``now`` is the clock (s) at the arrival of a payload's last byte: what the client does with it afterwards is the
    client's own affair.
    """

    def received(self, payload: str | bytes, now: float) -> None: ...

    def closed(self, code: int, reason: str) -> None: ...


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole frame.  A client must mask, but the mask may be zero, which leaves the payload as it is."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


class FrameReader:
    """Bytes in, (opcode, payload) out; the pieces of a fragmented message are joined.

    Ask for a ``buffer``, fill some of it, and say how much with ``filled``.
    """

    def __init__(self, deliver: Callable[[int, bytes], None]) -> None:
        self._deliver = deliver
        self._bytes = bytearray(RECEIVE_BUFFER)
        self._view = memoryview(self._bytes)
        self._start = self._end = 0
        self._needed = 2
        self._started: int | None = None
        self._pieces: list[bytes] = []

    def buffer(self) -> memoryview:
        """Where the next bytes go; never empty."""
        if self._start == self._end:
            self._start = self._end = 0
        if self._end == len(self._bytes) or self._start + self._needed > len(self._bytes):
            rest = bytes(self._view[self._start : self._end])
            if self._needed > len(self._bytes):
                self._bytes = bytearray(2 * self._needed)
                self._view = memoryview(self._bytes)
            self._view[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        return self._view[self._end :]

    def filled(self, count: int) -> None:
        """So many bytes were put there."""
        self._end += count
        while self._end - self._start >= self._needed and (size := self._take_frame(self._start)):
            self._start += size

    def _take_frame(self, at: int) -> int:
        """The size of the frame that begins there, in bytes, or 0 if it isn't all there yet."""
        available = self._end - at
        self._needed = 2
        first, size, head = self._bytes[at], self._bytes[at + 1], 2
        if size >= 126:
            head = 4 if size == 126 else 10
            if available < head:
                self._needed = head
                return 0
            size = int.from_bytes(self._view[at + 2 : at + head], "big")
        if available < head + size:
            self._needed = head + size
            return 0
        self._take_payload(bool(first & 0x80), first & 0x0F, bytes(self._view[at + head : at + head + size]))
        return head + size

    def _take_payload(self, final: bool, opcode: int, payload: bytes) -> None:
        if opcode >= 0x8 or (final and opcode):
            self._deliver(opcode, payload)
            return
        self._started = opcode or self._started
        self._pieces.append(payload)
        if final and self._started:
            whole, self._pieces = b"".join(self._pieces), []
            self._deliver(self._started, whole)


class WebSocket(asyncio.BufferedProtocol):
    """One connection.  Made by ``connect``; whoever makes one must ``close`` it."""

    def __init__(self, request: bytes, listener: Listener) -> None:
        self._request = request
        self.listener = listener
        self._head_view = memoryview(bytearray(MAX_HEAD))
        self._head_size = 0
        self._reader = FrameReader(self._take)
        self._pongs: dict[bytes, asyncio.Future[float]] = {}
        self._transport: asyncio.Transport | None = None
        self._closing = (1006, "")
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self._lost: asyncio.Future[None] = loop.create_future()
        self.bytes_received = 0
        self._now = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.buffer() if self.opened.done() else self._head_view[self._head_size :]

    def buffer_updated(self, nbytes: int) -> None:
        self._now = time.perf_counter()
        self.bytes_received += nbytes
        if self.opened.done():
            self._reader.filled(nbytes)
        else:
            self._read_head(nbytes)

    def connection_lost(self, exc: Exception | None) -> None:
        gone = ConnectionError(f"the WebSocket closed with {self._closing[0]} {self._closing[1]}")
        if not self.opened.done():
            self.opened.set_exception(gone)
        for pong in self._pongs.values():
            if not pong.done():
                pong.set_exception(gone)
        self.listener.closed(*self._closing)
        self._lost.set_result(None)

    def write(self, *frames: bytes) -> None:
        """All the frames in one write."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError(f"the WebSocket is closed ({self._closing[0]} {self._closing[1]})")
        self._transport.write(b"".join(frames))

    async def ping(self) -> float:
        """How long the server's pong takes, in s."""
        payload = os.urandom(8)
        pong = self._pongs[payload] = asyncio.get_running_loop().create_future()
        start = time.perf_counter()
        self.write(frame(PING, payload))
        arrived: float = await pong
        return arrived - start

    def stop_reading(self) -> None:
        assert self._transport is not None
        self._transport.pause_reading()

    def read_again(self) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.resume_reading()

    async def close(self) -> None:
        if self._transport is None:
            return
        if not self._transport.is_closing():
            self._transport.write(frame(CLOSE, struct.pack("!H", 1000)))
            self._transport.close()
        try:
            await asyncio.wait_for(asyncio.shield(self._lost), timeout=2)
        except TimeoutError:
            self._transport.abort()

    def _read_head(self, count: int) -> None:
        self._head_size += count
        head = bytes(self._head_view[: self._head_size])
        end = head.find(b"\r\n\r\n")
        if end < 0 or self._transport is None:
            return
        status = head.split(b"\r\n", 1)[0].decode("latin-1")
        if " 101 " not in f"{status} ":
            self.opened.set_exception(HandshakeRefused(status))
            self._transport.close()
            return
        self.opened.set_result(None)
        if rest := head[end + 4 :]:
            self._reader.buffer()[: len(rest)] = rest
            self._reader.filled(len(rest))

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self.listener.received(payload.decode(), self._now)
        elif opcode == BINARY:
            self.listener.received(payload, self._now)
        elif opcode == PING:
            self.write(frame(PONG, payload))
        elif opcode == PONG:
            pong = self._pongs.pop(payload, None)
            if pong is not None and not pong.done():
                pong.set_result(time.perf_counter())
        elif opcode == CLOSE:
            self._closing = (int.from_bytes(payload[:2], "big") or 1005, payload[2:].decode(errors="replace"))
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(frame(CLOSE, payload[:2]))
                self._transport.close()


async def connect(
    url: str, listener: Listener, *, subprotocols: Sequence[str] = (), headers: Mapping[str, str] | None = None
) -> WebSocket:
    """Open a ``ws://`` URL; returns when the server has upgraded, raises HandshakeRefused when it won't."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    fields = {
        "Host": parts.netloc,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **(headers or {}),
    }
    if subprotocols:
        fields["Sec-WebSocket-Protocol"] = ", ".join(subprotocols)
    request = f"GET {target} HTTP/1.1\r\n" + "".join(f"{key}: {value}\r\n" for key, value in fields.items()) + "\r\n"
    loop = asyncio.get_running_loop()
    _, websocket = await loop.create_connection(
        lambda: WebSocket(request.encode("latin-1"), listener), parts.hostname or "", parts.port or 80
    )
    try:
        await websocket.opened
    except BaseException:
        await websocket.close()
        raise
    return websocket
