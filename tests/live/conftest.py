"""Real Jupyter servers and kernels for tests, and the people who use them."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from .client import AppView, Browser, JupyterServer, Notebook, eventually, running

BASE_URL = "/user/a@b%2B%28x%29/"
"""As JupyterHub hands over the name ``a@b+(x)``."""

SLIDERS = """\
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, Slider
from bokeh.plotting import figure
import numpy as np
def sliders(doc):
    x = np.linspace(0, 10, 50)
    source = ColumnDataSource(dict(x=x, y=np.sin(x)), name="source")
    plot = figure(name="plot", height=200)
    plot.line("x", "y", source=source)
    slider = Slider(start=0, end=10, value=1, name="slider")
    def moved(attr, old, new):
        source.data = dict(x=x, y=np.sin(new * x))
        print("moved to", new)
    slider.on_change("value", moved)
    doc.add_root(column(slider, plot))
"""
"""The app that most tests show: a slider whose callback changes a plot's data."""

SETUP = "%load_ext bokehmount\nfrom bokehmount import show\n"

SIZE_LIMIT = 2**20
"""Bytes of the largest message that a browser may send; below the default, so that tests need not send so much."""

PORTAL = "portal.example.org"
"""A host whose pages may embed apps."""

SHORT_LIVED = {"BokehMount": {"token_lifetime": 2, "linger": 0.5, "ping_interval": 1.0, "local_sockets": False}}
"""A server whose tokens and sessions end soon, and whose links stay on the kernels' control channels."""

MOST_SECONDS = 90

SIGNS_OF_TROUBLE = (
    "Uncaught exception",
    "never retrieved",
    "Exception in callback",
    "bokehmount: a WebSocket failed",
    "bokehmount: could not answer",
    "the server sent something else",
    "sent something else than a link message",
)
"""What a log holds when one of us, not a user, made a mistake."""


@pytest.fixture(autouse=True)
def runner() -> Iterator[asyncio.Runner]:
    """The loop of a test and of what was set up for it."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run async tests, each bounded."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def bounded() -> None:
        async with asyncio.timeout(MOST_SECONDS):
            await pyfuncitem.obj(**arguments)

    loop: Any = pyfuncitem.funcargs["runner"]
    loop.run(bounded())
    return True


class Servers:
    """The servers of this test run: one for each configuration that a module asks for."""

    def __init__(self, new_folder: Callable[[str], Path]) -> None:
        self._new_folder = new_folder
        self._running: dict[str, JupyterServer] = {}
        self._kernels: dict[str, str] = {}
        self._stack = ExitStack()

    def get(self, config: dict[str, Any]) -> JupyterServer:
        """The server with this configuration."""
        key = json.dumps(config, sort_keys=True)
        if key not in self._running:
            server = JupyterServer(self._new_folder("jupyter"), BASE_URL, config)
            self._running[key] = self._stack.enter_context(running(server))
        return self._running[key]

    def kernel(self, server: JupyterServer) -> str:
        """A server's kernel that many tests share."""
        if server.url not in self._kernels:
            self._kernels[server.url] = server.start_kernel()
        return self._kernels[server.url]

    def close(self) -> None:
        """End them all."""
        self._stack.close()
        for server in self._running.values():
            log = server.log.read_text()
            for sign in SIGNS_OF_TROUBLE:
                assert sign not in log, f"the server or a kernel logged {sign!r}:\n{_around(log, sign)}"


def _around(log: str, sign: str) -> str:
    place = log.index(sign)
    return log[max(0, place - 500) : place + 3000]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The servers of this test run."""
    servers = Servers(tmp_path_factory.mktemp)
    yield servers
    servers.close()


@pytest.fixture(scope="module")
def server_config() -> dict[str, Any]:
    """The server's configuration; a module of tests may have its own."""
    return {"BokehMount": {"max_message_size": SIZE_LIMIT, "extra_websocket_origins": [PORTAL]}}


@pytest.fixture(scope="module")
def server(servers: Servers, server_config: dict[str, Any]) -> JupyterServer:
    """A running server."""
    return servers.get(server_config)


@pytest.fixture(scope="module")
def shared_kernel(servers: Servers, server: JupyterServer) -> str:
    """A kernel for tests that leave it as they found it."""
    return servers.kernel(server)


@pytest.fixture
def browser(runner: asyncio.Runner, server: JupyterServer) -> Browser:
    """Somebody who is logged in."""
    return runner.run(Browser(server).log_in())


@pytest.fixture
def notebook(runner: asyncio.Runner, server: JupyterServer, shared_kernel: str) -> Iterator[Notebook]:
    """A notebook of the module's kernel, bokehmount loaded and the sliders defined; its apps end with the test."""
    notebook = runner.run(Notebook(server, shared_kernel).open())
    try:
        runner.run(notebook.run(SETUP + SLIDERS))
        yield notebook
        runner.run(notebook.run("%unload_ext bokehmount\n%load_ext bokehmount"))
    finally:
        runner.run(notebook.close())


@pytest.fixture
def own_kernel(server: JupyterServer) -> Iterator[str]:
    """A kernel that a test may ruin."""
    kernel_id = server.start_kernel()
    yield kernel_id
    server.end_kernel(kernel_id)


@pytest.fixture
def own_notebook(runner: asyncio.Runner, server: JupyterServer, own_kernel: str) -> Iterator[Notebook]:
    """A notebook of a kernel that the test may ruin, bokehmount loaded and the sliders defined."""
    notebook = runner.run(Notebook(server, own_kernel).open())
    try:
        runner.run(notebook.run(SETUP + SLIDERS))
        yield notebook
    finally:
        runner.run(notebook.close())


Neighbour = Callable[[], Awaitable[None]]


