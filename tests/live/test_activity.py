"""Cullers are told what users do, and nothing that apps, pings or streams do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .client import AppView, Browser, JupyterServer, Notebook, eventually
from .conftest import SHORT_LIVED


@pytest.fixture(scope="module")
def server_config() -> dict[str, Any]:
    return SHORT_LIVED


STREAMING = """\
from bokeh.models import ColumnDataSource, Slider
def streaming(doc):
    source = ColumnDataSource(dict(x=[0]), name="source")
    doc.add_root(Slider(start=0, end=10, value=1, name="slider"))
    doc.add_root(source)
    doc.add_periodic_callback(lambda: source.stream(dict(x=[len(source.data["x"])]), 200), 50)
"""


def last_activity(server: JupyterServer, kernel_id: str) -> tuple[str, str]:
    status = server.api("api/status?no_track_activity=1")
    kernels = server.api("api/kernels?no_track_activity=1")
    (kernel,) = (kernel for kernel in kernels if kernel["id"] == kernel_id)
    return kernel["last_activity"], status["last_activity"]


async def test_users_count_streams_and_pings_do_not(
    server: JupyterServer, browser: Browser, notebook: Notebook
) -> None:
    cell = await notebook.run(STREAMING + "show(streaming)")
    async with browser.view(notebook.path_of(cell.view)) as view:
        await view.shows("a stream", lambda view: len(view["source"].data["x"]) > 3)
        before = last_activity(server, notebook.kernel_id)
        await asyncio.sleep(1.5)
        await view.socket.ping()
        assert len(view["source"].data["x"]) > 8
        assert view.socket.is_open
        assert last_activity(server, notebook.kernel_id) == before, "an open view and its stream are not a user"
        await view.set("slider", "value", 2)
        kernel, status = last_activity(server, notebook.kernel_id)
        assert kernel > before[0] and status > before[1]


async def test_an_open_idle_view_is_a_connection_of_its_kernel(
    server: JupyterServer, browser: Browser, notebook: Notebook
) -> None:
    def connections() -> int:
        kernels = server.api("api/kernels?no_track_activity=1")
        return int(next(kernel["connections"] for kernel in kernels if kernel["id"] == notebook.kernel_id))

    cell = await notebook.run("show(sliders)")
    await eventually("the notebook's own connection alone", lambda: connections() == 1)
    async with browser.view(notebook.path_of(cell.view)) as view:
        assert connections() == 2
        activity = last_activity(server, notebook.kernel_id)
        await asyncio.sleep(1.5)
        assert view.socket.is_open and last_activity(server, notebook.kernel_id) == activity
    await eventually("the connection's end", lambda: connections() == 1)


async def test_a_session_ends_when_its_view_is_closed_and_lingers_for_a_broken_line(
    browser: Browser, notebook: Notebook
) -> None:
    cell = await notebook.run("handle = show(sliders)")
    async with browser.view(notebook.path_of(cell.view)) as view:
        assert await notebook.value("len(handle.sessions)") == 1
        await view.close()
        await asyncio.sleep(2.5)
        assert await notebook.value("len(handle.sessions)") == 0
    async with browser.view(notebook.path_of(cell.view)) as view:
        await view.socket.cut()
        await asyncio.sleep(2.5)
        assert await notebook.value("len(handle.sessions)") == 1


async def test_a_page_whose_websocket_is_slow_to_come_finds_the_session_that_it_shows(
    browser: Browser, notebook: Notebook
) -> None:
    cell = await notebook.run("handle = show(sliders)")
    view = AppView(browser, notebook.path_of(cell.view))
    view.page = await browser.final_page(view.path)
    made = await notebook.value("[session.id for session in handle.sessions]")
    await asyncio.sleep(2.5)  # several times `linger`, and the token has expired too
    await view.connect()
    assert await notebook.value("[session.id for session in handle.sessions]") == made
    await view.close()
