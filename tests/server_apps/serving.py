"""A server of ours on a thread of its own, and clients that look at it from outside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import orjson
from bokeh.client import pull_session
from bokeh.client.session import ClientSession
from bokeh.document import Document
from bokeh.document.events import MessageSentEvent
from bokeh.events import ModelEvent
from tornado.ioloop import IOLoop
from tornado.platform.asyncio import BaseAsyncIOLoop
from tornado.websocket import WebSocketClientConnection, websocket_connect

from bokehmount_server.server import Server

from ..kinds import the

T = TypeVar("T")


class Running:
    """A server that runs, and how to do something on its thread."""

    def __init__(self, server: Server, io_loop: BaseAsyncIOLoop) -> None:
        self.server = server
        self.io_loop = io_loop
        self.url = server.url

    @property
    def ws_url(self) -> str:
        return "ws" + self.url.removeprefix("http")

    def do(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function, which may be async, on the server's thread, and give what it returns."""

        async def call() -> Any:
            result = function(*args)
            return await result if asyncio.iscoroutine(result) or isinstance(result, asyncio.Future) else result

        return asyncio.run_coroutine_threadsafe(call(), self.io_loop.asyncio_loop).result(60)

    def session(self, path: str = "/") -> Any:
        """The only session of an app."""
        (session,) = self.server.get_sessions(path)
        return session

    def pull(self, path: str = "", **kwargs: Any) -> ClientSession:
        return pull_session(url=self.url + path, **kwargs)


@contextmanager
def serving(applications: Any, **kwargs: Any) -> Iterator[Running]:
    """A server on a thread; on the way out it is stopped in good order."""
    ready = threading.Event()
    found: list[Any] = []

    def run() -> None:
        async def main() -> None:
            over = asyncio.Event()
            try:
                server = Server(applications, io_loop=IOLoop.current(), **{"port": 0, **kwargs})
                server.start()
            except BaseException as error:
                found.append(error)
                ready.set()
                return
            found.extend((server, IOLoop.current(), over))
            ready.set()
            await over.wait()
            if not server._stopped:
                server.stop()
            await server.closed()

        asyncio.run(main())

    thread = threading.Thread(target=run, name="server under test")
    thread.start()
    assert ready.wait(60)
    if isinstance(found[0], BaseException):
        thread.join()
        raise found[0]
    server, io_loop, over = found
    try:
        yield Running(server, io_loop)
    finally:
        io_loop.asyncio_loop.call_soon_threadsafe(over.set)
        thread.join(30)
        assert not thread.is_alive(), "the server did not stop"


def until(client: ClientSession, condition: Callable[[], T], what: str = "the condition") -> T:
    """Let a client take what it was sent until a condition holds."""
    client._connection._loop_until(lambda: bool(condition()) or not client.connected)
    value = condition()
    assert value, f"the connection was lost before {what} held"
    return value


def send_event(client: ClientSession, event: ModelEvent) -> None:
    """Send what a browser does when something was clicked; a stock Python client has no way to."""
    document = the(Document, client.document)
    document.models.flush_synced()  # the server knows all its models
    message = MessageSentEvent(document, "bokeh_event", event)
    connection = client._connection
    connection._loop.run_sync(lambda: connection.send_message(connection._protocol.create("PATCH-DOC", [message])))


async def wire_client(running: Running, path: str, token: str, **kwargs: Any) -> WebSocketClientConnection:
    """A WebSocket that speaks Bokeh's subprotocol, by hand."""
    return await websocket_connect(f"{running.ws_url}{path}/ws", subprotocols=["bokeh", token], **kwargs)


async def read_message(socket: WebSocketClientConnection) -> list[Any] | None:
    """A whole message: header, metadata and content as data; None where the socket was closed."""
    parts: list[Any] = []
    for _ in range(3):
        part = await asyncio.wait_for(socket.read_message(), 20)
        if part is None:
            return None
        parts.append(orjson.loads(part))
    for _ in range(2 * parts[0].get("num_buffers", 0)):
        parts.append(await socket.read_message())
    return parts
