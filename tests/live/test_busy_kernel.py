"""While a kernel runs a long cell, the server answers for it and nothing that was asked is lost."""

from __future__ import annotations

import asyncio
import json
import time

import numpy as np

from .client import AppView, Browser, JupyterServer, Notebook, eventually
from .conftest import (
    keeps_its_session_through_silence,
    leaves_to_a_browser_what_its_kernel_does_not_take,
    leaves_to_a_browser_what_its_sessions_callback_holds_up,
)

COUNTED = """\
runs = []
moves = []
def counted(doc):
    runs.append(1)
    sliders(doc)
    doc.get_model_by_name("slider").on_change("value", lambda attr, old, new: moves.append(new))
handle = show(counted)
"""

AT_ONCE = 1.0
"""Seconds.  What is meant is a tenth of it, on a machine with nothing else to do; half the tries must keep that."""

SHELL = 0.1


async def test_pages_files_and_pings_are_answered_while_a_cell_runs(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(COUNTED)
    path = notebook.path_of(cell.view)
    async with browser.view(path) as open_view:
        script = next(url for url in open_view.page.scripts if "bokeh.min.js" in url)
        fresh = next(url for url in open_view.page.scripts if "bokeh-gl.min.js" in url)
        await browser.fetch(script)
        busy = await notebook.start("import time\ntime.sleep(4)")
        await asyncio.sleep(0.1)
        shells = [await browser.page(path) for _ in range(6)]
        cached = [await _seconds(browser, script) for _ in range(3)]
        from_kernel = await _seconds(browser, fresh)
        pings = [await open_view.socket.ping() for _ in range(3)]
        assert not busy.ended.is_set(), "the cell was over before all was asked"
        measured = {
            "shells": [page.seconds for page in shells],
            "cached files": cached,
            "a file that the kernel had to give": [from_kernel],
            "pings": pings,
        }
        print("measured:", {what: [f"{1000 * value:.0f} ms" for value in values] for what, values in measured.items()})
        for page in shells:
            assert page.status == 202 and page.is_shell and page.token
        assert {page.data("state") for page in shells[3:]} <= {"busy", "starting"}
        for what, values in measured.items():
            assert max(values) < AT_ONCE, f"{what}: {values}"
        assert sorted(measured["shells"])[2] < SHELL, f"shells: {measured['shells']}"
        await busy.end()
    assert await notebook.value("len(runs)") == 1 + len(shells), "each page that was asked for is one session, run once"


async def _seconds(browser: Browser, url: str) -> float:
    begun = time.monotonic()
    response = await browser.fetch(url)
    assert response.code == 200
    return time.monotonic() - begun


async def test_a_shell_says_busy_and_becomes_the_app_without_running_it_twice(
    browser: Browser, notebook: Notebook
) -> None:
    cell = await notebook.run(COUNTED)
    path = notebook.path_of(cell.view)
    busy = await notebook.start("import time\ntime.sleep(2)")
    await asyncio.sleep(0.2)
    shell = await browser.page(path)
    assert shell.is_shell
    async with browser.status(path, shell.token) as status:
        told = await status.told("busy")
        assert "busy" in told["text"]
        assert not busy.ended.is_set()
        await status.told("ready")
    await busy.end()
    view = AppView(browser, path)
    view.page = await browser.page(f"{path}?bokeh-token={shell.token}")
    assert view.page.status == 200 and view.page.token == shell.token
    await view.connect()
    await view.set("slider", "value", 2)
    assert await notebook.value("len(runs)") == 1
    await view.close()


async def test_an_open_view_is_told_that_the_kernel_is_busy_and_a_change_arrives_once(
    browser: Browser, notebook: Notebook
) -> None:
    cell = await notebook.run(COUNTED)
    async with browser.view(notebook.path_of(cell.view)) as view:
        async with browser.status(view.path, view.page.token) as status:
            await status.told("ready")
            busy = await notebook.start("import time\ntime.sleep(2)\nduring = list(moves)")
            await asyncio.sleep(0.2)
            message = await view.begin_set("slider", "value", 5)
            await status.told("busy")
            async with browser.status(view.path, view.page.token) as late:
                await late.told("busy")
                assert late.states == ["ready", "busy"]
            assert not busy.ended.is_set()
            await view.socket.reply(message)
            assert busy.ended.is_set() or (await busy.end())
            await eventually("ready after busy", lambda: [s for s in status.states if s != "output"][-1] == "ready")
        data = await view.shows("sin(5x)", lambda view: view["source"].data)
        await view.shows(
            "sin(5x)", lambda view: np.allclose(view["source"].data["y"], np.sin(5 * np.asarray(data["x"])))
        )
    assert await notebook.value("[during, moves]") == [[], [5]]


async def test_a_view_is_told_that_the_kernel_is_busy_until_the_last_of_what_waited_is_done(
    browser: Browser, notebook: Notebook
) -> None:
    cell = await notebook.run(
        "import time\n"
        "def slow(doc):\n"
        "    sliders(doc)\n"
        "    doc.get_model_by_name('slider').on_change('value', lambda attr, old, new: time.sleep(1))\n"
        "handle = show(slow)"
    )
    async with browser.watched(notebook.path_of(cell.view)) as (view, status):
        busy = await notebook.start("time.sleep(2)")
        await asyncio.sleep(0.2)
        messages = [await view.begin_set("slider", "value", value) for value in (2, 3, 4)]
        await busy.end()

        def states() -> list[str]:
            return [state for state in status.states if state != "output"]

        for message in messages:
            assert states() == ["ready", "busy"]
            await view.socket.reply(message)
        await eventually("ready again", lambda: states() == ["ready", "busy", "ready"])


async def test_an_app_that_is_ended_while_a_cell_runs_ends_after_it(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(COUNTED)
    path = notebook.path_of(cell.view)
    async with browser.view(path) as view, browser.status(path, view.page.token) as status:
        busy = await notebook.start("import time\ntime.sleep(6)")
        await asyncio.sleep(0.2)
        answer = await browser.delete(f"bokeh/api/kernels/{notebook.kernel_id}/apps/{path.rpartition('/')[2]}")
        assert not busy.ended.is_set()
        assert answer.code == 202 and "ends when it is free" in json.loads(answer.body)["message"]
        await status.told("ended")
        await busy.end()


async def test_a_page_that_came_late_is_there_when_its_shell_comes_for_it(browser: Browser, notebook: Notebook) -> None:
    """A kernel that is never free for long would let each shell follow another."""
    cell = await notebook.run(
        f"{COUNTED}import asyncio, time\n"
        "async def work():\n"
        "    end = time.monotonic() + 8\n"
        "    while time.monotonic() < end:\n"
        "        time.sleep(0.4)\n"
        "        await asyncio.sleep(0)\n"
        "at_work = asyncio.get_running_loop().create_task(work())"
    )
    path = notebook.path_of(cell.view)
    shell = await browser.page(path)
    assert shell.is_shell
    async with browser.status(path, shell.token) as status:
        await status.told("ready")
    page = await browser.page(f"{path}?bokeh-token={shell.token}")
    assert page.status == 200 and not page.is_shell and page.token == shell.token
    assert page.seconds < AT_ONCE
    assert await notebook.value("runs") == [1]


async def test_code_that_lets_no_other_run_costs_no_session(browser: Browser, notebook: Notebook) -> None:
    await keeps_its_session_through_silence(browser, notebook)


async def test_what_a_kernel_does_not_take_stays_with_the_browser(browser: Browser, notebook: Notebook) -> None:
    await leaves_to_a_browser_what_its_kernel_does_not_take(browser, notebook)


async def test_what_a_session_cannot_take_yet_stays_with_its_browser(browser: Browser, notebook: Notebook) -> None:
    await leaves_to_a_browser_what_its_sessions_callback_holds_up(browser, notebook)


async def test_views_opened_while_busy_all_open_by_themselves(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(COUNTED)
    path = notebook.path_of(cell.view)
    await notebook.start("import time\ntime.sleep(1.5)")
    await asyncio.sleep(0.1)
    views = [AppView(browser, path) for _ in range(4)]
    await asyncio.gather(*(view.open() for view in views))
    assert await notebook.value("len(runs)") == 4
    for view in views:
        assert view["slider"].value == 1
        await view.close()


async def test_a_slow_app_shows_that_it_starts(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(
        "import time\nruns = []\ndef slow(doc):\n    runs.append(1)\n    time.sleep(1.5)\n    sliders(doc)\nshow(slow)"
    )
    path = notebook.path_of(cell.view)
    shell = await browser.page(path)
    assert shell.is_shell and shell.seconds < AT_ONCE
    async with browser.status(path, shell.token) as status:
        await status.told("starting")
        await status.told("ready")
    async with browser.view(f"{path}?bokeh-token={shell.token}") as view:
        assert view["slider"].value == 1
    assert await notebook.value("len(runs)") == 1


async def test_an_interrupted_cell_gives_the_app_its_kernel_back(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(COUNTED)
    async with browser.view(notebook.path_of(cell.view)) as view:
        busy = await notebook.start("import time\ntime.sleep(60)")
        await asyncio.sleep(0.3)
        message = await view.begin_set("slider", "value", 4)
        notebook.server.api(f"api/kernels/{notebook.kernel_id}/interrupt", "POST")
        assert (await view.socket.reply(message)).kind == "OK"
        assert (await busy.end()).error == "KeyboardInterrupt: "
        assert (await view.set("slider", "value", 5)).kind == "OK"
    assert await notebook.value("moves") == [4, 5]


async def test_a_page_of_a_kernel_that_has_just_been_started_says_so_at_once(
    server: JupyterServer, browser: Browser
) -> None:
    kernel_id = server.start_kernel()
    try:
        path = f"bokeh/kernels/{kernel_id}/app"
        page = await browser.page(path)
        assert page.seconds < 2
        if page.status == 503:  # it has started in no time, and has answered that there is nothing to show
            assert "%load_ext bokehmount" in page.html
            return
        assert page.is_shell and page.data("state") == "starting"
        async with browser.status(path, page.token) as status:
            await status.told("gone", 40, containing="%load_ext bokehmount")
    finally:
        server.end_kernel(kernel_id)
