"""The browser of the benchmark: page, WebSocket, PULL-DOC, and then changes to and fro."""

from __future__ import annotations

import asyncio
import html
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urljoin

import orjson

from benchmarks import http, websocket
from benchmarks.protocol import Assembler, Columns, Message, Replica, decode, message_fragments, named_models
from benchmarks.shells import page_behind

TOKEN = re.compile(r'"token":\s*"([^"]+)"')
PAGE_PATIENCE = 30.0


@dataclass(frozen=True)
class Endpoint:
    """Where one app is served, and what each request must carry to be let in."""

    page_url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Whether the server doesn't know the path that it is proxied below, so that its root is the proxy's.
    is_proxied_unawares: bool = False

    @property
    def websocket_url(self) -> str:
        path, _, query = self.page_url.replace("http://", "ws://", 1).partition("?")
        return f"{path}/ws" + (f"?{query}" if query else "")

    def resolve(self, reference: str) -> str:
        """The URL of a reference in the page."""
        return urljoin(self.page_url, reference.lstrip("/") if self.is_proxied_unawares else reference)


@dataclass
class Timings:
    """How long the parts of a new session took, in s."""

    page: float = 0.0
    ack: float = 0.0
    pull: float = 0.0

    @property
    def total(self) -> float:
        return self.page + self.ack + self.pull


class Disconnected(ConnectionError):
    """The server closed the connection; ``code`` is its close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the server closed the connection with {code} {reason}")
        self.code = code


class Silence(TimeoutError):
    """Nothing came for as long as the connection's patience."""


class Connection:
    """One WebSocket that speaks Bokeh's protocol: a queue of whole messages in, single writes out."""

    #: How long ``next`` waits for a message, in s.
    patience = 15.0

    def __init__(self) -> None:
        self._assembler = Assembler()
        self._messages: deque[Message] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._disconnected: Disconnected | None = None
        self._msgids = count(1)
        self.socket: websocket.WebSocket

    @classmethod
    async def open(cls, endpoint: Endpoint, token: str) -> Connection:
        """Returns when the server has sent its ACK."""
        self = cls()
        self.socket = await websocket.connect(
            endpoint.websocket_url, self, subprotocols=("bokeh", token), headers=endpoint.headers
        )
        await self.next_of_type("ACK")
        return self

    def received(self, payload: str | bytes, now: float) -> None:
        message = self._assembler.feed(payload, now)
        if message is not None:
            self._messages.append(message)
            self._wake()

    def closed(self, code: int, reason: str) -> None:
        self._disconnected = Disconnected(code, reason)
        self._wake()

    def send(self, msgtype: str, content: Any) -> float:
        """Send a message; the clock (s) when it was written."""
        parts = message_fragments(str(next(self._msgids)), msgtype, content)
        frames = [websocket.frame(websocket.TEXT, part) for part in parts]
        now = time.perf_counter()
        self.socket.write(*frames)
        return now

    async def next(self) -> Message:
        while not self._messages:
            if self._disconnected is not None:
                raise self._disconnected
            await self._wait_for_arrival()
        message = self._messages.popleft()
        if message.msgtype == "ERROR":
            raise ConnectionError(f"the server sent an ERROR: {message.content_json[:500]}")
        return message

    async def next_of_type(self, msgtype: str) -> Message:
        while (message := await self.next()).msgtype != msgtype:
            pass
        return message

    async def close(self) -> None:
        await self.socket.close()

    async def _wait_for_arrival(self) -> None:
        loop = asyncio.get_running_loop()
        self._arrival = loop.create_future()
        alarm = loop.call_later(self.patience, self._arrival.set_exception, Silence(f"silence for {self.patience} s"))
        try:
            await self._arrival
        finally:
            alarm.cancel()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)


