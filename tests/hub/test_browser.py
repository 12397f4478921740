"""A logged-in user in JupyterLab behind the hub's proxy, in a real browser."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, Request

from bokehmount.testing import RunningNotebook

from ..browser.driver import View, eventually
from ..waves import SETUP, notebook
from .conftest import log_in
from .hub import Hub, HubUser, Wire

pytestmark = pytest.mark.timeout(240)

STREAM = """\
def ticker(doc):
    source = ColumnDataSource({"x": np.zeros(1), "y": np.zeros(1)}, name="ticks")
    plot = figure(height=150)
    plot.line("x", "y", source=source)
    doc.add_root(plot)

    def tick():
        last = source.data["x"][-1]
        source.stream({"x": last + np.arange(1.0, 4.0), "y": np.random.default_rng(1).normal(size=3)}, 1000)

    doc.add_periodic_callback(tick, 100)

show(ticker, name="ticker")
"""

SCREENSHOTS = os.environ.get("HUB_SCREENSHOTS")
"""A folder for pictures, to be looked at by eye."""


@pytest.fixture(scope="module")
def wire(hub: Hub) -> Iterator[Wire]:
    with Wire(hub.port) as wire:
        yield wire


def picture(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"))


def test_jupyterlab_behind_the_hub(hub: Hub, alice: HubUser, wire: Wire, context: BrowserContext) -> None:
    home = hub.folder / "home/alice"
    home.mkdir(parents=True, exist_ok=True)
    (home / "waves.ipynb").write_text(json.dumps(notebook(SETUP, STREAM)))
    asked: list[Request] = []
    context.on("request", lambda request: asked.append(request) if "/bokeh/" in request.url else None)
    sockets: list[str] = []
    page = context.new_page()
    page.on("websocket", lambda socket: sockets.append(socket.url))

    base = f"http://127.0.0.1:{wire.port}{urlsplit(alice.url).path}"
    page.goto(f"{base}lab/tree/waves.ipynb?reset")
    log_in(page, "alice")
    page.wait_for_url("**/user/alice/lab**", timeout=60000)

    def restored() -> None:
        page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=90000)
        page.wait_for_function("() => window.jupyterapp?.restored.then(() => true)", timeout=60000)

    restored()
    page.wait_for_function(
        """() => {
          const w = window.jupyterapp.shell.currentWidget, s = w?.sessionContext;
          return w?.context?.isReady && s?.isReady && s.session?.kernel?.connectionStatus === 'connected'
            && s.session.kernel.status === 'idle';
        }""",
        timeout=90000,
    )
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    frames = page.locator("iframe.bokehmount-View-frame")
    eventually("two views", lambda: frames.count() == 2, 60, page)

    cell = View(page, frames.nth(0)).wait_drawn(60)
    before = cell.column("source", "y")
    cell.set("slider", "value", 4)
    eventually("the curve to follow the slider", lambda: cell.column("source", "y") != before, 15, page)
    ticks = View(page, frames.nth(1)).wait_drawn(60)
    eventually("arrays to stream in", lambda: len(ticks.column("ticks", "x")) > 30, 30, page)
    picture(page, "lab")

    # a frame is loaded anew by whoever likes, and by our own buttons
    cell.frame.evaluate("() => { window.isTheFirst = true; location.reload(); }")
    eventually("another page", lambda: not cell.frame.evaluate("() => window.isTheFirst"), 30, page)
    cell.wait_drawn(60)
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    cell.wait_says("restarted", state="restarted", timeout=30)
    cell.frame.get_by_role("button", name="Reload").click()
    cell.wait_says("not loaded in this kernel", timeout=30)
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    eventually("another app", lambda: cell.js("model('slider').value") == 1, 60, page)
    cell.wait_drawn(60)

    with context.expect_page() as opened:
        page.locator("a.bokehmount-View-link").nth(0).click()
    tab = View(opened.value).wait_drawn(60)
    assert "_xsrf" not in opened.value.url
    assert urlsplit(opened.value.url).path.startswith("/hub-prefix/user/alice/bokeh/kernels/")
    assert tab.js("model('slider').value") == 1, "a view of its own"
    picture(opened.value, "tab")

    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=15000)
    page.reload()
    restored()
    eventually("the views again, without running a cell", lambda: frames.count() == 2, 60, page)
    View(page, frames.nth(0)).wait_drawn(60)

    for request in asked:
        headers = request.all_headers()
        if headers.get("sec-fetch-mode") in ("cors", "same-origin"):
            assert headers.get("x-xsrftoken"), f"a request that the hub refuses: {request.url}"
        assert urlsplit(request.url).path.startswith("/hub-prefix/user/alice/bokeh/")
        response = request.response()
        # 503: the page of a kernel that was restarted
        assert response is None or response.status in (200, 202, 304, 503), f"{request.url}: {response.status}"
    kinds = {urlsplit(request.url).path.rsplit("/", 1)[-1] for request in asked}
    assert {"waves", "ticker", "view.js", "bokeh.min.js"} <= kinds, kinds
    assert [url for url in sockets if url.endswith("/waves/ws")], sockets
    kernels = alice.api("GET", "sessions")
    for session in kernels:
        if session["path"] == "waves.ipynb":
            alice.api("DELETE", f"sessions/{session['id']}")


PANEL = """\
import panel as pn
import panel_material_ui as pmui

