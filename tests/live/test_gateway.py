"""A kernel on another machine: the server in front knows it only through a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ..cable import Cable
from .client import Browser, JupyterServer, Notebook, eventually, running
from .conftest import SETUP, SLIDERS


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """The server on the machine of the kernels."""
    with running(JupyterServer(tmp_path_factory.mktemp("gateway"), token="gateway-token")) as server:
        yield server


RATE = 1_000_000
"""Bytes a second of the line to the gateway."""


@pytest.fixture(scope="module")
def line(gateway: JupyterServer) -> Iterator[Cable]:
    """The way to the gateway."""
    cable = Cable(gateway.port, RATE)
    yield cable
    cable.close()


@pytest.fixture(scope="module")
def front(gateway: JupyterServer, line: Cable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """The server that the user sees."""
    url = gateway.url.replace(str(gateway.port), str(line.port))
    config = {
        "GatewayClient": {"url": url, "auth_token": gateway.token, "auth_scheme": "token"},
        # both run on one machine here, where the link would find a shorter way
        "BokehMount": {"local_sockets": False, "linger_lost": 20},
    }
    with running(JupyterServer(tmp_path_factory.mktemp("front"), "/user/ada/", config)) as server:
        yield server


@pytest.fixture(scope="module")
def kernel_id(front: JupyterServer) -> Iterator[str]:
    """A kernel of the gateway."""
    kernel_id = front.start_kernel()
    yield kernel_id
    front.end_kernel(kernel_id)


@pytest.fixture
def notebook(runner: asyncio.Runner, front: JupyterServer, kernel_id: str) -> Iterator[Notebook]:
    """A notebook of that kernel, with the sliders."""
    notebook = runner.run(Notebook(front, kernel_id).open())
    runner.run(notebook.run(SETUP + SLIDERS))
    yield notebook
    runner.run(notebook.close())


async def test_an_app_of_a_remote_kernel_is_live(front: JupyterServer, notebook: Notebook) -> None:
    cell = await notebook.run("show(sliders, name='remote')")
    browser = await Browser(front).log_in()
    async with browser.view(notebook.path_of(cell.view)) as view:
        before = list(view["source"].data["y"])
        await view.set("slider", "value", 3)
        await view.shows("the line that the callback made", lambda view: list(view["source"].data["y"]) != before)


async def test_megabytes_of_arrays_come_from_a_remote_kernel(front: JupyterServer, notebook: Notebook) -> None:
    cell = await notebook.run(
        "from bokeh.models import ColumnDataSource\nfrom bokeh.plotting import figure\nimport numpy as np\n"
        "source = ColumnDataSource(dict(x=np.zeros(3), y=np.zeros(3)), name='big')\n"
        "plot = figure(); plot.line('x', 'y', source=source)\nshow(plot, name='big')"
    )
    browser = await Browser(front).log_in()
    async with browser.view(notebook.path_of(cell.view)) as view:
        await notebook.run("source.data = dict(x=np.arange(200_000.0), y=np.arange(200_000.0)[::-1])")
        await view.shows("200,000 points", lambda view: len(view["big"].data["x"]) == 200_000)
        assert view["big"].data["y"][0] == 199_999


async def test_the_link_says_over_what_it_runs(front: JupyterServer, notebook: Notebook) -> None:
    cell = await notebook.run("show(sliders, name='carried')")
    browser = await Browser(front).log_in()
    async with browser.view(notebook.path_of(cell.view)):
        assert "over its control carrier" in (await notebook.run("%bokehmount")).text


STREAM = """
import numpy as np
from bokeh.models import ColumnDataSource, Div
ticks = 0
def stream(doc):
    source = ColumnDataSource(dict(x=np.zeros(3)), name='stream')
    doc.add_root(Div(text='', name='ticks', tags=[source]))
    def tick():
        global ticks
        ticks += 1
        source.data = dict(x=np.full(38_000, float(ticks)))
    doc.add_periodic_callback(tick, 100)
"""


LARGE = """
import numpy as np
from bokeh.models import ColumnDataSource, TextInput
lengths = []
def large(doc):
    source = ColumnDataSource(dict(x=np.zeros(3)), name='data')
    kind = TextInput(name='kind', tags=[source])
    def said(attr, old, new):
        lengths.append(len(new))
        if new == 'fill':
            source.data = dict(x=np.arange(1_750_000.0))
    kind.on_change('value', said)
    doc.add_root(kind)
