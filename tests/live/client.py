"""A real Jupyter server in a process of its own, and what browsers, notebooks and administrators do to it.

Nothing here knows how bokehmount works inside: only URLs, subprotocols and messages.  Everything async belongs to the
loop on which it was made; each wait ends with a sentence that says what did not come.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from bokeh.core.serialization import Buffer, Serialized
from bokeh.document import Document
from bokeh.model import Model
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, websocket_connect

__all__ = (
    "VIEW_MIME",
    "AppView",
    "BokehSocket",
    "Browser",
    "Cell",
    "JupyterServer",
    "Notebook",
    "Page",
    "StatusSocket",
    "WebSocketRefused",
    "eventually",
)

VIEW_MIME = "application/vnd.bokehmount.view.v1+json"

OTHER_EXTENSIONS = (
    "jupyter_lsp",
    "jupyter_server_proxy",
    "jupyter_server_terminals",
    "jupyterlab",
    "notebook",
    "notebook_shim",
    "panel.io.jupyter_server_extension",
)

PATIENCE = 15.0
"""Seconds after which something that should happen at once counts as never; generous, for a machine at work."""


async def eventually(what: str, condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until a condition holds, and give its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s for {what}; last seen: {value!r}")
        await asyncio.sleep(0.02)
    return value


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# The server ----------------------------------------------------------------------------------------------------------


class JupyterServer:
    """A `jupyter server` with folders of its own, in which bokehmount is the only extension.

    Args:
        folder: where it keeps its files
        base_url: as a hub hands it over, percent-encoded
        config: more of its configuration, as in ``jupyter_server_config.json``
        token: logs in
    """

    def __init__(
        self, folder: Path, base_url: str = "/", config: dict[str, Any] | None = None, token: str = "live-test-token"
    ) -> None:
        self.folder = folder
        self.base_url = base_url
        self.token = token
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.url = self.origin + base_url
        self.log = folder / "server.log"
        self._config = config or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None, "start() it first"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        root = self.folder / "root"
        config = self.folder / "config"
        for path in (root, config):
            path.mkdir(parents=True, exist_ok=True)
        extensions = {"bokehmount": True, **dict.fromkeys(OTHER_EXTENSIONS, False)}
        settings: dict[str, Any] = {
            "ServerApp": {
                "ip": "127.0.0.1",
                "port": self.port,
                "port_retries": 0,
                "base_url": self.base_url,
                "root_dir": str(root),
                "open_browser": False,
                "allow_root": True,
                "jpserver_extensions": extensions,
            },
            "IdentityProvider": {"token": self.token},
        }
        for name, values in self._config.items():
            settings.setdefault(name, {}).update(values)
        (config / "jupyter_server_config.json").write_text(json.dumps(settings))
        environment = dict(
            os.environ,
            JUPYTER_CONFIG_DIR=str(config),
            JUPYTER_RUNTIME_DIR=str(self.folder / "runtime"),
            JUPYTER_DATA_DIR=str(self.folder / "data"),
            IPYTHONDIR=str(self.folder / "ipython"),
            PYDEVD_DISABLE_FILE_VALIDATION="1",
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyter_server"], env=environment, cwd=root, stdout=log, stderr=log
            )
        end = time.monotonic() + 60
        while True:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server died:\n{self.log.read_text()[-4000:]}")
            with contextlib.suppress(OSError):
                self.api("api")
                return
            if time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"the server does not answer:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def stop(self, seconds: float = 20) -> float:
        """Ask it to end, as a service manager would.

        Returns:
            the seconds that it took
        """
        process = self._process
        assert process is not None, "start() it first"
        begun = time.monotonic()
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the server did not end within {seconds:g} s of SIGTERM") from None
        return time.monotonic() - begun

    def api(self, path: str, method: str = "GET", data: Any = None) -> Any:
        """Ask Jupyter's own REST API, as its administrator; None where it answers nothing."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            headers={"Authorization": f"token {self.token}"},
            data=None if data is None else json.dumps(data).encode(),
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            body = response.read()
        return json.loads(body) if body else None

    def start_kernel(self) -> str:
        """Start a kernel and give its id."""
        return str(self.api("api/kernels", "POST", {"name": "python3"})["id"])

    def end_kernel(self, kernel_id: str) -> None:
        """Shut a kernel down; nothing happens where there is none."""
        with contextlib.suppress(urllib.error.HTTPError):
            self.api(f"api/kernels/{kernel_id}", "DELETE")

    def kernels(self) -> dict[str, Any]:
        """Jupyter's model of each kernel by its id."""
        return {model["id"]: model for model in self.api("api/kernels")}