def material(doc):
    slider = pmui.FloatSlider(name="amplitude", end=8)
    pn.Column(slider, pn.bind("it is {}".format, slider)).server_doc(doc)

def fast(doc):
    pn.template.FastListTemplate(title="Fast", main=["# Hello"]).server_doc(doc)

shown = show(material, name="material"), show(fast, name="fast")
"""


NO_FILE = (302, 403, 404)


def opened(context: BrowserContext, url: str, name: str) -> tuple[Page, list[str]]:
    """An app's page, for who has logged in, and the files of ours that it does not get."""
    page = context.new_page()
    page.goto(url)
    log_in(page, name)
    page.wait_for_url(f"**/{url.rpartition('/')[2]}", timeout=60000)
    refused: list[str] = []
    page.on("response", lambda it: refused.append(it.url) if it.status in NO_FILE and "/bokeh/" in it.url else None)
    page.reload()
    return page, refused


def move_the_slider(page: Page) -> None:
    page.get_by_role("slider").press("ArrowRight", timeout=60000)
    page.get_by_text("it is 0.1").wait_for(timeout=20000)


def test_an_app_of_the_users_server_whose_widgets_are_javascript_modules(bob: HubUser, context: BrowserContext) -> None:
    page, refused = opened(context, f"{bob.url}bokeh/hosted", "bob")
    move_the_slider(page)
    picture(page, "hosted")
    assert not refused


def test_parts_of_panel_that_are_javascript_modules(alice: HubUser, context: BrowserContext) -> None:
    with RunningNotebook.run(alice, notebook(SETUP, PANEL)) as running:
        kernel = f"{alice.url}bokeh/kernels/{running.kernel_id}"
        page, refused = opened(context, f"{kernel}/material", "alice")
        move_the_slider(page)
        picture(page, "material")
        page.goto(f"{kernel}/fast")
        page.get_by_role("heading", name="Hello").wait_for(timeout=60000)
        page.wait_for_function("() => customElements.get('fast-card') !== undefined", timeout=30000)
        picture(page, "fast")
        assert not refused


def test_no_other_page_of_the_origin_has_an_app_in_a_frame(
    alice: HubUser, waves: RunningNotebook, hub: Hub, context: BrowserContext
) -> None:
    """Another user's page is one, and may say that it is anywhere on the origin."""
    page = context.new_page()
    url = f"{alice.url}bokeh/kernels/{waves.kernel_id}/waves"
    page.goto(url)
    log_in(page, "alice")
    page.wait_for_url("**/waves", timeout=60000)
    page.goto(f"{hub.url}hub/token")
    calls = waves.execute("len(calls)")
    page.evaluate(
        """([lab, url]) => {
          history.replaceState(null, "", lab);
          const frame = document.createElement("iframe");
          frame.src = url;
          document.body.replaceChildren(frame);
        }""",
        [f"{urlsplit(alice.url).path}lab", url],
    )
    eventually("the app to be asked", lambda: waves.execute("len(calls)") != calls, 30, page)
    frame = page.locator("iframe")
    eventually("a page that says nothing", lambda: frame.evaluate("frame => frame.contentDocument === null"), 30, page)


