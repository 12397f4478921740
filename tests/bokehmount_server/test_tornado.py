"""`BokehTornado`: its parameters, endpoints, tokens and jobs."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import requests
from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.models.widgets import Div
from bokeh.util.token import generate_jwt_token, generate_session_id, get_token_payload
from tornado.httpclient import HTTPClientError
from tornado.web import RequestHandler

from bokehmount_server import urls
from bokehmount_server.app_handlers import index_page
from bokehmount_server.tornado import BokehTornado, as_applications
from tests.server_apps.serving import Running, read_message, serving, wire_client


def app(doc: Document) -> None:
    doc.add_root(Div(text="hello"))


def test_parameters_may_be_given_by_place_in_the_order_of_either_seed() -> None:
    first = BokehTornado({"/": app}, "p", ["a:1"], [], "k", True, False, 1, 2, 3, 4, False, False)
    second = BokehTornado({"/": app}, "p", ["a:1"], [], b"k", True, False, 1, 2, 3, 4, 5, False, False)
    for tornado in (first, second):
        assert tornado.prefix == "/p"
        assert tornado.websocket_origins == {"a:1"}
        assert tornado.secret_key == b"k"
        assert tornado.sign_sessions
        assert not tornado.generate_session_ids
        assert tornado.app_paths == {"/"}
    assert second._seconds[3] == 0.005


def test_an_app_path_that_ends_with_a_slash_is_the_one_without() -> None:
    assert list(as_applications({"/": app, "/a/": app, "/b/c/": app, "/größe": app})) == ["/", "/a", "/b/c", "/größe"]
    assert BokehTornado({"/a/": app}).get_sessions("/a/") == []


@pytest.mark.parametrize("path", ["", "a", "//", "/a//", "//a", "/./a", "/a/..", "/a/%2E%2e/b", "/a b", "/a?", "/#"])
def test_a_path_that_no_browser_would_ask_for_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is no app path"):
        as_applications({path: app})


@pytest.mark.parametrize(
    ("one", "other"), [("/a", "/a/"), ("/größe", "/gr%C3%B6%c3%9fe"), ("/x/a+b", "/x/a%2Bb/"), ("/100%", "/100%25")]
)
def test_two_spellings_of_one_url_are_refused_with_both_and_the_rule(one: str, other: str) -> None:
    with pytest.raises(ValueError) as refused:
        BokehTornado({"/b": app, one: app, other: app})
    assert str(refused.value).startswith(f"{one!r} and {other!r} are one URL, and only one app can be there")
    as_applications({"/a": app, "/a/b": app, "/A": app, "/a%2Fb": app, "/a.b": app, "/a+b": app, "/": app})


async def waits(doc: Document) -> None: ...


@pytest.mark.parametrize(("function", "why"), [(print, "is Python's own"), (waits, "is async")])
def test_what_would_not_fill_a_document_is_refused_before_anybody_looks(function: Any, why: str) -> None:
    with pytest.raises(TypeError, match=f"a function app.doc., not <.* {function.__name__}.*>, which {why}"):
        BokehTornado({"/a": function})


def test_an_environment_that_names_a_secret_and_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = BokehTornado(app)
    assert (plain.secret_key, plain.sign_sessions, plain.websocket_origins) == (None, False, {"localhost"})
    monkeypatch.setenv("BOKEH_SECRET_KEY", "sesame")
    monkeypatch.setenv("BOKEH_SIGN_SESSIONS", "yes")
    monkeypatch.setenv("BOKEH_ICO_PATH", "none")
    tornado = BokehTornado(app)
    assert (tornado.secret_key, tornado.sign_sessions, tornado.icon) == (b"sesame", True, None)
    monkeypatch.delenv("BOKEH_SECRET_KEY")
    with pytest.raises(ValueError, match="BOKEH_SECRET_KEY"):
        BokehTornado(app)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"keep_alive_milliseconds": -1},
        {"check_unused_sessions_milliseconds": 0},
        {"unused_session_lifetime_milliseconds": 0},
        {"stats_log_frequency_milliseconds": 0},
        {"mem_log_frequency_milliseconds": -1},
        {"websocket_max_message_size_bytes": 0},
        {"session_token_expiration": 0},
        {"websocket_compression_level": 42},
        {"websocket_compression_level": 0},
        {"websocket_compression_mem_level": 10, "websocket_compression_level": 5},
        {"websocket_compression_mem_level": 5},
        {"include_headers": ["a"], "exclude_headers": ["b"]},
        {"include_cookies": ["a"], "exclude_cookies": ["b"]},
        {"ico_path": "/nowhere.ico"},
    ],
)
def test_a_value_that_makes_no_sense_is_named(kwargs: dict[str, Any]) -> None:
    name = next(iter(kwargs))
    with pytest.raises(ValueError, match=name):
        BokehTornado(app, **kwargs)


def test_resources_point_at_this_server() -> None:
    tornado = BokehTornado(app, prefix="p", absolute_url="http://me:1/")
    assert tornado.resources().root_url == "/p/"
    assert tornado.resources("http://other:2").root_url == "http://other:2/p/"
    assert tornado.resources(True).root_url == "http://me:1/p/"
    assert tornado.resources().js_files[0].startswith("/p/static/js/bokeh.min.js?v=")


def test_resources_point_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOKEH_RESOURCES", "cdn")
    assert BokehTornado(app).resources().mode == "cdn"


def test_the_endpoints_of_an_app() -> None:
    described = Application(FunctionHandler(app), metadata={"made": "by hand"})
    with serving({"/a": described, "/b/c": app}, prefix="p") as running:

        def get(path: str, **kwargs: Any) -> requests.Response:
            return requests.get(running.url + path, timeout=20, **kwargs)

        assert get("/a").headers["Content-Type"].startswith("text/html")
        assert get("/a/").status_code == 200
        assert get("/b/c").status_code == 200
        assert get("/a/metadata").json() == {"url": "/a", "data": {"made": "by hand"}}
        assert get("/b/c/metadata").json() == {"url": "/b/c", "data": {}}
        assert get("/a/autoload.js").status_code == 400
        refused = get("/a/autoload.js?bokeh-autoload-element=e&bokeh-absolute-url=http://[")
        assert (refused.status_code, refused.reason) == (400, "The bokeh-absolute-url query parameter is no URL")
        for name in ("bokeh-app-path", "bokeh-absolute-url", "bokeh-autoload-element"):
            for text in ('");mine();("', "/\\"):
                asked = {"bokeh-autoload-element": "e", name: text}
                script = requests.get(f"{running.url}/a/autoload.js", asked, timeout=20)
                assert script.status_code == 400, f"{name} would be code of whoever wrote the address"
        script = get("/a/autoload.js?bokeh-autoload-element=e&bokeh-app-path=/p/a")
        assert script.headers["Content-Type"].startswith("text/javascript")
        assert "/p/static/js/bokeh.min.js" in script.text
        bokehjs = get("/static/js/bokeh.min.js")
        assert bokehjs.headers["Content-Type"].startswith("text/javascript")
        again = get("/static/js/bokeh.min.js", headers={"If-None-Match": bokehjs.headers["Etag"]})
        assert again.status_code == 304
        assert get("/static/../../etc/passwd").status_code == 404
        assert get("/static/extensions/nothing/x.js").status_code == 404
        assert get("/nowhere").status_code == 404
        icon = requests.get(running.url.removesuffix("/p") + "/favicon.ico", timeout=20)
        assert icon.headers["Content-Type"] == "image/x-icon"
        index = get("/")
        assert index.status_code == 200
        assert 'href="/p/a"' in index.text
        assert 'href="/p/b/c"' in index.text


def test_the_index_leads_to_the_only_app_unless_told_not_to() -> None:
    with serving({"/only": app}) as running:
        found = requests.get(running.url + "/?x=1", allow_redirects=False, timeout=20)
        assert (found.status_code, found.headers["Location"]) == (302, "/only?x=1")
    with serving({"/only": app}, redirect_root=False) as running:
        assert "/only" in requests.get(running.url + "/", allow_redirects=False, timeout=20).text
    with serving({"/only": app}, use_index=False) as running:
        assert requests.get(running.url + "/", timeout=20).status_code == 404


def test_an_index_of_no_apps_says_so() -> None:
    assert "No app is running." in index_page("/p", [])
    assert "No app is running." not in index_page("/p", ["/a"])


def test_an_index_of_ones_own_in_either_language(tmp_path: Path) -> None:
    for name, end in (("jinja", "endfor"), ("tornado", "end")):
        template = tmp_path / name
        template.write_text(f"{name}:{{% for item in items %}} {{{{ prefix }}}}{{{{ item }}}}{{% {end} %}}")
        with serving({"/a": app, "/b": app}, index=str(template), prefix="p") as running:
            assert requests.get(running.url + "/", timeout=20).text == f"{name}: /p/a /p/b"
            assert running.server.index == str(template)


class Extra(RequestHandler):
    def initialize(self, word: str) -> None:
        self.word = word

    def get(self) -> None:
        self.write(self.word)


def test_extra_patterns_and_settings_of_tornado() -> None:
    with serving({"/a": app}, extra_patterns=[("/extra", Extra, {"word": "more"})], prefix="p", mine=5) as running:
        assert requests.get(running.url + "/extra", timeout=20).text == "more"
        assert running.server.tornado_app.settings["mine"] == 5


def test_a_program_may_replace_a_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(urls.per_app_patterns[0][1]):  # type: ignore[misc]
        async def get(self, *args: str, **kwargs: str) -> None:
            session = await self.get_session()
            self.write(f"mine {session.id[:0]}{len(session.document.roots)}")

    monkeypatch.setattr(urls, "per_app_patterns", [(r"/?", Mine), *urls.per_app_patterns[1:]])
    with serving(app) as running:
        assert requests.get(running.url, timeout=20).text == "mine 1"


SECRETS = {"Authorization": "Bearer hush", "Cookie": "a=hush; b=seen", "X-Xsrftoken": "hush", "X-Fruit": "fig"}


def context(running: Running) -> Any:
    return running.session().document.session_context


def payload_of(page: str) -> dict[str, Any]:
    token = page.partition('"token":"')[2].partition('"')[0]
    return dict(get_token_payload(token))


def test_a_token_carries_no_secret_and_an_app_sees_cookies_from_the_request() -> None:
    with serving(app) as running:
        page = requests.get(running.url + "/?x=1", headers=SECRETS, timeout=20).text
        payload = payload_of(page)
        assert "hush" not in json.dumps(payload, default=str)
        assert payload["arguments"] == {"x": [b"1"]}
        seen = context(running)
        assert seen.request.cookies == {"a": "hush", "b": "seen"}
        assert seen.request.headers["X-Fruit"] == "fig"
        assert not {"Authorization", "Cookie"} & set(seen.request.headers)
        assert seen.token_payload == payload
        assert seen.logout_url is None
        assert not seen.destroyed


def test_all_of_a_query_is_the_apps_where_nothing_of_it_logs_somebody_in() -> None:
    with serving(app) as running:
        page = requests.get(running.url + "/?token=mine&_xsrf=too", timeout=20).text
        seen = context(running).request
        assert seen.arguments == payload_of(page)["arguments"] == {"token": [b"mine"], "_xsrf": [b"too"]}
        assert seen.uri == "/?token=mine&_xsrf=too" and seen.query == "token=mine&_xsrf=too"
        assert seen.full_url() == f"{running.url}/?token=mine&_xsrf=too" and seen.method == "GET"


def test_what_an_app_sees_can_be_chosen() -> None:
    with serving(app, include_headers=["authorization"], exclude_cookies=["a"]) as running:
        page = requests.get(running.url, headers=SECRETS, timeout=20).text
        assert "hush" not in json.dumps(payload_of(page), default=str)
        assert context(running).request.headers == {"Authorization": "Bearer hush"}
        assert context(running).request.cookies == {"b": "seen"}
    with serving(app, exclude_headers=["x-fruit"], include_cookies=["a"]) as running:
        requests.get(running.url, headers=SECRETS, timeout=20)
        assert "X-Fruit" not in context(running).request.headers
        assert context(running).request.cookies == {"a": "hush"}


def test_sessions_that_are_named() -> None:
    with serving(app) as running:
        for number, (params, headers) in enumerate(
            [({"bokeh-session-id": "one"}, {}), ({}, {"Bokeh-Session-Id": "two"})], start=1
        ):
            assert requests.get(running.url, params, headers=headers, timeout=20).status_code == 200
            assert len(running.server.get_sessions("/")) == number
        twice = requests.get(running.url, {"bokeh-session-id": "a"}, headers={"Bokeh-Session-Id": "b"}, timeout=20)
        assert twice.status_code == 400
        assert requests.get(running.url, {"bokeh-token": "nonsense"}, timeout=20).status_code == 403
    with serving(app, generate_session_ids=False) as running:
        assert requests.get(running.url, timeout=20).status_code == 403
        assert requests.get(running.url, {"bokeh-session-id": "one"}, timeout=20).status_code == 200


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # bokeh.client drops its socket
def test_signed_sessions_take_only_what_was_signed() -> None:
    with serving(app, sign_sessions=True, secret_key="sesame") as running:
        assert requests.get(running.url, {"bokeh-session-id": "made-up"}, timeout=20).status_code == 403
        signed = generate_session_id(secret_key=b"sesame", signed=True)
        assert requests.get(running.url, {"bokeh-session-id": signed}, timeout=20).status_code == 200
        other = generate_jwt_token(signed, secret_key=b"other", signed=True)
        assert requests.get(running.url, {"bokeh-token": other}, timeout=20).status_code == 403
        with pytest.raises(OSError):
            running.pull()


def test_a_token_opens_a_session_of_its_own_app_only() -> None:
    async def first(running: Running, path: str, token: str) -> Any:
        socket = await wire_client(running, path, token)
        message = await read_message(socket)
        code = socket.close_code
        socket.close()
        return message[0]["msgtype"] if message else code

    with serving({"/a": app, "/b": app}, secret_key="k", sign_sessions=True) as running:
        page = requests.get(f"{running.url}/a", timeout=20).text
        token = page.partition('"token":"')[2].partition('"')[0]
        assert asyncio.run(first(running, "/b", token)) == 4401
        refused = requests.get(f"{running.url}/b", {"bokeh-token": token}, timeout=20)
        assert refused.status_code == 403 and "another app" in refused.text
        assert asyncio.run(first(running, "/a", token)) == "ACK"
        assert not running.server.get_sessions("/b")
        # a client's own names no app
        own = generate_jwt_token(generate_session_id(b"k", signed=True), b"k", signed=True)
        assert asyncio.run(first(running, "/b", own)) == "ACK"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets cut short
def test_the_origin_of_a_page_is_checked(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def opens(running: Running, origin: str) -> bool:
        from tornado.httpclient import HTTPRequest
        from tornado.websocket import websocket_connect

        request = HTTPRequest(f"{running.ws_url}/ws", headers={"Origin": origin})
        try:
            socket = await websocket_connect(request, subprotocols=["bokeh", generate_jwt_token(ID("s"))])
        except HTTPClientError as error:
            assert error.code == 403
            return False
        assert (await read_message(socket))[0]["msgtype"] == "ACK"  # type: ignore[index]
        socket.close()
        return True

    with serving(app) as running:
        assert asyncio.run(opens(running, running.url))
        assert not asyncio.run(opens(running, "http://evil.example"))
        assert not asyncio.run(opens(running, "http://["))
        assert "Origin header is no URL, as 'http://['" in caplog.text and "Traceback" not in caplog.text
        script = f"{running.url}/autoload.js?bokeh-autoload-element=e"
        assert requests.get(script, headers={"Origin": "http://["}, timeout=20).status_code == 200
        assert "BOKEH_ALLOW_WS_ORIGIN=evil.example" in caplog.text
        monkeypatch.setenv("BOKEH_ALLOW_WS_ORIGIN", "good.example,*.fine.example:81")
        assert asyncio.run(opens(running, "http://good.example"))
        assert asyncio.run(opens(running, "http://so.fine.example:81"))
        assert not asyncio.run(opens(running, "http://localhost:1"))
    monkeypatch.delenv("BOKEH_ALLOW_WS_ORIGIN")
    with serving(app, allow_websocket_origin=["good.example:82"]) as running:
        assert asyncio.run(opens(running, "http://good.example:82"))
        assert not asyncio.run(opens(running, "http://good.example:83"))


def test_unused_sessions_end_with_their_hooks() -> None:
    ended: list[str] = []

    def hooked(doc: Document) -> None:
        doc.on_session_destroyed(lambda context: ended.append(context.id))

    with serving(hooked, check_unused_sessions_milliseconds=50, unused_session_lifetime_milliseconds=100) as running:
        requests.get(running.url, {"bokeh-session-id": "one"}, timeout=20)
        client = running.pull(session_id="two")
        for _ in range(100):
            if ended:
                break
            client.force_roundtrip()
        assert ended == ["one"]
        client.close()
    assert ended == ["one", "two"]


def test_statistics_and_memory_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bokehmount_server.tornado")
    with serving(app, stats_log_frequency_milliseconds=20, mem_log_frequency_milliseconds=20) as running:
        requests.get(running.url, timeout=20)
        for _ in range(200):
            if "1 sessions with 1 unused" in caplog.text and "MB resident" in caplog.text:
                break
            running.do(asyncio.sleep, 0.02)
    assert "clients connected" in caplog.text
    assert "1 sessions with 1 unused" in caplog.text
    assert "MB resident" in caplog.text


def test_compressed_messages_are_read_by_clients() -> None:
    async def talk(running: Running) -> Any:
        socket = await wire_client(running, "", generate_jwt_token(ID("s")), compression_options={})
        assert socket.protocol is not None
        assert (await read_message(socket))[0]["msgtype"] == "ACK"  # type: ignore[index]
        for part in ('{"msgid": "1", "msgtype": "PULL-DOC-REQ"}', "{}", "{}"):
            await socket.write_message(part)
        reply = await read_message(socket)
        socket.close()
        return reply

    with serving(app, websocket_compression_level=6, websocket_compression_mem_level=5) as running:
        header, _, content = asyncio.run(talk(running))
        assert header["msgtype"] == "PULL-DOC-REPLY"
        assert content["doc"]["roots"][0]["attributes"]["text"] == "hello"
