"""Stock BokehJS in a headless browser against our stand-alone server."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from bokeh.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.document import Document
from bokeh.embed import server_document
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Button, Div, Slider, TextInput
from playwright.sync_api import Browser, Page, sync_playwright

from bokehmount_server.sources import applications_of

from ..chromium import launched
from .serving import Running, serving

APPS = Path(__file__).parent / "apps"

# the models of the only Document, by name; values as plain JSON
MODELS = """() => {
  const doc = Bokeh.documents[0], found = {}
  for (const model of doc._all_models.values()) {
    if (model.name != null) found[model.name] = model
  }
  return found
}"""
GET = f"""([name, attr]) => {{
  const value = ({MODELS})()[name]?.[attr]
  const plain = (v) => v instanceof Map ? Object.fromEntries([...v].map(([k, w]) => [k, plain(w)]))
    : ArrayBuffer.isView(v) || Array.isArray(v) ? Array.from(v, plain)
    : v != null && v.constructor === Object ? Object.fromEntries(Object.entries(v).map(([k, w]) => [k, plain(w)])) : v
  return plain(value)
}}"""
SET = f"([name, attr, value]) => {{ ({MODELS})()[name][attr] = value }}"
READY = "() => window.Bokeh?.documents?.length > 0 && Bokeh.documents[0].is_idle"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


def open_page(browser: Browser, url: str) -> Page:
    page = browser.new_context().new_page()
    page.goto(url)
    page.wait_for_function(READY, timeout=60_000)
    return page


def eventually(what: str, condition: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def value(page: Page, name: str, attr: str) -> Any:
    return page.evaluate(GET, [name, attr])


def has(page: Page, name: str, attr: str, expected: object) -> bool:
    return bool(value(page, name, attr) == expected)


def app(name: str) -> Any:
    return applications_of({"/app": name}, APPS)["/app"]


def test_a_slider_in_the_browser_redraws_the_curve(browser: Browser) -> None:
    with serving({"/app": app("sliders.py")}) as running:
        page = open_page(browser, f"{running.url}/app")
        assert page.title() == "Sliders"
        page.evaluate(SET, ["frequency", "value", 0])
        eventually("the curve to be flat", lambda: value(page, "source", "data")["y"] == [0, 0, 0])
        page.context.close()


def test_a_click_runs_both_the_browsers_callback_and_pythons(browser: Browser) -> None:
    with serving({"/app": app("custom_js.py")}) as running:
        page = open_page(browser, f"{running.url}/app")
        page.get_by_role("button", name="set to 8").click()
        eventually("the answer of Python", lambda: value(page, "answer", "text") == "python saw 8")
        eventually("the count", lambda: value(page, "clicks", "text") == "1")
        page.context.close()


def test_a_compiled_model_is_drawn_and_changes_from_both_sides_in_each_new_session(browser: Browser) -> None:
    at_once = {"unused_session_lifetime_milliseconds": 1, "check_unused_sessions_milliseconds": 100}
    with serving({"/app": app("extension_model.py")}, **at_once) as running:
        for _ in range(2):  # the model's class is another one in each session, and is gone with the first
            page = open_page(browser, f"{running.url}/app")
            page.get_by_role("button", name="apples: 1").click(timeout=20_000)
            page.get_by_role("button", name="pears: 2").click(timeout=20_000)
            page.get_by_role("button", name="apples: 3").wait_for(timeout=20_000)
            eventually("the answer of Python", partial(has, page, "told", "text", "python saw 3"))
            assert running.session("/app").document.get_model_by_name("tally").count == 3
            page.context.close()
            eventually("the session to end", lambda: not running.server.get_sessions("/app"))


@pytest.mark.filterwarnings("ignore")  # Panel uses what is deprecated
def test_a_panel_app_answers_in_the_browser_again_and_again(browser: Browser) -> None:
    import panel as pn

    def make(doc: Document) -> None:
        button, told = pn.widgets.Button(label="add"), pn.pane.Str("0 clicks")  # type: ignore[no-untyped-call]

        def clicked(event: object) -> None:
            told.object = f"{button.clicks} clicks"

        button.on_click(clicked)
        pn.Row(button, told).server_doc(doc)

    with serving(make) as running:
        page = open_page(browser, running.url)
        for count in (1, 2, 3):
            page.get_by_role("button", name="add").click()
            page.get_by_text(f"{count} clicks").wait_for(timeout=20_000)
        page.context.close()


@pytest.mark.filterwarnings("ignore")  # Panel uses what is deprecated
def test_panel_knows_of_a_document_whatever_application_made_it(browser: Browser) -> None:
    import panel as pn

    def make(doc: Document) -> None:
        widgets: Any = pn.widgets
        told = widgets.TextInput(name="told")
        pn.state.onload(lambda: setattr(told, "value", f"loaded with {pn.state.session_args}"))
        told.servable()  # in what is the current Document

    with serving(Application(FunctionHandler(make))) as running:
        page = open_page(browser, f"{running.url}?n=5")
        expected = "loaded with {'n': [b'5']}"
        eventually("what is told", lambda: page.get_by_role("textbox").input_value() == expected)
        page.context.close()


@contextmanager
def other_site() -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """Another site: its host, its pages by their paths, to be filled, and the paths that were asked for in vain."""
    pages: dict[str, str] = {"/favicon.ico": ""}
    missing: list[str] = []

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            if page is None:
                missing.append(self.path)
            self.send_response(404 if page is None else 200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write((page or "").encode())

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Site) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", pages, missing
        finally:
            server.shutdown()
            thread.join()


def test_an_app_in_a_page_of_another_server(browser: Browser) -> None:
    with (
        other_site() as (host, pages, _),
        serving({"/app": app("sliders.py")}, allow_websocket_origin=[host]) as running,
    ):
        pages["/"] = f"<!DOCTYPE html><body>{server_document(f'{running.url}/app')}</body>"
        page = open_page(browser, f"http://{host}/")
        page.evaluate(SET, ["frequency", "value", 0])
        eventually("the curve to be flat", lambda: value(page, "source", "data")["y"] == [0, 0, 0])
        page.context.close()


NOTIFYING = """
import panel as pn

