"""A kernel on another machine: the server in front knows it only through a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from .client import Browser, JupyterServer, Notebook, running
from .conftest import SETUP, SLIDERS


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """The server on the machine of the kernels."""
    with running(JupyterServer(tmp_path_factory.mktemp("gateway"), token="gateway-token")) as server:
        yield server


@pytest.fixture(scope="module")
def front(gateway: JupyterServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """The server that the user sees."""
    config = {
        "GatewayClient": {"url": gateway.url, "auth_token": gateway.token, "auth_scheme": "token"},
        "BokehMount": {"local_sockets": False},  # both run on one machine here, where the link would find a shorter way
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
