"""Kernel > Interrupt stops what hangs, in a cell and between cells, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from .client import Browser, Notebook, eventually

HANGING = """\
import asyncio, time
from bokeh.models import Slider
def hanging(doc):
    def moved(attr, old, new):
        print("moved to", new)
        while new == 2:
            time.sleep(0.01)
    async def moved_async(attr, old, new):
        await asyncio.sleep(0.01)
        while new == 3:
            time.sleep(0.01)
    slider = Slider(start=0, end=10, value=1, name="slider")
    slider.on_change("value", moved)
    slider.on_change("value", moved_async)
    doc.add_root(slider)
handle = show(hanging)
"""


@pytest.mark.parametrize(("value", "name"), [(2, "moved"), (3, "moved_async")])
async def test_a_callback_that_hangs_is_interrupted_and_its_session_lives_on(
    browser: Browser, notebook: Notebook, value: int, name: str
) -> None:
    cell = await notebook.run(HANGING)
    async with browser.view(notebook.path_of(cell.view)) as view:
        await view.begin_set("slider", "value", value)
        await eventually("the callback to run", lambda: f"moved to {value}" in cell.text)
        await asyncio.sleep(0.2)
        notebook.server.api(f"api/kernels/{notebook.kernel_id}/interrupt", "POST")
        await eventually("its traceback", lambda: cell.text.rstrip().endswith("KeyboardInterrupt"))
        assert f"{name} raised:\nTraceback" in cell.text
        assert "bokehmount" not in cell.text.partition("Traceback")[2], "none of our own frames"
        await view.set("slider", "value", 4)
        await eventually("the next callback", lambda: "moved to 4" in cell.text)
        assert await notebook.value("[session.document.roots[0].value for session in handle.sessions]") == [4]


async def test_an_app_that_never_ends_building_is_interrupted(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(
        "import time\ndef endless(doc):\n    print('begun')\n    while True:\n        time.sleep(0.01)\nshow(endless)"
    )
    path = notebook.path_of(cell.view)
    page = await browser.page(path)
    assert page.is_shell
    await eventually("the app to run", lambda: "begun" in cell.text)  # else nobody hears the interrupt
    async with browser.status(path, page.token) as status:
        notebook.server.api(f"api/kernels/{notebook.kernel_id}/interrupt", "POST")
        told = await status.told("raised", containing="KeyboardInterrupt")
    assert "in endless" in told["detail"]
    assert await notebook.value("6 * 7") == 42


async def test_an_interrupt_while_nothing_runs_and_one_of_a_cell_are_as_ever(
    browser: Browser, notebook: Notebook
) -> None:
    def interrupt() -> None:
        notebook.server.api(f"api/kernels/{notebook.kernel_id}/interrupt", "POST")

    cell = await notebook.run(HANGING)
    async with browser.view(notebook.path_of(cell.view)) as view:
        await view.set("slider", "value", 5)
        for _ in range(3):
            interrupt()
        for code in ("while True: time.sleep(0.01)", "await asyncio.sleep(60)"):
            running = await notebook.start(code)
            await asyncio.sleep(0.3)
            interrupt()
            await running.end(10)
            assert running.error is not None and ("Interrupt" in running.error or "Cancelled" in running.error)
        await view.set("slider", "value", 6)
        await eventually("the next callback", lambda: "moved to 6" in cell.text)
        assert "KeyboardInterrupt" not in cell.text