@pytest.fixture
def neighbour(runner: asyncio.Runner, browser: Browser, notebook: Notebook) -> Iterator[Neighbour]:
    """A view of an app in the module's kernel, which no trouble elsewhere may touch; call it to move its slider."""
    cell = runner.run(notebook.run("show(sliders, name='neighbour')"))
    view = AppView(browser, notebook.path_of(cell.view))
    values = iter(range(2, 1000))

    async def works() -> None:
        reply = await view.set("slider", "value", next(values) % 9 + 1)
        assert reply.kind == "OK", reply
        assert view.socket.is_open

    try:
        runner.run(view.open())
        runner.run(works())
        yield works
        runner.run(works())
    finally:
        runner.run(view.close())


@asynccontextmanager
async def shown(browser: Browser, notebook: Notebook, code: str, cell_id: str | None = None) -> AsyncIterator[AppView]:
    """Run a cell that shows an app, and look at it."""
    cell = await notebook.run(code, cell_id)
    async with browser.view(notebook.path_of(cell.view)) as view:
        yield view


async def keeps_its_session_through_silence(browser: Browser, notebook: Notebook) -> None:
    """Have a kernel run code that holds Python's interpreter lock, so that no thread of it answers, and look on."""
    cell = await notebook.run("handle = show(sliders)")
    async with browser.watched(notebook.path_of(cell.view)) as (view, status):
        await view.set("slider", "value", 6)
        held = await notebook.start("import ctypes, time\ntime.sleep(0.5)\nctypes.PyDLL(None).sleep(16)")
        await status.told("busy", 18, containing="has not answered for a while")
        moved = await view.begin_set("slider", "value", 3)
        await held.end()
        assert (await view.socket.reply(moved)).kind == "OK"
        await eventually("ready again", lambda: [s for s in status.states if s != "output"][-1] == "ready")
        assert set(status.states) <= {"ready", "busy", "output"}
    assert await notebook.value("[len(handle.sessions), handle.documents[0].roots[0].children[0].value]") == [1, 3]


COUNTING = """\
numbers = []
def counting(doc):
    sliders(doc)
    doc.get_model_by_name("slider").on_change("tags", lambda attr, old, new: numbers.append(new[0]))
handle = show(counting)
"""


async def leaves_to_a_browser_what_its_kernel_does_not_take(browser: Browser, notebook: Notebook) -> None:
    """Have a browser send 120 MB to a kernel of which no thread runs, and see how much of it the server reads."""
    code = "import ctypes, time\ntime.sleep(0.5)\nctypes.PyDLL(None).sleep(16)"
    # 64 MiB, and what sockets and gulps hold
    await _leaves_to_a_browser(browser, notebook, code, 120, range(64, 100))


async def leaves_to_a_browser_what_its_kernels_cell_holds_up(browser: Browser, notebook: Notebook) -> None:
    """Have a browser send 250 MB to a kernel that runs a cell, and see how much it and the server read."""
    # 64 MiB in each, and what sockets and gulps hold
    await _leaves_to_a_browser(browser, notebook, "import time\ntime.sleep(40)", 250, range(128, 180))


class _Flood:
    """A browser that sends so many MB, one in each message."""

    def __init__(self, view: AppView, megabytes: int) -> None:
        self._view = view
        self._megabytes = megabytes
        self._sent = 0
        self._last = ""
        self._sending = asyncio.ensure_future(self._send())

    async def _send(self) -> None:
        for number in range(self._megabytes):
            self._last = await self._view.begin_set("slider", "tags", [number, "x" * 1_000_000])
            self._sent += 1

    async def stalls(self) -> int:
        """The MB that were taken when no more are."""
        before = -1
        while before != self._sent:
            before = self._sent
            await asyncio.sleep(2)
        print(f"measured: {self._sent} of {self._megabytes} MB were taken")
        return self._sent

    async def arrives(self, notebook: Notebook) -> None:
        """Wait until all of it has come, in order."""
        await self._sending
        assert (await self._view.socket.reply(self._last)).kind == "OK"
        assert await notebook.value(f"numbers == list(range({self._megabytes}))"), "nothing is lost, all is in order"


async def _leaves_to_a_browser(
    browser: Browser, notebook: Notebook, code: str, megabytes: int, expected: range
) -> None:
    path = notebook.path_of((await notebook.run(COUNTING)).view)
    async with browser.view(path) as view, browser.view(path) as other:
        held = await notebook.start(code)
        await asyncio.sleep(0.7)
        flood = _Flood(view, megabytes)
        assert await flood.stalls() in expected
        assert not held.ended.is_set()
        await held.end()
        await flood.arrives(notebook)
        assert (await other.set("slider", "value", 3)).kind == "OK"


AWAITING = """\
import asyncio
go_on = asyncio.Event()
def awaiting(doc):
    counting(doc)
    wait = lambda attr, old, new: doc.add_next_tick_callback(go_on.wait)
    doc.get_model_by_name("slider").on_change("title", wait)
handle = show(awaiting)
"""


async def leaves_to_a_browser_what_its_sessions_callback_holds_up(browser: Browser, notebook: Notebook) -> None:
    """Have a browser send 120 MB to a session of which a callback awaits, while others of the kernel go on."""
    await notebook.run(COUNTING)
    path = notebook.path_of((await notebook.run(AWAITING)).view)
    async with browser.view(path) as view, browser.view(path) as other:
        await view.begin_set("slider", "title", "wait")
        await other.set("slider", "value", 2)
        flood = _Flood(view, 120)
        assert await flood.stalls() in range(16, 50), "16 MiB, and what sockets and gulps hold"
        assert (await other.set("slider", "value", 3)).kind == "OK"
        await notebook.run("go_on.set()")
        await flood.arrives(notebook)
        assert (await view.set("slider", "value", 4)).kind == "OK"
