"""The kinds of apps that Bokeh's users write, run by our server and used by stock clients."""

from __future__ import annotations

import asyncio
import base64
from functools import partial
from html import unescape
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import requests
from bokeh.application import Application
from bokeh.client.session import ClientSession
from bokeh.document import Document
from bokeh.embed import server_document, server_session
from bokeh.events import ButtonClick
from bokeh.models import ColumnDataSource, ImportedStyleSheet
from bokeh.models.widgets import Div, Slider
from bokeh.models.widgets.buttons import AbstractButton
from bokeh.util.token import generate_jwt_token, generate_session_id

from bokehmount.contexts import BokehSessionContext
from bokehmount_server.auth_provider import AuthModule
from bokehmount_server.sources import applications_of

from ..kinds import the
from .serving import Running, send_event, serving, until, wire_client

APPS = Path(__file__).parent / "apps"

theirs = pytest.mark.filterwarnings("ignore")  # Panel and HoloViews use what is deprecated


def app(name: str) -> Application:
    return applications_of({"/app": name}, APPS)["/app"]


def named(client: ClientSession, name: str) -> Any:
    model = the(Document, client.document).get_model_by_name(name)
    assert model is not None, f"no model is named {name!r}"
    return model


def text_becomes(client: ClientSession, name: str, text: str) -> None:
    until(client, lambda: named(client, name).text == text, f"{name} is {text!r}")


def holds(client: ClientSession, text: str) -> bool:
    """Whether this is somewhere in its Document."""
    return text in str(the(Document, client.document).to_json(deferred=False))


def test_a_script_with_sliders_redraws_its_curve() -> None:
    with serving({"/sliders": app("sliders.py")}) as running:
        page = requests.get(f"{running.url}/sliders", timeout=20)
        assert page.status_code == 200
        assert "<title>Sliders</title>" in page.text
        client = running.pull("/sliders")
        named(client, "frequency").value = 0
        until(client, lambda: list(named(client, "source").data["y"]) == [0, 0, 0])
        client.close()


def test_an_app_reads_the_arguments_headers_and_cookies_of_its_request() -> None:
    with serving({"/arguments": app("arguments.py")}) as running:
        page = requests.get(
            f"{running.url}/arguments", {"n": "42"}, headers={"X-Fruit": "fig"}, cookies={"cake": "plum"}, timeout=20
        )
        assert page.status_code == 200
        document = running.session("/arguments").document
        assert [root.text for root in document.roots] == ["n=42", "fig", "plum"]
        assert "plum" not in page.text


def test_a_clients_arguments_reach_the_app() -> None:
    with serving({"/arguments": app("arguments.py")}) as running:
        client = running.pull("/arguments", arguments={"n": "7"})
        assert named(client, "n").text == "n=7"
        client.close()


def test_a_source_is_streamed_patched_and_rolled_over_by_callbacks() -> None:
    with serving({"/streaming": app("streaming.py")}) as running:
        client = running.pull("/streaming")
        text_becomes(client, "told", "done")
        assert list(named(client, "source").data["y"])[:6] == [-1, 1, 4, 9, 16, 25]
        assert list(running.session("/streaming").document.get_model_by_name("source").data["y"]) == list(
            named(client, "source").data["y"]
        )
        client.close()


def test_a_file_is_taken() -> None:
    with serving({"/file": app("file_input.py")}) as running:
        client = running.pull("/file")
        chosen = named(client, "chosen")
        # only a browser may set it; this is what a browser sends
        chosen.lookup("value")._set(chosen, "", base64.b64encode(b"12345").decode())
        text_becomes(client, "told", "5 bytes")
        client.close()


def test_a_tables_edit_and_selection_reach_python() -> None:
    with serving({"/table": app("tables.py")}) as running:
        client = running.pull("/table")
        source = named(client, "source")
        source.patch({"count": [(0, 10)]})
        text_becomes(client, "total", "15")
        source.selected.indices = [1, 2]
        text_becomes(client, "total", "5")
        client.close()


def test_an_event_that_a_browser_sends_reaches_python() -> None:
    with serving({"/js": app("custom_js.py")}) as running:
        client = running.pull("/js")
        send_event(client, ButtonClick(named(client, "button")))
        until(client, lambda: named(client, "clicks").text == "1")
        client.close()


