"""A server with short-lived tokens; what it leaves behind when it ends; and kernels that are reached over their control
channel alone."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from .client import BokehSocket, Browser, JupyterServer, Notebook, eventually, running
from .conftest import (
    BASE_URL,
    SETUP,
    SHORT_LIVED,
    SLIDERS,
    keeps_its_session_through_silence,
    leaves_to_a_browser_what_its_kernel_does_not_take,
    leaves_to_a_browser_what_its_kernels_cell_holds_up,
    shown,
)


@pytest.fixture(scope="module")
def server_config() -> dict[str, Any]:
    return SHORT_LIVED


async def test_an_expired_token_opens_no_session_but_a_living_one_takes_it(
    browser: Browser, notebook: Notebook
) -> None:
    async with shown(browser, notebook, "handle = show(sliders)") as view:
        await view.set("slider", "value", 6)
        await asyncio.sleep(SHORT_LIVED["BokehMount"]["token_lifetime"] + 1.2)
        await view.socket.cut()
        await view.connect()
        assert view["slider"].value == 6, "the living session takes its token"
        await view.close()
        await asyncio.sleep(2.5)
        assert await notebook.value("len(handle.sessions)") == 0
        socket = BokehSocket(await browser.socket(view.path, ["bokeh", view.page.token]))
        code, reason = await socket.closed()
        assert code == 4410 and "reload the page" in reason
        page = await browser.final_page(f"{view.path}?bokeh-token={view.page.token}")
        assert page.status == 410 and "reload" in page.data("text")
        assert await notebook.value("len(handle.sessions)") == 0


# The kernel's control channel alone, as where the kernel is on another machine


async def test_over_the_control_channel_an_app_works(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run("handle = show(sliders)")
    async with browser.view(notebook.path_of(cell.view)) as view:
        await view.set("slider", "value", 3)
        await eventually("the callback's output", lambda: "moved to 3" in cell.text)
        assert "control carrier" in (await notebook.run("%bokehmount")).text
        script = next(url for url in view.page.scripts if "bokeh.min.js" in url)
        assert len((await browser.fetch(script)).body) > 500_000
        (app,) = json.loads((await browser.fetch("bokeh/api/apps")).body)["apps"]
        assert app["carrier"] == "control"


async def test_over_the_control_channel_a_busy_kernel_is_no_hindrance(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(
        "from bokeh.plotting import figure\nplot = figure(name='plot')\nplot.scatter([1], [1])\nshow(plot)"
    )
    async with browser.view(notebook.path_of(cell.view)) as view:
        loop = await notebook.start(
            "import time\nfor step in range(6):\n    plot.title.text = f'step {step}'\n    time.sleep(0.25)"
        )
        await view.shows("a step", lambda view: "step" in (view["plot"].title.text or ""))
        shell = await browser.page(view.path)
        assert shell.is_shell and shell.seconds < 1.0
        assert not loop.ended.is_set()
        await loop.end()
        await view.shows("the last step", lambda view: view["plot"].title.text == "step 5")
        patches = [message for message in view.socket.messages if message.kind == "PATCH-DOC"]
        assert len(patches) == 6


async def test_over_the_control_channel_a_silent_kernel_is_none_that_is_gone(
    browser: Browser, notebook: Notebook
) -> None:
    await keeps_its_session_through_silence(browser, notebook)


async def test_over_the_control_channel_what_a_kernel_does_not_take_stays_with_the_browser(
    browser: Browser, notebook: Notebook
) -> None:
    await leaves_to_a_browser_what_its_kernel_does_not_take(browser, notebook)


async def test_over_the_control_channel_what_a_kernels_cell_holds_up_stays_with_the_browser(
    browser: Browser, notebook: Notebook
) -> None:
    await leaves_to_a_browser_what_its_kernels_cell_holds_up(browser, notebook)


async def test_over_the_control_channel_a_killed_kernel_is_noticed(browser: Browser, own_notebook: Notebook) -> None:
    async with shown(browser, own_notebook, "show(sliders, name='app')") as view:
        pid = await own_notebook.value("__import__('os').getpid()")
        begun = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        code, reason = await view.socket.closed(30)
        print(f"measured: over the control channel a killed kernel is told of after {time.monotonic() - begun:.1f} s")
        assert code == 4503 and reason


async def test_over_the_control_channel_bokehmount_can_be_loaded_anew(browser: Browser, notebook: Notebook) -> None:
    async with shown(browser, notebook, "show(sliders, name='app')") as view:
        await notebook.run("%unload_ext bokehmount")
        code, _ = await view.socket.closed()
        assert code in (4410, 4503)
    async with shown(browser, notebook, SETUP + "show(sliders, name='app')") as view:
        assert (await view.set("slider", "value", 3)).kind == "OK"


# The end

COUNTING = """\
import asyncio, json, os, threading
from jupyter_server.serverapp import ServerApp
cleanup = ServerApp.cleanup_extensions
def ours():
    tasks = [repr(task.get_coro()) for task in asyncio.all_tasks()]
    files = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    links = [os.readlink(file) for file in files if os.path.lexists(file)]
    return dict(
        tasks=[task for task in tasks if "bokehmount" in task.lower() or "KernelLink" in task or "Links" in task],
        threads=sorted(thread.name for thread in threading.enumerate()),
        sockets=sum("socket" in link for link in links),
    )