# A notebook ----------------------------------------------------------------------------------------------------------


class CellFailed(AssertionError):
    """A cell raised that should not have."""


@dataclass
class Cell:
    """One execution of one cell, and what the front end displays below it: also what comes after it has ended."""

    code: str
    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def contents(self, *kinds: str) -> list[dict[str, Any]]:
        """The contents of its messages of these types."""
        return [message["content"] for _, message in self.messages if message["msg_type"] in kinds]

    @property
    def text(self) -> str:
        """What was printed."""
        return "".join(content["text"] for content in self.contents("stream"))

    @property
    def error(self) -> str | None:
        """How it raised."""
        errors = self.contents("error")
        return f"{errors[0]['ename']}: {errors[0]['evalue']}" if errors else None

    @property
    def displays(self) -> list[dict[str, Any]]:
        """The MIME bundles that it displayed."""
        return [content["data"] for content in self.contents("display_data", "execute_result")]

    @property
    def view(self) -> dict[str, Any]:
        """The one bokehmount view that it displayed."""
        (view,) = (bundle[VIEW_MIME] for bundle in self.displays if VIEW_MIME in bundle)
        return dict(view)

    async def end(self, seconds: float = 60) -> Cell:
        """Wait until it has run."""
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError:
            raise AssertionError(f"a cell did not end within {seconds:g} s: {self.code[:200]}") from None
        return self


class Notebook:
    """A notebook front end: runs cells in a kernel and collects what comes of each."""

    def __init__(self, server: JupyterServer, kernel_id: str) -> None:
        self.server = server
        self.kernel_id = kernel_id
        self._cells: dict[str, Cell] = {}
        self._session = uuid.uuid4().hex
        self._socket: WebSocketClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None

    async def open(self) -> Notebook:
        """Connect to the kernel's channels."""
        url = f"{self.server.url}api/kernels/{self.kernel_id}/channels?session_id={self._session}"
        request = HTTPRequest(url.replace("http", "ws", 1), headers={"Authorization": f"token {self.server.token}"})
        self._socket = await websocket_connect(request, max_message_size=2**30)
        self._reader = asyncio.ensure_future(self._read(self._socket))
        return self

    async def close(self) -> None:
        """Leave; the kernel stays."""
        if self._socket is not None and self._reader is not None:
            self._socket.close(1000)
            await _gone(self._socket, self._reader)

    async def _read(self, channels: WebSocketClientConnection) -> None:
        while (text := await channels.read_message()) is not None:
            message = json.loads(text)
            cell = self._cells.get(message["parent_header"].get("msg_id", ""))
            if cell is None:
                continue
            cell.messages.append((time.monotonic(), message))
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                cell.ended.set()
        channels.close()

    async def start(self, code: str) -> Cell:
        """Run a cell, and wait until the kernel has begun with it."""
        cell = await self._submit(code, None)
        await eventually("a cell to begin", lambda: cell.contents("execute_input"))
        return cell

    async def _submit(self, code: str, cell_id: str | None) -> Cell:
        assert self._socket is not None, "open() it first"
        cell = Cell(code)
        message_id = uuid.uuid4().hex
        self._cells[message_id] = cell
        header = {"msg_id": message_id, "msg_type": "execute_request", "session": self._session, "username": "ada"}
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message = {
            "channel": "shell",
            "header": {**header, "version": "5.3", "date": ""},
            "parent_header": {},
            "metadata": {"cellId": cell_id or message_id},
            "content": {**content, "stop_on_error": False},
            "buffers": [],
        }
        await self._socket.write_message(json.dumps(message))
        return cell

    async def run(self, code: str, cell_id: str | None = None, *, fails: bool = False) -> Cell:
        """Run a cell to its end; with the id of another it is the same cell, run again."""
        cell = await (await self._submit(code, cell_id)).end()
        if not fails and cell.error is not None:
            trace = "\n".join(cell.contents("error")[0]["traceback"])
            raise CellFailed(f"{cell.error}\n{trace}")
        return cell

    async def value(self, expression: str) -> Any:
        """The value of an expression in the kernel, which must be plain data."""
        cell = await self.run(f"print('\\n@@' + __import__('json').dumps({expression}))")
        return json.loads(cell.text.rpartition("@@")[2])

    def path_of(self, view: dict[str, Any]) -> str:
        """The path of a displayed view, below the server's base URL."""
        return f"bokeh/kernels/{view['kernel_id']}{view['app']}"


