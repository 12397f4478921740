"""A kernel that dies, restarts or is shut down: views hear of it in words, soon, and nobody else is touched."""

from __future__ import annotations

import os
import signal
import time

from .client import BokehSocket, Browser, Notebook, eventually
from .conftest import SETUP, SLIDERS, Neighbour, shown

SOON = 8.0
"""Seconds; a dead kernel is noticed at once where its socket closes, by the watch (5 s) elsewhere."""


async def test_a_kernel_that_is_killed(browser: Browser, own_notebook: Notebook, neighbour: Neighbour) -> None:
    kernel_id = own_notebook.kernel_id
    async with shown(browser, own_notebook, "show(sliders, name='app')") as view:
        async with browser.status(view.path, view.page.token) as status:
            await status.told("ready")
            pid = await own_notebook.value("__import__('os').getpid()")
            begun = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            code, reason = await view.socket.closed(SOON)
            assert code == 4503 and "run the app's cell again" in reason
            await eventually("word for the view", lambda: {"gone", "restarted"} & set(status.states), SOON)
            print(f"measured: a killed kernel is told of after {1000 * (time.monotonic() - begun):.0f} ms")
            await neighbour()
            page = await browser.page(view.path)
            if page.is_shell:  # it might be one that has just been started
                async with browser.status(view.path, page.token) as waiting:
                    await waiting.told("gone", 30)
            else:
                assert page.status in (404, 503) and page.data("text")
            assert page.seconds < 12
            code, reason = await _closes(browser, view.path, view.page.token)
            assert code in (4503, 4404) and reason
        await _alive_again(own_notebook)
        async with browser.status(view.path, view.page.token) as status:
            again = await Notebook(own_notebook.server, kernel_id).open()
            await again.run(SETUP + SLIDERS + "show(sliders, name='app')")
            async with browser.view(view.path) as new:
                assert (await new.set("slider", "value", 3)).kind == "OK"
            await again.close()
    await neighbour()


async def _closes(browser: Browser, path: str, token: str) -> tuple[int | None, str]:
    socket = BokehSocket(await browser.socket(path, ["bokeh", token]))
    return await socket.closed(12)


async def _alive_again(notebook: Notebook) -> None:
    """Wait until Jupyter has started a dead kernel anew."""
    server = notebook.server
    log = server.log

    def restarted() -> bool:
        return f"{notebook.kernel_id} restarted" in log.read_text() or "restarting kernel" in log.read_text()

    await eventually("the restart of a dead kernel", restarted, 30)
    await eventually(
        "its state", lambda: server.kernels()[notebook.kernel_id]["execution_state"] in ("idle", "starting"), 30
    )


async def test_a_kernel_that_is_restarted(browser: Browser, own_notebook: Notebook, neighbour: Neighbour) -> None:
    async with (
        shown(browser, own_notebook, "show(sliders, name='app')") as view,
        browser.status(view.path, view.page.token) as status,
    ):
        await status.told("ready")
        own_notebook.server.api(f"api/kernels/{own_notebook.kernel_id}/restart", "POST")
        code, reason = await view.socket.closed(SOON)
        assert code == 4503 and "restarted" in reason
        told = await status.told("restarted")
        assert "run the app's cell again" in told["text"]
        page = await browser.final_page(view.path)
        assert page.status == 503 and "%load_ext" in page.data("text")
        await neighbour()
        again = await Notebook(own_notebook.server, own_notebook.kernel_id).open()
        await again.run(SETUP + SLIDERS + "show(sliders, name='app')")
        async with browser.view(view.path) as new:
            await status.told("moved")
            assert (await new.set("slider", "value", 3)).kind == "OK"
        await again.close()


async def test_a_kernel_that_is_shut_down(browser: Browser, own_notebook: Notebook, neighbour: Neighbour) -> None:
    async with shown(browser, own_notebook, "show(sliders, name='app')") as view:
        async with browser.status(view.path, view.page.token) as status:
            await status.told("ready")
            own_notebook.server.api(f"api/kernels/{own_notebook.kernel_id}", "DELETE")
            code, reason = await view.socket.closed(SOON)
            assert code == 4503 and reason
            await eventually("word for the view", lambda: {"gone", "restarted"} & set(status.states), SOON)
        page = await browser.page(view.path)
        assert page.status == 404 and "kernel has ended" in page.data("text")
        code, _ = await _closes(browser, view.path, view.page.token)
        assert code == 4404
    await neighbour()


async def test_a_kernel_that_exits_while_a_page_is_waited_for(
    browser: Browser, own_notebook: Notebook, neighbour: Neighbour
) -> None:
    cell = await own_notebook.run("import time, os\nshow(sliders, name='app')")
    path = own_notebook.path_of(cell.view)
    async with browser.view(path):
        pass
    await own_notebook.start("time.sleep(1); os._exit(1)")
    page = await browser.page(path)
    assert page.is_shell
    async with browser.status(path, page.token) as status:
        await eventually("word for the view", lambda: {"gone", "restarted"} & set(status.states), SOON)
    await neighbour()


async def test_a_kernel_that_is_stopped_hangs_nobody(
    browser: Browser, own_notebook: Notebook, neighbour: Neighbour
) -> None:
    """SIGSTOP: the process lives but does not even answer on its control channel."""
    cell = await own_notebook.run("show(sliders, name='app')")
    pid = await own_notebook.value("__import__('os').getpid()")
    os.kill(pid, signal.SIGSTOP)
    try:
        path = own_notebook.path_of(cell.view)
        page = await browser.page(path)
        assert page.is_shell and page.seconds < 2, page  # it might be one that has just been started
        async with browser.status(path, page.token) as status:
            await status.told("busy", 20, containing="has not answered")
            await neighbour()
            os.kill(pid, signal.SIGCONT)
            await status.told("ready")
    finally:
        os.kill(pid, signal.SIGCONT)
    async with browser.view(own_notebook.path_of(cell.view)) as view:
        assert (await view.set("slider", "value", 3)).kind == "OK"