async def counted(self):
    before = ours()
    await cleanup(self)
    await asyncio.sleep(0.5)
    with open(%r, "w") as file:
        json.dump(dict(before=before, after=ours()), file)
ServerApp.cleanup_extensions = counted
"""


async def test_a_server_that_ends_leaves_nothing_and_one_that_comes_back_finds_nothing_broken(tmp_path: Path) -> None:
    counts = tmp_path / "counts.json"
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "jupyter_server_config.py").write_text(COUNTING % str(counts))
    with running(JupyterServer(tmp_path, BASE_URL)) as server:
        browser = await Browser(server).log_in()
        notebook = await Notebook(server, server.start_kernel()).open()
        await notebook.run(SETUP + SLIDERS)
        async with (
            shown(browser, notebook, "show(sliders)") as view,
            browser.status(view.path, view.page.token) as status,
        ):
            await status.told("ready")
            folders = list((tmp_path / "runtime").glob("bokehmount-*"))
            assert len(folders) == 1 and folders[0].stat().st_mode & 0o777 == 0o700
            busy = await browser.page(view.path)
            assert busy.status in (200, 202)
            seconds = await asyncio.to_thread(server.stop)
            code, reason = await view.socket.closed()
            assert code in (4503, 1001, 1006, None), (code, reason)
        await notebook.close()
        print(f"measured: the server ended after {seconds:.1f} s")
        counted = json.loads(counts.read_text())
        before, after = counted["before"], counted["after"]
        assert before["tasks"], "the count sees tasks of ours while the server runs"
        assert after["tasks"] == []
        assert set(after["threads"]) <= set(before["threads"])
        assert after["sockets"] < before["sockets"]
        assert not list((tmp_path / "runtime").glob("bokehmount-*"))
        server.start()
        browser = await Browser(server).log_in()
        notebook = await Notebook(server, server.start_kernel()).open()
        await notebook.run(SETUP + SLIDERS)
        async with shown(browser, notebook, "show(sliders)") as view:
            assert (await view.set("slider", "value", 3)).kind == "OK"
        await notebook.close()
    for sign in ("never retrieved", "Exception in callback"):
        assert sign not in server.log.read_text()


async def test_loading_anew_does_not_wait_long_for_a_session_at_work(browser: Browser, own_notebook: Notebook) -> None:
    at_work = "import asyncio\ndef at_work(doc):\n    doc.add_timeout_callback(lambda: asyncio.sleep(3600), 500)\n"
    async with shown(browser, own_notebook, f"{at_work}show(at_work)"):
        await asyncio.sleep(1)
        await own_notebook.run("%unload_ext bokehmount")
        await own_notebook.run(SETUP)
        cell = await own_notebook.run("show(sliders, name='anew')")
        for _ in range(20):
            page = await browser.final_page(own_notebook.path_of(cell.view))
            if page.status == 200:
                break
            await asyncio.sleep(0.5)
        assert page.status == 200, page.data("text")


async def test_an_app_that_is_none_costs_nobody_the_others_and_says_so_at_its_place(tmp_path: Path) -> None:
    good = tmp_path / "good.py"
    good.write_text("from bokeh.io import curdoc\nfrom bokeh.models import Div\ncurdoc().add_root(Div(text='good'))\n")
    apps = {"/app": "no-such-app.py", "/good": str(good), "/api": str(good), "no slash": str(good)}
    apps["/good/"] = "no-such-app.py"
    server = JupyterServer(tmp_path, config={"BokehMount": {"apps": apps}})
    with running(server):
        browser = await Browser(server).log_in()
        assert (await browser.page("bokeh/good")).status == 200
        page = await browser.page("bokeh/app")
        assert page.status == 500 and "there is no app at" in page.html and "no-such-app.py" in page.html
        notebook = await Notebook(server, server.start_kernel()).open()
        await notebook.run(SETUP + SLIDERS)
        cell = await notebook.run("show(sliders)")
        assert (await browser.final_page(notebook.path_of(cell.view))).status == 200
        await notebook.close()
        await asyncio.to_thread(server.stop)
    said = server.log.read_text()
    reasons = {"/app": "no-such-app.py", "/api": "the server's own", "no slash": "no app path", "/good/": "'/good' and"}
    for path, why in reasons.items():
        assert re.search(rf"c.BokehMount.apps has no app for '{path}': .*{why}", said)
    assert "Traceback" not in said.split("no-such-app.py")[0]


def test_a_server_whose_settings_are_wrong_says_so_and_can_be_stopped(tmp_path: Path) -> None:
    server = JupyterServer(tmp_path, config={"BokehMount": {"extra_websocket_origins": ["https://portal.example.org"]}})
    with running(server):
        server.stop()
    said = server.log.read_text()
    assert "extra_websocket_origins: 'https://portal.example.org' is no host" in said
    assert "AttributeError" not in said


AT_WORK = """\
import asyncio
from bokeh.io import curdoc
from bokeh.models.widgets import Div
async def work():
    await asyncio.sleep(3600)