pn.extension(raw_css=["body { background: rgb(200, 250, 200); }"], notifications=True)
play = pn.widgets.Button(name="Play", button_type="success")
play.on_click(lambda event: pn.state.notifications.success("it plays"))
pn.Column(play).servable()
"""


@pytest.mark.filterwarnings("ignore")  # Panel uses what is deprecated
@pytest.mark.parametrize("path", ["/", "/deep/app"])
def test_a_panel_app_in_a_page_of_another_server_has_its_styles_and_notifications(
    browser: Browser, tmp_path: Path, path: str
) -> None:
    (tmp_path / "play.py").write_text(NOTIFYING)
    made = applications_of({path: "play.py"}, tmp_path)
    with other_site() as (host, pages, missing), serving(made, allow_websocket_origin=[host], prefix="x") as running:
        pages["/"] = f"<!DOCTYPE html><body>{server_document(running.url + path)}</body>"
        page = open_page(browser, f"http://{host}/")
        play = page.get_by_role("button", name="Play")
        play.click()
        page.locator(".notyf__message").wait_for()
        assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(200, 250, 200)"
        style = "element => getComputedStyle(element).getPropertyValue('--success-bg-color')"
        eventually("the theme's style sheet", lambda: play.evaluate(style))
        # of an app at the root Panel does not know where it is; the last two are asked for since Panel 1.10
        known = ("/loading.css", "/notyf.min.css", "/font-awesome/css/all.min.css") if path == "/" else ()
        assert not [file for file in missing if not file.partition("?")[0].endswith(known)]
        page.context.close()


def both(doc: Document) -> None:
    slider = Slider(start=0, end=100, value=1, name="slider")
    text = TextInput(value="a", name="text")
    source = ColumnDataSource({"x": [1, 2], "y": [1, 2]}, name="source")
    told, button = Div(text="", name="told"), Button(name="button")

    def moved(attr: str, old: float, new: float) -> None:
        told.text = f"moved to {new}"
        source.stream({"x": [new], "y": [new]}, rollover=5)
        if new % 3 == 0:
            raise RuntimeError("on purpose, after a change")

    def typed(attr: str, old: str, new: str) -> None:
        doc.hold("combine")
        slider.value = (len(new) * 7) % 100
        source.patch({"y": [(0, len(new))]})
        doc.unhold()

    slider.on_change("value", moved)
    text.on_change("value", typed)
    for root in (slider, text, source, told, button):
        doc.add_root(root)


COMPARED = (
    ("slider", "value"),
    ("slider", "title"),
    ("text", "value"),
    ("told", "text"),
    ("source", "data"),
    ("button", "label"),
)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_browser_and_the_document_are_equal_after_changes_from_both_sides(browser: Browser, seed: int) -> None:
    chance = random.Random(seed)
    with serving(both) as running:
        page = open_page(browser, running.url)
        session = running.session()
        for _ in range(40):
            step(chance, running, session, page)

        def here() -> dict[str, Any]:
            result: dict[str, Any] = running.do(lambda: session.with_document_locked(state, session.document))
            return result

        def there() -> dict[str, Any]:
            return {f"{name}.{attr}": value(page, name, attr) for name, attr in COMPARED}

        try:
            eventually("both sides to be equal", lambda: here() == there())
        except AssertionError:
            assert here() == there()
        page.context.close()


def state(doc: Document) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return json.loads(json.dumps(value, default=lambda array: array.tolist()))

    return {f"{name}.{attr}": plain(getattr(doc.get_model_by_name(name), attr)) for name, attr in COMPARED}


def step(chance: random.Random, running: Running, session: Any, page: Page) -> None:
    number, word = chance.randrange(100), "ab" * chance.randrange(4)

    def change(doc: Document) -> None:
        models: Any = {name: doc.get_model_by_name(name) for name, _ in COMPARED}
        try:
            match chance.randrange(4):
                case 0:
                    models["slider"].value = number
                case 1:
                    models["source"].data = {"x": [number], "y": [number]}
                case 2:
                    models["button"].label = f"label {number}"
                case 3:
                    models["text"].value = word
        except RuntimeError as error:
            assert "on purpose" in str(error)

    match chance.randrange(4):
        case 0:
            page.evaluate(SET, ["slider", "value", number])
        case 1:
            page.evaluate(SET, ["text", "value", word])
        case 2:
            page.evaluate(SET, ["slider", "title", f"title {number}"])
        case 3:
            running.do(lambda: session.with_document_locked(change, session.document))
