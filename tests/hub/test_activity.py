"""What the hub takes for use of a server: it stops those that nobody uses.

It hears of use from two sides and takes the later one: the user's server says when it was used last, and the proxy says
when a browser sent its last byte over any connection.  The hub asks the proxy every second here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page

from bokehmount.testing import RunningNotebook

from ..browser.driver import View, eventually
from ..waves import SETUP, notebook
from .conftest import log_in
from .hub import HEARTBEAT, Hub, HubUser, Wire

pytestmark = pytest.mark.timeout(240)

STREAMS = """\
from bokeh.models import Range1d

def streams(doc, **ranges):
    source = ColumnDataSource({"x": [0.0], "y": [0.0]}, name="ticks")
    plot = figure(height=150, **ranges)
    plot.line("x", "y", source=source)
    slider = Slider(start=0, end=10, value=1, name="slider")
    doc.add_root(column(slider, plot))

    def tick():
        last = source.data["x"][-1]
        source.stream({"x": [last + 1], "y": [last % 7]}, 500)

    doc.add_periodic_callback(tick, 100)

def fixed(doc):
    streams(doc, x_range=Range1d(0, 1000), y_range=Range1d(0, 7))

def following(doc):
    streams(doc)

show(fixed, name="fixed")
show(following, name="following")
"""


@pytest.fixture(scope="module")
def running(bob: HubUser) -> Iterator[RunningNotebook]:
    with RunningNotebook.run(bob, notebook(SETUP, STREAMS)) as running:
        yield running


def heard(hub: Hub, name: str) -> str:
    """What the hub calls somebody's last activity; to ask the hub is none of theirs."""
    return str(hub.api("GET", f"users/{quote(name)}")["servers"][""]["last_activity"])


def reported(user: HubUser) -> str:
    """What somebody's server calls its last activity; to ask it is activity to the proxy alone."""
    return str(json.loads(user.script().get("api/status").body)["last_activity"])


def settled(hub: Hub, name: str) -> str:
    """The last activity that the hub knows of when there has been none for a while."""
    known = [heard(hub, name)]

    def is_settled() -> bool:
        time.sleep(2.5)
        known.append(heard(hub, name))
        return known[-1] == known[-2]

    hub.until(is_settled, f"the activity of {name} to end", 30)
    return known[-1]


def open_tab(context: BrowserContext, user: HubUser, running: RunningNotebook, app: str, port: int) -> Page:
    page = context.new_page()
    path = f"{urlsplit(user.url).path}bokeh/kernels/{running.kernel_id}/{app}"
    page.goto(f"http://127.0.0.1:{port}{path}")
    if "/hub/login" in page.url:
        log_in(page, user.name)
    page.wait_for_url(f"**/{app}", timeout=60000)
    View(page).wait_drawn(60)
    return page


def touch(page: Page) -> None:
    page.mouse.move(300, 100)
    page.mouse.move(310, 110)


@pytest.mark.parametrize("app", ["waves", "fixed"])
def test_an_open_tab_that_nobody_touches_is_no_activity_and_is_not_cut(
    app: str, bob: HubUser, hub: Hub, running: RunningNotebook, context: BrowserContext
) -> None:
    """Neither at the server nor at the proxy: a browser says nothing to our heartbeats, nor to a stream."""
    sockets: list[str] = []
    context.on("page", lambda page: page.on("websocket", lambda socket: sockets.append(socket.url)))
    with Wire(hub.port, idle=6 * HEARTBEAT) as wire:
        page = open_tab(context, bob, running, app, wire.port)
        before = settled(hub, "bob")
        opened = len(sockets)
        time.sleep(12 * HEARTBEAT)
        assert heard(hub, "bob") == before
        assert len(sockets) == opened >= 2, "a connection was cut and made again"
        touch(page)
        hub.until(lambda: heard(hub, "bob") > before, "the hub to hear of the use")
        page.close()


def test_what_a_browser_sends_by_itself_is_not_taken_for_its_user(
    bob: HubUser, hub: Hub, running: RunningNotebook, context: BrowserContext
) -> None:
    """BokehJS tells Python the ends of each range that follows a stream.  (The proxy can't know, and counts it.)"""
    sent: list[object] = []

    def listen(page: Page) -> None:
        page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))

    context.on("page", listen)
    page = open_tab(context, bob, running, "following", hub.port)
    eventually("the page to promise that it watches its user", lambda: "watching" in sent, 15, page)
    before = reported(bob)
    sent.clear()
    eventually("the browser to tell of its ranges", lambda: len(sent) > 30, 30, page)
    assert reported(bob) == before
    touch(page)
    eventually("the server to call itself used", lambda: reported(bob) > before, 15, page)
    page.close()


def test_use_by_a_script_is_activity_and_an_app_that_streams_to_nobody_is_not(
    bob: HubUser, hub: Hub, running: RunningNotebook
) -> None:
    """A script has no page of ours that says when it is used, so that each change counts."""
    view = running.open("fixed", visitor=bob.script())
    before = settled(hub, "bob")
    ticks: Callable[[], int] = lambda: len(view["ticks"].data["x"])  # noqa: E731
    known = ticks()
    view.wait_until(lambda document: ticks() > known + 20, "twenty ticks")
    assert heard(hub, "bob") == before
    view.set("slider", value=2)
    hub.until(lambda: heard(hub, "bob") > before, "the hub to hear of the use")
    view.close()
    after = settled(hub, "bob")
    time.sleep(2.5)
    assert heard(hub, "bob") == after, "an app that streams to nobody is not in use"