def test_a_dropped_connection_and_a_login_that_ends(
    alice: HubUser, waves: RunningNotebook, wire: Wire, context: BrowserContext
) -> None:
    origin = f"http://127.0.0.1:{wire.port}"
    page = context.new_page()
    sockets: list[float] = []
    page.on("websocket", lambda socket: sockets.append(time.monotonic()))
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{origin}{urlsplit(alice.url).path}bokeh/kernels/{waves.kernel_id}/waves")
    log_in(page, "alice")
    page.wait_for_url("**/waves", timeout=60000)
    view = View(page).wait_drawn(60)
    view.set("slider", "value", 3)
    waves_now = "document = next(d for d in handle.documents if d.get_model_by_name('slider').value == {value})"
    eventually(
        "the app to take it",
        lambda: waves.execute("any(d.get_model_by_name('slider').value == 3 for d in handle.documents)") == "True",
        15,
        page,
    )
    calls = waves.execute("len(calls)")

    # the proxy drops the connection, and arrays change before it is back
    waves.execute(waves_now.format(value=3))
    wire.cut()
    waves.execute("document.get_model_by_name('source').data = {'x': np.arange(500.0), 'y': np.arange(500.0) ** 2}")
    eventually("the same session with its arrays", lambda: view.column("source", "y")[-1:] == [499.0**2], 40, page)
    assert view.js("model('slider').value") == 3
    assert waves.execute("len(calls)") == calls
    eventually("nothing to be said any more", lambda: view.status()["text"] == "", 30, page)

    # the login ends in another tab, and the connection breaks
    other = context.new_page()
    other.goto(f"{origin}/hub-prefix/hub/logout")
    wire.cut()
    view.wait_says("You are logged out", "Log in, and this view goes on", state="loggedout", timeout=40)
    assert page.locator("[data-bokehmount=status] button").text_content() == "Log in", errors
    picture(page, "logged-out")
    assert page.url.endswith("/waves"), "the page stays"
    # BokehJS has its five tries; after these there is silence
    eventually("the tries to end", lambda: time.monotonic() - sockets[-1] > 6, 60, page)
    assert len(sockets) < 20, f"{len(sockets)} WebSockets"

    waves.execute("document.get_model_by_name('slider').value = 8")
    other.close()
    with context.expect_page() as opened:
        page.locator("[data-bokehmount=status] button").click()
    log_in(opened.value, "alice")
    opened.value.wait_for_url("**/waves", timeout=60000)
    View(opened.value).wait_drawn(60)
    page.bring_to_front()
    page.evaluate("() => dispatchEvent(new Event('focus'))")
    eventually("the view to go on in its session", lambda: view.js("model('slider').value") == 8, 40, page)
    eventually("nothing to be said any more", lambda: view.status()["text"] == "", 30, page)
    picture(page, "back")
    # BokehJS tells of a new layout, as of a tab that is looked at again, also while it connects
    assert not [error for error in errors if "Still in CONNECTING state" not in error]


def test_a_login_that_expires_while_an_app_is_open(bob: HubUser, hub: Hub, wire: Wire, context: BrowserContext) -> None:
    """The server's own login ends before the hub's, so that the way back asks for no password."""
    with RunningNotebook.run(bob, notebook(SETUP)) as running:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{wire.port}{urlsplit(bob.url).path}bokeh/kernels/{running.kernel_id}/waves")
        log_in(page, "bob")
        page.wait_for_url("**/waves", timeout=60000)
        view = View(page).wait_drawn(60)
        view.set("slider", "value", 3)
        taken = "any(d.get_model_by_name('slider').value == 3 for d in handle.documents)"
        eventually("the app to take it", lambda: running.execute(taken) == "True", 15, page)
        calls = int(running.execute("len(calls)"))

        hub.expire_logins("bob")
        wire.cut()
        view.wait_says("You are logged out", "Log in, and this view goes on", state="loggedout", timeout=40)
        running.execute("handle.documents[-1].get_model_by_name('slider').value = 8")
        with context.expect_page() as opened:
            page.locator("[data-bokehmount=status] button").click()
        opened.value.wait_for_url("**/waves", timeout=60000)
        View(opened.value).wait_drawn(60)
        page.bring_to_front()
        page.evaluate("() => dispatchEvent(new Event('focus'))")
        eventually("the view to go on in its session", lambda: view.js("model('slider').value") == 8, 40, page)
        assert int(running.execute("len(calls)")) == calls + 1, "one for the tab of the login, none for this view"