curdoc().on_session_destroyed(lambda context: print("its hook has run"))
curdoc().add_root(Div(text="at work"))
curdoc().add_next_tick_callback(work)
"""


async def test_a_server_with_a_session_at_work_ends_all_the_same(tmp_path: Path) -> None:
    app = tmp_path / "at_work.py"
    app.write_text(AT_WORK)
    server = JupyterServer(tmp_path, config={"BokehMount": {"apps": {"/at_work": str(app)}}})
    with running(server):
        browser = await Browser(server).log_in()
        assert (await browser.page("bokeh/at_work")).status == 200
        await asyncio.to_thread(server.stop)
    said = server.log.read_text()
    assert "sessions of /at_work were ended while they were still at work: 1" in said and "its hook has run" in said


async def refused(browser: Browser, path: str, token: str) -> None:
    """Come back with the token of a session that is over, as BokehJS does; the view hears of it too."""
    async with browser.status(path, token) as status:
        await status.told("ready")
        code, reason = await BokehSocket(await browser.socket(path, ["bokeh", token])).closed()
        assert code == 4410 and "reload the page" in reason
        await status.told("ended", containing="session has ended")


async def test_who_comes_back_too_late_is_told_and_the_app_does_not_run_again(tmp_path: Path) -> None:
    with running(JupyterServer(tmp_path, config={"BokehMount": {"linger_lost": 0.5}})) as server:
        browser = await Browser(server).log_in()
        notebook = await Notebook(server, server.start_kernel()).open()
        await notebook.run(SETUP + SLIDERS)
        async with shown(browser, notebook, "handle = show(sliders)") as view:
            await view.set("slider", "value", 3)
            await view.socket.cut()
            await asyncio.sleep(3)
            assert await notebook.value("len(handle.sessions)") == 0
            await refused(browser, view.path, view.page.token)
            assert await notebook.value("len(handle.sessions)") == 0
        await notebook.close()


COUNTED = """\
from pathlib import Path
from bokeh.io import curdoc
from bokeh.models.widgets import Div
with Path(__file__).with_suffix(".runs").open("a") as file:
    file.write("run ")
curdoc().add_root(Div(text="counted"))
"""


async def test_a_session_that_ended_with_its_server_is_not_begun_anew_in_silence(tmp_path: Path) -> None:
    app = tmp_path / "counted.py"
    app.write_text(COUNTED)
    with running(JupyterServer(tmp_path, config={"BokehMount": {"apps": {"/counted": str(app)}}})) as server:
        browser = await Browser(server).log_in()
        page = await browser.page("bokeh/counted")
        assert page.status == 200
        await asyncio.to_thread(server.stop)
        server.start()
        browser = await Browser(server).log_in()
        await refused(browser, "bokeh/counted", page.token)
        assert app.with_suffix(".runs").read_text() == "run "
        assert (await browser.page("bokeh/counted")).status == 200
        assert app.with_suffix(".runs").read_text() == "run run "