# A browser -----------------------------------------------------------------------------------------------------------


class WebSocketRefused(Exception):
    """The server answered the upgrade with an HTTP status instead."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


@dataclass(frozen=True)
class Page:
    """An answer to a GET of a page."""

    status: int
    url: str
    html: str
    seconds: float

    def data(self, name: str) -> str:
        """An attribute of our script: ``token``, ``state``, ``text`` or ``detail``."""
        found = re.search(rf'data-bokehmount-{name}="([^"]*)"', self.html)
        return unescape(found[1]) if found else ""

    @property
    def token(self) -> str:
        """The session token."""
        return self.data("token")

    @property
    def is_shell(self) -> bool:
        """Whether the app's page is still to come."""
        return self.data("state") in ("busy", "starting")

    @property
    def scripts(self) -> list[str]:
        """The URLs of its scripts."""
        return [unescape(url) for url in re.findall(r'<script[^>]* src="([^"]+)"', self.html)]


class Browser:
    """Logged in by cookie, as a browser is.

    Args:
        server: the server
        cookies: what it has; see `log_in`
    """

    def __init__(self, server: JupyterServer, cookies: dict[str, str] | None = None) -> None:
        self.server = server
        self.cookies = cookies or {}
        self._http = AsyncHTTPClient(force_instance=True, defaults={"connect_timeout": 20, "request_timeout": 60})

    async def log_in(self) -> Browser:
        """Get the cookies of somebody who knows the server's token."""
        self._keep_cookies(await self.fetch("login"))
        response = await self.fetch(f"api/status?token={self.server.token}")
        assert response.code == 200, response.code
        self._keep_cookies(response)
        assert "_xsrf" in self.cookies, f"cookies: {sorted(self.cookies)}"
        return self

    def _keep_cookies(self, response: HTTPResponse) -> None:
        for line in response.headers.get_list("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name.strip()] = value.strip().strip('"')

    def headers(self) -> dict[str, str]:
        """What goes with each request."""
        if not self.cookies:
            return {}
        return {"Cookie": "; ".join(f'{name}="{value}"' for name, value in self.cookies.items())}

    async def fetch(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None, **options: Any
    ) -> HTTPResponse:
        """Ask for something below the base URL, or at an absolute path; errors and redirects are answers too."""
        request = HTTPRequest(
            urljoin(self.server.url, path),
            method=method,
            headers={**self.headers(), **(headers or {})},
            follow_redirects=False,
            **options,
        )
        return await self._http.fetch(request, raise_error=False)

    async def page(self, path: str) -> Page:
        """GET a page."""
        begun = time.monotonic()
        response = await self.fetch(path)
        return Page(response.code, path.partition("?")[0], response.body.decode(), time.monotonic() - begun)

    async def final_page(self, path: str) -> Page:
        """GET a page as a browser ends up with it: where a shell comes first, it waits and loads what comes after."""
        page = await self.page(path)
        for _ in range(20):
            if not page.is_shell:
                return page
            async with self.status(page.url, page.token) as status:
                outcome = await eventually(
                    "an outcome of a shell",
                    lambda: set(status.states) - {"starting", "busy"},
                )
            mark = "&" if "?" in path else "?"
            again = f"{path}{mark}bokeh-token={page.token}" if outcome == {"ready"} else path
            page = await self.page(again)
        raise AssertionError(f"{path} stays a shell: {page.data('text')}")

    async def socket(
        self, path: str, subprotocols: list[str] | None, headers: dict[str, str] | None = None
    ) -> WebSocketClientConnection:
        """Open a WebSocket at ``{path}/ws``.

        Raises:
            WebSocketRefused: the server did not upgrade
        """
        url = urljoin(self.server.url, f"{path}/ws").replace("http", "ws", 1)
        sent = {"Origin": self.server.origin, **self.headers(), **(headers or {})}
        request = HTTPRequest(url, headers=sent, request_timeout=20)
        try:
            connection = await websocket_connect(request, subprotocols=subprotocols, max_message_size=2**30)
        except HTTPClientError as error:
            raise WebSocketRefused(error.code) from None
        # as browsers do; else the fragments of a message wait for the other side's acknowledgement of the first
        if connection.protocol is not None and connection.protocol.stream is not None:
            connection.protocol.stream.set_nodelay(True)
        return connection

    async def delete(self, path: str) -> HTTPResponse:
        """DELETE something, as a front end does."""
        return await self.fetch(path, "DELETE", {"X-XSRFToken": self.cookies["_xsrf"]})

    @contextlib.asynccontextmanager
    async def view(self, path: str) -> AsyncIterator[AppView]:
        """Open an app and look at it, as a page with BokehJS does."""
        view = AppView(self, path)
        try:
            yield await view.open()
        finally:
            await view.close()

    @contextlib.asynccontextmanager
    async def status(self, path: str, token: str) -> AsyncIterator[StatusSocket]:
        """Listen to what is said about a view."""
        status = StatusSocket(await self.socket(path, ["bokehmount", token]))
        try:
            yield status
        finally:
            await status.close()

    @contextlib.asynccontextmanager
    async def watched(self, path: str) -> AsyncIterator[tuple[AppView, StatusSocket]]:
        """Look at an app and listen to what is said about this view."""
        async with self.view(path) as view, self.status(view.path, view.page.token) as status:
            yield view, status


async def _gone(connection: WebSocketClientConnection, reader: asyncio.Task[None], seconds: float = 2) -> None:
    """Wait until a WebSocket is closed on both sides, or cut it."""
    with contextlib.suppress(TimeoutError, Exception):
        await asyncio.wait_for(asyncio.shield(reader), seconds)
    if not reader.done():
        if connection.protocol is not None and connection.protocol.stream is not None:
            connection.protocol.stream.close()
        await asyncio.wait([reader], timeout=2)
    if not reader.cancelled() and reader.done():
        reader.exception()  # a message that could not be read was reported where it was waited for


class StatusSocket:
    """What the server says of a view, in words."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self._connection = connection
        self.messages: list[tuple[float, dict[str, Any]]] = []
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        while (text := await self._connection.read_message()) is not None:
            self.messages.append((time.monotonic(), json.loads(text)))
        self._connection.close()

    @property
    def states(self) -> list[str]:
        """The states that it told of."""
        return [message["state"] for _, message in self.messages]

    @property
    def output(self) -> str:
        """What callbacks printed."""
        return "".join(message["text"] for _, message in self.messages if message["state"] == "output")

    async def told(self, state: str, seconds: float = PATIENCE, containing: str = "") -> dict[str, Any]:
        """Wait for a message of this state."""

        def found() -> dict[str, Any] | None:
            for _, message in self.messages:
                if message["state"] == state and containing in message["text"]:
                    return message
            return None

        message: dict[str, Any] = await eventually(
            f"status {state!r} {containing!r}, told {self.messages}", found, seconds
        )
        return message

    async def closed(self, seconds: float = PATIENCE) -> tuple[int | None, str | None]:
        """Wait until the server closes it; the code and the sentence."""
        await asyncio.wait_for(asyncio.shield(self._reader), seconds)
        return self._connection.close_code, self._connection.close_reason

    async def close(self) -> None:
        """Leave."""
        self._connection.close(1000)
        await _gone(self._connection, self._reader)


@dataclass(frozen=True)
class BokehMessage:
    """A whole message of Bokeh's protocol, and when it came."""

    time: float
    header: dict[str, Any]
    content: Any
    buffers: tuple[Buffer, ...]

    @property
    def kind(self) -> str:
        """Such as "PATCH-DOC"."""
        return str(self.header["msgtype"])


class BokehSocket:
    """Speaks Bokeh's protocol and keeps all that came.

    Args:
        connection: a WebSocket with the subprotocol ``bokeh``
        heard: called with each message
    """

    def __init__(
        self, connection: WebSocketClientConnection, heard: Callable[[BokehMessage], None] = lambda message: None
    ) -> None:
        self.connection = connection
        self.messages: list[BokehMessage] = []
        self._heard = heard
        self._reader = asyncio.ensure_future(self._read())
        self._pongs: list[float] = []
        connection.on_pong = lambda data: self._pongs.append(time.monotonic())  # type: ignore[method-assign]

    async def _read(self) -> None:
        frames: list[str | bytes] = []
        needed = 3
        while (frame := await self.connection.read_message()) is not None:
            frames.append(frame)
            if len(frames) == 1:
                needed = 3 + 2 * json.loads(frame).get("num_buffers", 0)
            if len(frames) == needed:
                self._take(frames)
                frames, needed = [], 3
        self.connection.close()

    def _take(self, frames: list[str | bytes]) -> None:
        pairs = zip(frames[3::2], frames[4::2], strict=True)
        buffers = tuple(Buffer(json.loads(head)["id"], data) for head, data in pairs)  # type: ignore[arg-type]
        message = BokehMessage(time.monotonic(), json.loads(frames[0]), json.loads(frames[2]), buffers)
        self.messages.append(message)
        self._heard(message)

    async def send(self, kind: str, content: Any) -> str:
        """Send a message and give its id."""
        message_id = uuid.uuid4().hex
        for fragment in ({"msgid": message_id, "msgtype": kind}, {}, content):
            await self.connection.write_message(json.dumps(fragment))
        return message_id

    async def reply(self, message_id: str, seconds: float = PATIENCE) -> BokehMessage:
        """Wait for the answer to a message."""

        def found() -> BokehMessage | None:
            return next((message for message in self.messages if message.header.get("reqid") == message_id), None)

        await eventually(f"a reply to {message_id}", lambda: found() or self._reader.done(), seconds)
        answer = found()
        assert answer is not None, (
            f"closed instead of a reply: {self.connection.close_code} {self.connection.close_reason}"
        )
        return answer

    async def ask(self, kind: str, content: Any) -> BokehMessage:
        """Send a message and wait for the answer."""
        return await self.reply(await self.send(kind, content))

    async def came(self, kind: str, count: int = 1) -> BokehMessage:
        """Wait for the so-manieth message of a kind."""
        await eventually(f"{count} {kind}", lambda: len([m for m in self.messages if m.kind == kind]) >= count)
        return [message for message in self.messages if message.kind == kind][count - 1]

    async def ping(self) -> float:
        """The seconds until the server answers a ping."""
        count, begun = len(self._pongs), time.monotonic()
        self.connection.ping(b"are you there")
        await eventually("a pong", lambda: len(self._pongs) > count)
        return self._pongs[-1] - begun

    @property
    def is_open(self) -> bool:
        """Whether the server has not closed it."""
        return not self._reader.done()

    async def closed(self, seconds: float = PATIENCE) -> tuple[int | None, str]:
        """Wait until the server closes it; the code and the sentence."""
        try:
            await asyncio.wait_for(asyncio.shield(self._reader), seconds)
        except TimeoutError:
            raise AssertionError(f"the server did not close a Bokeh socket within {seconds:g} s") from None
        return self.connection.close_code, self.connection.close_reason or ""

    async def close(self, code: int = 1000) -> None:
        """Leave."""
        self.connection.close(code)
        await _gone(self.connection, self._reader)

    async def cut(self) -> None:
        """Vanish without a goodbye, as a laptop does that is closed."""
        await _gone(self.connection, self._reader, seconds=0)


class AppView:
    """A browser tab or an output cell that shows an app: the page, its WebSocket, and a copy of the Document.

    Args:
        browser: whose tab it is
        path: the app's page below the base URL
    """

    def __init__(self, browser: Browser, path: str) -> None:
        self.browser = browser
        self.path = path
        self.document = Document()
        self.page = Page(0, path, "", 0.0)
        self._socket: BokehSocket | None = None

    @property
    def socket(self) -> BokehSocket:
        """Its WebSocket."""
        assert self._socket is not None, "open() it first"
        return self._socket

    async def open(self) -> AppView:
        """Load the page, through the shell where there is one, connect and draw."""
        self.page = await self.browser.final_page(self.path)
        assert self.page.status == 200, f"HTTP {self.page.status}: {self.page.data('text')} {self.page.data('detail')}"
        return await self.connect()

    async def connect(self) -> AppView:
        """Open the WebSocket of a page that is there, and draw; also once more."""
        if self._socket is not None:
            await self._socket.close()
        path = self.path.partition("?")[0]
        connection = await self.browser.socket(path, ["bokeh", self.page.token])
        self._socket = BokehSocket(connection, self._heard)
        await self._socket.came("ACK")
        reply = await self._socket.ask("PULL-DOC-REQ", {})
        assert reply.kind == "PULL-DOC-REPLY", reply
        return self

    def _heard(self, message: BokehMessage) -> None:
        if message.kind == "PULL-DOC-REPLY":
            self.document = Document.from_json(message.content["doc"])
        elif message.kind == "PATCH-DOC":
            self.document.apply_json_patch(Serialized(message.content, list(message.buffers)))

    def __getitem__(self, name: str) -> Any:
        """The model of this name, as the view has it now."""
        model = self.document.get_model_by_name(name)
        assert model is not None, f"no model is called {name!r}"
        return model

    async def set(self, name: str, attr: str, value: Any) -> BokehMessage:
        """Do what a user does to a widget, and wait for the kernel's word that it is done."""
        return await self.socket.reply(await self.begin_set(name, attr, value))

    async def begin_set(self, name: str, attr: str, value: Any) -> str:
        """The same without waiting; gives the message's id."""
        model: Model = self[name]
        event = {"kind": "ModelChanged", "model": {"id": model.id}, "attr": attr, "new": value}
        message_id = await self.socket.send("PATCH-DOC", {"events": [event]})
        setattr(model, attr, value)
        return message_id

    async def shows(self, what: str, condition: Callable[[AppView], Any], seconds: float = PATIENCE) -> Any:
        """Wait until the view's copy of the Document is like this."""
        return await eventually(what, lambda: condition(self), seconds)

    async def close(self) -> None:
        """Close the tab."""
        if self._socket is not None:
            await self._socket.close()


@contextlib.contextmanager
def running(server: JupyterServer) -> Iterator[JupyterServer]:
    """A server that is started here and ended after."""
    try:
        server.start()
        yield server
    finally:
        if server._process is not None and server._process.poll() is None:
            server.stop()
