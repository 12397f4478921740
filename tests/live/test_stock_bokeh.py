"""Stock Bokeh's own ways, in a kernel with bokehmount: its `show`, `push_notebook` and its Python client."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .client import VIEW_MIME, Browser, JupyterServer, Notebook, eventually


async def test_stock_show_of_an_app_takes_our_road(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(
        "from bokeh.io import output_notebook, show as stock_show\noutput_notebook()\nstock_show(sliders)"
    )
    assert cell.view["title"] == "sliders"
    async with browser.view(notebook.path_of(cell.view)) as view:
        await view.set("slider", "value", 3)
        data = view["source"].data
        await view.shows(
            "sin(3x)", lambda view: np.allclose(view["source"].data["y"], np.sin(3 * np.asarray(data["x"])))
        )
    again = await notebook.run("stock_show(sliders, notebook_url='http://nowhere:1', port=2)")
    assert again.view["kernel_id"] == notebook.kernel_id


async def test_stock_show_of_a_figure_and_push_notebook_stay_bokehs(notebook: Notebook) -> None:
    cell = await notebook.run(
        "from bokeh.io import output_notebook, push_notebook, show as stock_show\n"
        "from bokeh.plotting import figure\n"
        "output_notebook()\n"
        "plot = figure(title='before'); dots = plot.scatter([1, 2], [3, 4])\n"
        "handle = stock_show(plot, notebook_handle=True)"
    )
    drawn = [bundle for bundle in cell.displays if "application/vnd.bokehjs_exec.v0+json" in bundle]
    assert len(drawn) == 1 and all(VIEW_MIME not in bundle for bundle in cell.displays)
    (opened,) = cell.contents("comm_open")
    pushed = await notebook.run(
        "plot.title.text = 'after'\ndots.data_source.data['y'][0] = 9\npush_notebook(handle=handle)"
    )
    messages = [content for content in pushed.contents("comm_msg") if content["comm_id"] == opened["comm_id"]]
    assert "after" in json.dumps([content["data"] for content in messages])
    assert not (await notebook.run("%bokehmount")).text.count("session(s)")


@pytest.mark.parametrize("drawn", ["plot", "column(plot)"])
async def test_stock_show_draws_a_figure_that_is_live_as_often_as_it_is_asked_to(
    browser: Browser, notebook: Notebook, drawn: str
) -> None:
    cell = await notebook.run(
        "from bokeh.io import curdoc, output_notebook, push_notebook, show as stock_show\n"
        "from bokeh.layouts import column\n"
        "from bokeh.plotting import figure\n"
        "output_notebook()\n"
        "plot = figure(title='first', name='plot')\n"
        "live = show(plot)"
    )
    async with browser.view(notebook.path_of(cell.view)) as view:
        roots = await notebook.value("len(curdoc().roots)")
        for _ in range(2):
            again = await notebook.run(f"handle = stock_show({drawn}, notebook_handle=True)")
            assert any("application/vnd.bokehjs_exec.v0+json" in bundle for bundle in again.displays)
            (opened,) = again.contents("comm_open")
        pushed = await notebook.run("plot.title.text = 'second'\npush_notebook()")
        messages = [content for content in pushed.contents("comm_msg") if content["comm_id"] == opened["comm_id"]]
        assert "second" in json.dumps([content["data"] for content in messages])
        await view.shows("the change", lambda view: view["plot"].title.text == "second")
        assert view.socket.is_open
        assert await notebook.value("plot in live.documents[0].roots and len(live.documents[0].roots) == 1")
        assert await notebook.value("len(curdoc().roots)") == roots


CLIENT = """\
import sys, json
from bokeh.client import pull_session
url, token = sys.argv[1:]
with pull_session(url=url, arguments={"token": token}) as session:
    document = session.document
    slider = document.get_model_by_name("slider")
    source = document.get_model_by_name("source")
    # force_roundtrip would drop the patches that come before its answer
    wait_for = session._connection._loop_until
    def say(**what): print(json.dumps(what), flush=True)
    say(event="pulled", value=slider.value, points=len(source.data["x"]), id=session.id)
    before = source.data["y"][1]
    slider.value = 6
    wait_for(lambda: source.data["y"][1] != before)
    say(event="pushed", y=float(source.data["y"][1]), x=float(source.data["x"][1]))
    wait_for(lambda: slider.title)
    say(event="changed", title=slider.title)
    from bokeh.models import Div
    document.add_root(Div(text="from the client", name="div"))
    session.force_roundtrip()
    say(event="added")
    sys.stdin.readline()
"""


async def test_stock_bokehs_python_client_connects_with_a_jupyter_token(
    server: JupyterServer, notebook: Notebook, tmp_path: Path
) -> None:
    cell = await notebook.run("handle = show(sliders)")
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), server.url + notebook.path_of(cell.view), server.token,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None

    async def said(event: str) -> dict[str, Any]:
        assert process.stdout is not None and process.stderr is not None
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
            assert line, (await process.stderr.read()).decode()
        message: dict[str, Any] = json.loads(line)
        assert message["event"] == event
        return message

    try:
        pulled = await said("pulled")
        assert (pulled["value"], pulled["points"]) == (1, 50)
        pushed = await said("pushed")
        assert np.isclose(pushed["y"], np.sin(6 * pushed["x"]))
        assert await notebook.value("[s.id for s in handle.sessions]") == [pulled["id"]]
        await eventually("the callback's output", lambda: "moved to 6" in cell.text)
        await notebook.run("handle.documents[0].get_model_by_name('slider').title = 'from the kernel'")
        assert (await said("changed"))["title"] == "from the kernel"
        await said("added")
        assert await notebook.value("handle.documents[0].get_model_by_name('div').text") == "from the client"
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 20)


async def test_the_python_client_without_a_login_is_refused(
    server: JupyterServer, notebook: Notebook, tmp_path: Path
) -> None:
    cell = await notebook.run("handle = show(sliders)")
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), server.url + notebook.path_of(cell.view), "wrong",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode != 0 and b"pulled" not in out
    assert await notebook.value("len(handle.sessions)") == 0