"""


async def test_a_stream_that_is_faster_than_the_line_goes_at_the_lines_pace(
    front: JupyterServer, notebook: Notebook
) -> None:
    """300 kB ten times a second over a line of 1 MB/s."""
    cell = await notebook.run(f"{STREAM}stream_handle = show(stream)")
    browser = await Browser(front).log_in()
    async with browser.watched(notebook.path_of(cell.view)) as (view, status):
        await asyncio.sleep(16)  # longer than a kernel may be silent
        ahead = await notebook.value("ticks") - view["stream"].data["x"][0]
        print(f"measured: the kernel is {ahead:.0f} of its 300 kB messages ahead of the view")
        assert ahead < 25, "about 2 MiB may be on the way"
        assert view.socket.is_open and set(status.states) == {"ready"}
    await notebook.run("stream_handle.close()")


async def test_a_message_that_takes_longer_than_a_kernel_may_be_silent(
    front: JupyterServer, notebook: Notebook
) -> None:
    """14 MB at once over a line of 1 MB/s, to the view and, more than gateways take at once, from it."""
    cell = await notebook.run(f"{LARGE}large_handle = show(large)")
    browser = await Browser(front).log_in()
    async with browser.watched(notebook.path_of(cell.view)) as (view, status):
        for value in ("fill", "y" * 14_000_000):
            await view.socket.reply(await view.begin_set("kind", "value", value), 40)
        assert len(view["data"].data["x"]) == 1_750_000
        assert await notebook.value("max(lengths)") == 14_000_000
        assert view.socket.is_open and set(status.states) == {"ready"}
    await notebook.run("large_handle.close()")


async def test_a_line_that_breaks_for_a_moment_costs_no_session(
    front: JupyterServer, kernel_id: str, line: Cable
) -> None:
    notebook = await Notebook(front, kernel_id).open()
    await notebook.run(SETUP + SLIDERS)
    cell = await notebook.run("handle = show(sliders, name='blip')")
    browser = await Browser(front).log_in()
    async with browser.watched(notebook.path_of(cell.view)) as (view, status):
        await view.set("slider", "value", 6)
        line.cut()
        await status.told("lost", containing="trying again")
        line.mend()
        await eventually("the line is back", lambda: status.states[-1] == "ready")
        await view.connect()
        assert view["slider"].value == 6
        await notebook.close()  # Jupyter's own connection does not come back by itself
        notebook = await Notebook(front, kernel_id).open()
        assert await notebook.value("len(handle.sessions)") == 1
    await notebook.close()


async def test_a_kernel_whose_apps_nobody_looks_at_may_be_culled(gateway: JupyterServer, front: JupyterServer) -> None:
    kernel_id = front.start_kernel()
    notebook = await Notebook(front, kernel_id).open()
    await notebook.run(SETUP + SLIDERS)
    cell = await notebook.run("show(sliders, name='asleep')")
    browser = await Browser(front).log_in()
    async with browser.view(notebook.path_of(cell.view)) as view:
        assert (await view.set("slider", "value", 6)).kind == "OK"
        await notebook.close()
        assert gateway.kernels()[kernel_id]["connections"] > 0
    await eventually("nobody to be connected", lambda: gateway.kernels()[kernel_id]["connections"] == 0, 40)
    async with browser.view(notebook.path_of(cell.view)) as view:
        assert (await view.set("slider", "value", 6)).kind == "OK", "the link opens when it is needed again"
    gateway.end_kernel(kernel_id)


async def test_a_kernel_that_is_restarted_at_the_gateway_is_said_to_be(
    gateway: JupyterServer, front: JupyterServer
) -> None:
    kernel_id = front.start_kernel()
    notebook = await Notebook(front, kernel_id).open()
    await notebook.run(SETUP + SLIDERS)
    cell = await notebook.run("show(sliders, name='restarted')")
    browser = await Browser(front).log_in()
    async with browser.watched(notebook.path_of(cell.view)) as (view, status):
        gateway.api(f"api/kernels/{kernel_id}/restart", "POST")
        await status.told("restarted", containing="was restarted")
        code, _ = await view.socket.closed()
        assert code == 4503
    await notebook.close()
    gateway.end_kernel(kernel_id)
    page = await browser.final_page(notebook.path_of(cell.view))
    assert page.status == 404 and "no such kernel any more" in page.data("text")


async def test_a_gateway_that_can_not_be_reached_is_told_of(front: JupyterServer, kernel_id: str, line: Cable) -> None:
    notebook = await Notebook(front, kernel_id).open()
    await notebook.run(SETUP + SLIDERS)
    cell = await notebook.run("handle = show(sliders, name='unreachable')")
    await notebook.close()
    browser = await Browser(front).log_in()
    line.cut()
    try:
        page = await browser.final_page(notebook.path_of(cell.view))
        assert page.status == 503 and "the gateway can" in page.data("text")
    finally:
        line.mend()
    assert (await browser.final_page(notebook.path_of(cell.view))).status == 200
