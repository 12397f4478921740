"""Somebody at a browser: asks a Jupyter server for pages and files and opens WebSockets, with cookies or a token."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Final
from urllib.parse import urljoin, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

from .background import Background

__all__ = ("Closed", "Socket", "Visitor")

MOST: Final = 2**30
PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Closed:
    """The last thing that comes out of a WebSocket."""

    code: int | None
    reason: str


class Socket:
    """An open WebSocket.

    Args:
        background: where it runs
        connection: it itself
    """

    def __init__(self, background: Background, connection: WebSocketClientConnection) -> None:
        self._background = background
        self._connection = connection
        self._arrived: queue.SimpleQueue[str | bytes | Closed] = queue.SimpleQueue()
        self.closed: Closed | None = None
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        while (frame := await self._connection.read_message()) is not None:
            self._arrived.put(frame)
        self._arrived.put(Closed(self._connection.close_code, self._connection.close_reason or ""))
        self._connection.close()  # or Tornado warns that nobody did

    def send(self, *frames: str | bytes) -> None:
        """Send frames; nothing happens where the WebSocket is closed, which `receive` tells."""
        with suppress(WebSocketClosedError):
            self._background.run(self._send(frames), PATIENCE)

    async def _send(self, frames: Sequence[str | bytes]) -> None:
        for frame in frames:
            await self._connection.write_message(frame, binary=isinstance(frame, bytes))

    def receive(self, timeout: float) -> str | bytes | Closed | None:
        """The next frame, or how the WebSocket was closed; None if nothing came in so many seconds."""
        if self.closed is not None:
            return self.closed
        try:
            frame = self._arrived.get(timeout=max(timeout, 0.0)) if timeout > 0 else self._arrived.get_nowait()
        except queue.Empty:
            return None
        if isinstance(frame, Closed):
            self.closed = frame
        return frame

    def close(self, code: int = 1000) -> None:
        """Say goodbye, as a browser does that leaves a page."""
        self._background.run(self._close(code), PATIENCE)

    async def _close(self, code: int) -> None:
        self._connection.close(code)
        await asyncio.wait([self._reading], timeout=5)

    def drop(self) -> None:
        """Cut the connection without a word."""
        self._background.run(self._drop(), PATIENCE)

    async def _drop(self) -> None:
        stream = self._connection.stream
        if stream is not None:
            stream.close()
        await asyncio.wait([self._reading], timeout=5)


class Visitor:
    """Asks one server.

    Args:
        background: where this runs
        base: the server's URL with its base URL, ending with a slash
        headers: sent with each request, such as ``{"Authorization": "token …"}``
        certificates: a file with those of the authorities to trust, where the server has one of its own making
    """

    def __init__(
        self,
        background: Background,
        base: str,
        headers: Mapping[str, str] | None = None,
        certificates: str | None = None,
    ) -> None:
        self._background = background
        self.base = base
        self.headers = dict(headers or {})
        self._certificates = certificates
        self.cookies: dict[str, str] = {}

    def url(self, path: str) -> str:
        """The whole URL of a path below the base URL, or of one that begins with a slash."""
        return urljoin(self.base, path)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> HTTPResponse:
        """Ask for something, whatever the answer is; cookies that come with it are kept, redirects are not followed."""
        return self.ask("GET", path, headers)

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: str | None = None
    ) -> HTTPResponse:
        """The same with any method."""
        response = self._background.run(self._ask(method, path, headers or {}, body), PATIENCE)
        for text in response.headers.get_list("Set-Cookie"):
            for name, morsel in SimpleCookie(text).items():
                self.cookies[name] = morsel.value
        return response

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], body: str | None) -> HTTPResponse:
        client = AsyncHTTPClient(force_instance=True, defaults={"max_body_size": MOST})
        try:
            request = HTTPRequest(
                self.url(path),
                method,
                {**self._identity(), **headers},
                body,
                follow_redirects=False,
                request_timeout=PATIENCE,
                allow_nonstandard_methods=True,
                ca_certs=self._certificates,
            )
            return await client.fetch(request, raise_error=False)
        finally:
            client.close()

    def open(self, path: str, subprotocols: Sequence[str] = (), headers: Mapping[str, str] | None = None) -> Socket:
        """Open a WebSocket, from a page of the same origin.

        Raises:
            tornado.httpclient.HTTPClientError: the server does not want it
        """
        return self._background.run(self._open(path, subprotocols, headers or {}), PATIENCE)

    async def _open(self, path: str, subprotocols: Sequence[str], headers: Mapping[str, str]) -> Socket:
        url = urlsplit(self.url(path))
        origin = f"{url.scheme}://{url.netloc}"
        request = HTTPRequest(
            url._replace(scheme="wss" if url.scheme == "https" else "ws").geturl(),
            headers={"Origin": origin, **self._identity(), **headers},
            request_timeout=PATIENCE,
            ca_certs=self._certificates,
        )
        connection = await websocket_connect(request, subprotocols=list(subprotocols), max_message_size=MOST)
        return Socket(self._background, connection)

    def _identity(self) -> dict[str, str]:
        if not self.cookies:
            return dict(self.headers)
        return {**self.headers, "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