class PatchCounter:
    """A listener that only counts patches, for when many views are to cost the client little; see ``send_lines``."""

    def __init__(self) -> None:
        self.patches = 0
        self.ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def received(self, payload: str | bytes, now: float) -> None:
        if isinstance(payload, bytes):
            return
        if '"PATCH-DOC"' in payload:
            self.patches += 1
        elif '"ColumnsStreamed"' in payload:
            self.ended.set_result(now)

    def closed(self, code: int, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(Disconnected(code, reason))


class View:
    """One connection and its replica of the Document."""

    def __init__(self, connection: Connection, token: str) -> None:
        self.connection = connection
        self.token = token
        self.replica = Replica()
        self._ids: dict[str, str] = {}
        self._orders = count(1)

    async def pull(self) -> None:
        """Ask for the Document and take over its columns."""
        self.connection.send("PULL-DOC-REQ", {})
        reply = await self.connection.next_of_type("PULL-DOC-REPLY")
        for name, model in named_models(reply.content["doc"]["roots"]).items():
            self._ids[name] = model["id"]
            if "data" in model["attributes"]:
                self.replica.sources[model["id"]] = decode(model["attributes"]["data"], reply.buffers)

    def columns(self, source: str) -> Columns:
        return self.replica.sources[self._ids[source]]

    def set_value(self, model: str, value: object) -> float:
        """Change the ``value`` of a widget, as a hand on it would; the clock (s) when that was sent."""
        event = {"kind": "ModelChanged", "model": {"id": self._ids[model]}, "attr": "value", "new": value}
        return self.connection.send("PATCH-DOC", {"events": [event]})

    def order(self, order: str, **arguments: object) -> None:
        """Have the app do one of ``benchmarks.app.ORDERS``."""
        number = next(self._orders)  # so that the same order twice is a change
        self.set_value("orders", orjson.dumps({"order": order, "number": number, **arguments}).decode())

    async def next_change(self, source: str) -> Message:
        """The next PATCH-DOC that changes that source; it has been applied to the replica."""
        while True:
            message = await self.connection.next_of_type("PATCH-DOC")
            if self._ids[source] in self.replica.apply(message):
                return message

    async def changes_until(self, source: str, done: Callable[[Columns], bool]) -> tuple[int, Message]:
        """How many patches changed that source until it was as wanted, and the last of them."""
        patches = 0
        while True:
            message = await self.next_change(source)
            patches += 1
            if done(self.columns(source)):
                return patches, message

    async def close(self) -> None:
        await self.connection.close()


async def fetch_page(endpoint: Endpoint) -> str:
    """The app's page; behind a shell of ours, wait for it."""
    url: str | None = endpoint.page_url
    deadline = time.monotonic() + PAGE_PATIENCE
    while url is not None and time.monotonic() < deadline:
        page = html.unescape((await http.get(url, headers=endpoint.headers)).text)
        if TOKEN.search(page):
            return page
        url = await page_behind(page, endpoint.page_url, endpoint.websocket_url, endpoint.headers, PAGE_PATIENCE)
    raise LookupError(f"no page of an app at {endpoint.page_url}: {page[:500]!r}")


async def fetch_token(endpoint: Endpoint) -> str:
    """The token in a new session's page."""
    match = TOKEN.search(await fetch_page(endpoint))
    assert match is not None, "fetch_page returns no other pages"
    return match[1]


async def join(endpoint: Endpoint, token: str, timings: Timings | None = None) -> View:
    """One more view of the token's session."""
    timings = timings or Timings()
    start = time.perf_counter()
    connection = await Connection.open(endpoint, token)
    acknowledged = time.perf_counter()
    view = View(connection, token)
    await view.pull()
    timings.ack, timings.pull = acknowledged - start, time.perf_counter() - acknowledged
    return view


async def open_session(endpoint: Endpoint, timings: Timings | None = None) -> View:
    """What a browser does for a new page: GET, WebSocket, PULL-DOC."""
    timings = timings or Timings()
    start = time.perf_counter()
    token = await fetch_token(endpoint)
    timings.page = time.perf_counter() - start
    return await join(endpoint, token, timings)