def test_a_data_model_changes_from_both_sides() -> None:
    with serving({"/weather": app("data_model.py")}) as running:
        client = running.pull("/weather")
        weather = named(client, "weather")
        weather.degrees = 31.5
        until(client, lambda: named(client, "told").text == "31.5" and weather.readings == 1)
        client.close()


def test_an_app_of_several_files_with_hooks_theme_template_and_static_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    monkeypatch.setenv("HOOKS_FILE", str(hooks))
    with serving({"/many_files": app("many_files")}) as running:
        page = requests.get(f"{running.url}/many_files", timeout=20).text
        assert '<h1 id="greeting">token says kiwi</h1>' in page
        document = running.session("/many_files").document
        assert document.get_model_by_name("plot").background_fill_color == "#112233"
        css = requests.get(f"{running.url}/many_files/static/own.css", timeout=20)
        assert (css.status_code, css.text) == (200, "body { color: teal }\n")
        assert css.headers["Content-Type"].startswith("text/css")
        assert requests.get(f"{running.url}/many_files/static/../main.py", timeout=20).status_code == 404
        assert hooks.read_text().split() == ["loaded", "created"]
    assert hooks.read_text().split() == ["loaded", "created", "destroyed", "unloaded"]


@theirs
def test_a_panel_apps_widget_drives_its_bound_function() -> None:
    with serving({"/panel": app("panel_app.py")}) as running:
        page = requests.get(f"{running.url}/panel", timeout=30)
        assert page.status_code == 200
        assert "<title>Squares</title>" in page.text
        client = running.pull("/panel")
        (slider,) = the(Document, client.document).select({"type": Slider})
        the(Slider, slider).value = 5
        until(client, partial(holds, client, "5 squared is 25"))
        client.close()


@theirs
def test_a_panel_callback_in_an_event_handler_reaches_the_browser() -> None:
    import panel as pn

    def make(doc: Document) -> None:
        button, told = pn.widgets.Button(label="add"), pn.pane.Str("0 clicks")  # type: ignore[no-untyped-call]

        def clicked(event: object) -> None:
            told.object = f"{button.clicks} clicks"

        button.on_click(clicked)
        pn.Row(button, told).server_doc(doc)

    with serving(make) as running:
        client = running.pull()
        (button,) = the(Document, client.document).select({"type": pn.models.widgets.Button})
        for count in (1, 2):
            send_event(client, ButtonClick(the(AbstractButton, button)))
            until(client, partial(holds, client, f"{count} clicks"))
        client.close()


@theirs
def test_panel_is_told_of_each_session_of_a_function() -> None:
    import panel as pn

    told: list[str] = []
    pn.state.on_session_created(lambda context: told.append(context.id))
    with serving(lambda doc: doc.add_root(Div())) as running:
        client = running.pull(session_id="one")
        client.close()
    assert told == ["one"]


@theirs
@pytest.mark.parametrize("path", ["/", "/deep/app"])
def test_panel_knows_the_address_of_a_page_while_its_app_is_made(path: str) -> None:
    import panel as pn

    told: list[dict[str, object]] = []

    def made(doc: Document) -> None:
        location: Any = pn.state.location
        slider: Any = pn.widgets.IntSlider(end=9)  # type: ignore[no-untyped-call]  # Panel has no types for it
        location.sync(slider, {"value": "n"})
        names = ("href", "protocol", "hostname", "port", "pathname", "search")
        told.append({"n": slider.value, "who": location.query_params["who"]} | {n: getattr(location, n) for n in names})
        pn.Column(slider).server_doc(doc, location=location)

    with serving({path: made}, prefix="x") as running:
        root, _, port = running.url.removesuffix("/x").rpartition(":")
        query = "?n=5&who=%C3%BC"
        assert requests.get(f"{running.url}{path}{query}&bokeh-session-id=one", timeout=20).status_code == 200
        running.pull(path, arguments={"n": "5", "who": "x"}).close()  # a session that a WebSocket makes
        assert told.pop()["pathname"] == f"/x{path}".rstrip("/")
    assert told == [
        {
            **{"n": 5, "who": "ü"},
            **{"href": f"{running.url}{path}{query}", "protocol": "http:", "hostname": root.removeprefix("http://")},
            **{"port": port, "pathname": f"/x{path}", "search": query},
        }
    ]


