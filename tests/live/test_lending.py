"""Over a local socket the kernel itself writes to a browser that looks alone; it is the server that answers pings."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from .client import AppView, Browser, JupyterServer, Notebook, eventually

ARRAYS = """\
import numpy as np
from bokeh.models import ColumnDataSource
def arrays(doc):
    source = ColumnDataSource(dict(a=np.zeros(FLOATS)), name="source")
    doc.add_root(source)
    numbers = iter(range(1, COUNT + 1))
    def send():
        number = next(numbers, None)
        if number is not None:
            source.data = dict(a=np.full(FLOATS, float(number)))
    doc.add_periodic_callback(send, 5)
handle = show(arrays)
"""

HELD = """\
def held(port):
    import os, socket
    count = 0
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        try:
            if not os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as found:
                name = found.getsockname()
                count += found.family == socket.AF_INET and name[1] == port
        except OSError:
            pass
    return count
"""
"""Counts the sockets of this process that are connections to the server."""


def arrays(floats: int, count: int) -> str:
    return ARRAYS.replace("FLOATS", str(floats)).replace("COUNT", str(count))


async def held(notebook: Notebook, server: JupyterServer) -> int:
    return int(await notebook.value(f"held({server.port})"))


async def test_the_kernel_has_a_browsers_socket_as_long_as_that_is_there(
    server: JupyterServer, browser: Browser, notebook: Notebook
) -> None:
    await notebook.run(HELD)
    cell = await notebook.run("handle = show(sliders)")
    assert await held(notebook, server) == 0
    async with browser.view(notebook.path_of(cell.view)) as view:
        await view.set("slider", "value", 2)
        await view.shows("the callback's data", lambda view: view["source"].data["y"][1] != 0)
        assert await held(notebook, server) == 1
        await view.set("slider", "value", 3)
    for _ in range(50):
        if not await held(notebook, server):
            break
        await asyncio.sleep(0.1)
    assert await held(notebook, server) == 0
    async with browser.view(notebook.path_of(cell.view)) as view:
        await view.set("slider", "value", 2)
        assert await held(notebook, server) == 1
        await notebook.run("handle.close()")
        code, sentence = await view.socket.closed()
        assert (code, sentence) == (4410, "sliders has ended: it was closed")
    assert await held(notebook, server) == 0


async def test_pongs_stand_between_the_kernels_frames(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(arrays(floats=5_000, count=100_000))
    async with browser.view(notebook.path_of(cell.view)) as view:
        for _ in range(25):
            assert await view.socket.ping() < 5
        await view.shows("arrays", lambda view: view["source"].data["a"][0] > 25)
        assert len(set(view["source"].data["a"])) == 1
        numbers = [number_of(message) for message in view.socket.messages if message.kind == "PATCH-DOC"]
        assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers)


def number_of(message: Any) -> float:
    """The first value of the one array in a PATCH-DOC."""
    (buffer,) = message.buffers
    return float(memoryview(buffer.data).cast("d")[0])


async def test_a_browser_that_reads_late_gets_everything_in_order(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(arrays(floats=100_000, count=40))
    async with browser.view(notebook.path_of(cell.view)) as view:
        await view.shows("the first array", lambda view: view["source"].data["a"][0] > 0)
        before = len(view.socket.messages)
        time.sleep(1.5)  # nobody reads, and 30 MB are more than sockets hold
        await view.shows("the last array", lambda view: view["source"].data["a"][0] == 40.0)
        assert len(view.socket.messages) - before > 5
        numbers = [number_of(message) for message in view.socket.messages if message.kind == "PATCH-DOC"]
        assert numbers == [float(number) for number in range(int(numbers[0]), 41)]


async def test_two_views_of_a_session_and_then_one(browser: Browser, notebook: Notebook) -> None:
    await notebook.run(
        "from bokeh.models import Slider\nshared = Slider(start=0, end=1000, value=0, name='slider')\n"
        "handle = show(shared)"
    )
    cell = await notebook.run("other = show(shared)")
    path = notebook.path_of(cell.view)
    async with browser.view(path) as first:
        for value in range(1, 6):
            await first.set("slider", "value", value)
        async with browser.view(path) as second:
            await asyncio.gather(count_up(first, 10, 20), listens(second, 19))
            await asyncio.gather(count_up(second, 20, 30), listens(first, 29))
        await notebook.run("for value in range(100, 140): shared.value = value")
        await listens(first, 139)


async def count_up(view: AppView, start: int, stop: int) -> None:
    for value in range(start, stop):
        reply = await view.set("slider", "value", value)
        assert reply.kind == "OK"


async def listens(view: AppView, value: int) -> None:
    await view.shows(f"the slider at {value}", lambda view: view["slider"].value == value)


@pytest.fixture(scope="module")
def server_config() -> dict[str, Any]:
    return {}


async def test_a_killed_kernel_is_told_of_although_it_had_the_socket(browser: Browser, own_notebook: Notebook) -> None:
    cell = await own_notebook.run("import os\nshow(sliders)")
    async with browser.view(own_notebook.path_of(cell.view)) as view:
        await view.set("slider", "value", 2)
        await own_notebook.start("import time\ntime.sleep(0.5)\nos.kill(os.getpid(), 9)")
        code, sentence = await view.socket.closed()
        assert code == 4503 and sentence
        await eventually("the end", lambda: not view.socket.is_open)