@theirs
def test_panels_threads_may_change_what_is_seen() -> None:
    import panel as pn

    def made(doc: Document) -> None:
        panel: Any = pn  # which has no types
        slider, told = panel.widgets.IntSlider(end=9), panel.pane.Str("nothing yet")

        async def changed(event: Any) -> None:
            await asyncio.to_thread(setattr, told, "object", f"it is {event.new}")

        slider.param.watch(changed, "value")
        pn.Column(slider, told).server_doc(doc)

    with serving(made) as running:
        client = running.pull()
        the(Slider, the(Document, client.document).select_one({"type": Slider})).value = 5
        until(client, lambda: holds(client, "it is 5"))
        client.close()


@theirs
def test_a_divider_of_panel_has_its_style_sheet_from_this_server_too() -> None:
    import panel as pn

    def made(doc: Document) -> None:
        panel: Any = pn  # which has no types
        panel.Column(panel.layout.Divider(), panel.widgets.IntSlider(end=9)).server_doc(doc)

    with serving(made, prefix="x") as running:
        assert requests.get(running.url, timeout=20).status_code == 200
        sheets = running.session().document.select({"type": ImportedStyleSheet})
        urls = {sheet.url for sheet in sheets}
        assert any("/divider.css" in url for url in urls)
        root, _, _ = running.url.rpartition("/x")
        for url in urls:
            assert url.startswith("/x/static/extensions/panel/")
            assert requests.get(root + url, timeout=20).status_code == 200


COMPONENT = """
from panel.custom import JSComponent

class Counter(JSComponent):
    _bundle = "counter.bundle.js"
"""


@theirs
def test_files_of_panels_components_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "component_of_a_test.py").write_text(COMPONENT)
    (tmp_path / "counter.bundle.js").write_text("export default {}")
    monkeypatch.syspath_prepend(tmp_path)
    import_module("component_of_a_test")
    with serving({"/app": app("sliders.py")}, prefix="x") as running:
        below = f"{running.url}/components/component_of_a_test/Counter/_bundle_path"
        found = requests.get(f"{below}/counter.bundle.js", timeout=20)
        assert (found.status_code, found.text) == (200, "export default {}")
        assert found.headers["Content-Type"] == "text/javascript"
        assert requests.get(f"{below}/component_of_a_test.py", timeout=20).status_code == 404


@theirs
def test_a_holoviews_map_redraws_with_its_slider() -> None:
    with serving({"/hv": app("holoviews_app.py")}) as running:
        assert requests.get(f"{running.url}/hv", timeout=60).status_code == 200
        client = running.pull("/hv")
        slider: Any = next(model for model in the(Document, client.document).models if "Slider" in type(model).__name__)
        slider.value = 2.0

        def drawn() -> bool:
            sources = [
                the(ColumnDataSource, model)
                for model in the(Document, client.document).select({"type": ColumnDataSource})
            ]
            return any(4.0 in list(next(iter(source.data.values()), [])) or _has(source, 16.0) for source in sources)

        until(client, drawn, "the curve is a parabola")
        client.close()


def _has(source: ColumnDataSource, number: float) -> bool:
    return any(number in list(column) for column in source.data.values())


def login_app(doc: Document) -> None:
    context = the(BokehSessionContext, doc.session_context)
    doc.add_root(Div(text=f"{context.logout_url}", name="logout"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # bokeh.client drops its socket
def test_a_password_login_guards_pages_scripts_and_web_sockets() -> None:
    with serving({"/secret": login_app}, auth_provider=AuthModule(APPS / "login.py"), prefix="/x") as running:
        refused = requests.get(f"{running.url}/secret?a=1", allow_redirects=False, timeout=20)
        assert refused.status_code == 302
        assert refused.headers["Location"] == "/x/login?next=%2Fx%2Fsecret%3Fa%3D1"
        for path in ("/secret/metadata", "/secret/autoload.js?bokeh-autoload-element=e"):
            assert requests.get(running.url + path, allow_redirects=False, timeout=20).status_code == 302
        with pytest.raises(OSError):
            running.pull("/secret")

        browser = requests.Session()
        assert browser.post(f"{running.url}/login", {"password": "guess"}, timeout=20).status_code == 401
        page = browser.post(f"{running.url}/login?next=/x/secret", {"password": "sesame"}, timeout=20)
        assert page.status_code == 200
        assert page.url == f"{running.url}/secret"
        assert running.session("/secret").document.get_model_by_name("logout").text == "/x/logout"
        browser.get(f"{running.url}/logout", timeout=20)
        assert browser.get(f"{running.url}/secret", allow_redirects=False, timeout=20).status_code == 302


def test_a_page_of_another_server_embeds_an_app() -> None:
    with serving({"/sliders": app("sliders.py")}) as running:
        tag = server_document(f"{running.url}/sliders", arguments={"n": "1"})
        url = tag.partition("xhr.open('GET', \"")[2].partition('"')[0]
        script = requests.get(url, headers={"Origin": "http://elsewhere.example"}, timeout=20)
        assert script.status_code == 200
        assert script.headers["Access-Control-Allow-Origin"] == "*"
        assert f"{running.url}/sliders" in script.text
        assert f"{running.url}/static/js/bokeh.min.js" in script.text
        without = requests.get(f"{url}&resources=none", timeout=20).text
        assert "bokeh.min.js" not in without


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_only_a_page_that_may_open_a_web_socket_loads_a_script_with_its_visitors_cookies(method: str) -> None:
    def credentials(origin: str) -> tuple[str, str | None]:
        headers = {"Origin": origin, "Cookie": "login=1"}
        answer = requests.request(method, url, headers=headers, timeout=20)
        assert answer.ok and "Origin" in answer.headers["Vary"]
        return answer.headers["Access-Control-Allow-Origin"], answer.headers.get("Access-Control-Allow-Credentials")

    with serving({"/sliders": app("sliders.py")}, allow_websocket_origin=["friend.example:81"]) as running:
        url = f"{running.url}/sliders/autoload.js?bokeh-autoload-element=e"
        assert credentials("http://friend.example:81") == ("http://friend.example:81", "true")
        for origin in ("http://elsewhere.example", "http://friend.example", "null"):
            assert credentials(origin) == ("*", None)


def test_a_page_embeds_a_session_that_a_client_prepared() -> None:
    with serving({"/sliders": app("sliders.py")}) as running:
        session_id = generate_session_id()
        client = running.pull("/sliders", session_id=session_id)
        named(client, "frequency").title = "prepared"
        client.force_roundtrip()
        tag = server_session(None, session_id=session_id, url=f"{running.url}/sliders")
        url = tag.partition("xhr.open('GET', \"")[2].partition('"')[0]
        headers = {"Bokeh-Session-Id": session_id} if "bokeh-session-id" not in url else {}
        script = requests.get(url, headers=headers, timeout=20)
        assert script.status_code == 200
        assert running.session("/sliders").document.get_model_by_name("frequency").title == "prepared"
        client.close()


def test_two_clients_of_one_session_see_each_others_changes(request: pytest.FixtureRequest) -> None:
    with serving({"/sliders": app("sliders.py")}) as running:
        one = running.pull("/sliders", session_id="shared")
        two = running.pull("/sliders", session_id="shared")
        named(one, "frequency").value = 4
        one.force_roundtrip()  # a stock client writes only while its loop runs
        until(two, lambda: named(two, "frequency").value == 4)
        named(two, "frequency").value = 5
        two.force_roundtrip()
        until(one, lambda: named(one, "frequency").value == 5)
        one.close()
        two.close()


RAISED = "The app raised an error while it was started; the server's log says which."


async def closed(running: Running, path: str) -> tuple[int | None, str | None]:
    """How the server closes a WebSocket that asks for a session of an app."""
    socket = await wire_client(running, path, generate_jwt_token(generate_session_id()))
    while await socket.read_message() is not None:
        pass
    socket.close()
    return socket.close_code, socket.close_reason


def test_an_app_that_raises_says_so_without_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def broken(doc: Document) -> None:
        raise RuntimeError("the password is sesame")

    with serving({"/broken": broken, "/sliders": app("sliders.py")}) as running:
        page = requests.get(f"{running.url}/broken", timeout=20)
        assert page.status_code == 500
        assert "sesame" not in page.text
        assert "log" in page.text
        assert "sesame" in caplog.text
        script = requests.get(f"{running.url}/broken/autoload.js?bokeh-autoload-element=e", timeout=20)
        assert script.status_code == 500 and script.reason == RAISED
        assert "sesame" not in script.text and RAISED in unescape(script.text)
        assert asyncio.run(closed(running, "/broken")) == (4500, RAISED)
        assert requests.get(f"{running.url}/sliders", timeout=20).status_code == 200
        caplog.clear()
