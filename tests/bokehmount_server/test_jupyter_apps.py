"""Apps that live in the Jupyter server itself: configured, behind its login, and run by ``jupyter bokehmount``."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.models.widgets import Div
from bokeh.util.token import get_token_payload
from tornado.httpclient import HTTPRequest
from tornado.web import HTTPError
from tornado.websocket import websocket_connect
from traitlets import TraitError
from traitlets.config import Config

from bokehmount.errors import AppError
from bokehmount_server import command
from bokehmount_server.answers import as_http_error
from bokehmount_server.app import BokehMount, _raising
from bokehmount_server.jupyter_apps import HostedApps
from bokehmount_server.requests import TokenPolicy
from bokehmount_server.sources import app_path_of, applications_of
from bokehmount_server.views import Views

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # clients cut short

APPS = Path(__file__).parent.parent / "server_apps" / "apps"

CONFIG = """
from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.models import Div

def who(doc):
    request = doc.session_context.request
    doc.add_root(Div(text=f"user {bool(request.user)} cookies {len(request.cookies)}"))

c = get_config()
c.BokehMount.extra_websocket_origins = ["portal.example.org"]
c.BokehMount.apps = {
    "/sliders": "sliders.py", "/many/files": "many_files", "/who": Application(FunctionHandler(who)), "/plain": who
}
"""


def start(folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A Jupyter server, and its URL."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        **{f"JUPYTER_{name}_DIR": str(folder / name) for name in ("CONFIG", "RUNTIME", "DATA")},
    }
    code = "from bokehmount_server.command import main; main()"
    options = ["--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1", "--IdentityProvider.token=tok"]
    options += ["--BokehMount.load_other_extensions=False"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code, *arguments, *options],
        env=env,
        cwd=APPS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        found = re.search(r"(http://127\.0\.0\.1:\d+)(/\S*)\?token=", line)
        if found:
            wait_for(found[1])
            return process, found[1] + found[2]
    raise AssertionError("".join(said))


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            requests.get(f"{url}/api", timeout=5)
            return
        except requests.ConnectionError:
            time.sleep(0.1)


def stop(process: subprocess.Popen[str]) -> str:
    process.terminate()
    out, _ = process.communicate(timeout=60)
    return out


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("jupyter")
    config = folder / "config.py"
    config.write_text(CONFIG)
    process, url = start(folder, "--config", str(config))
    assert url.endswith("/bokeh/"), "with several apps a browser opens at the index"
    yield url.rstrip("/")
    stop(process)


def get(url: str, **kwargs: Any) -> requests.Response:
    headers = {"Authorization": "token tok", **kwargs.pop("headers", {})}
    return requests.get(url, timeout=30, headers=headers, allow_redirects=False, **kwargs)


def test_configured_apps_are_listed_and_served_behind_the_login(jupyter: str) -> None:
    index = get(jupyter).text
    for path in ("/sliders", "/many/files", "/who", "/plain"):
        assert f'href="/bokeh{path}"' in index
        assert requests.get(jupyter + path, timeout=30, allow_redirects=False).status_code == 302
        assert get(jupyter + path).status_code == 200
        assert get(f"{jupyter}{path}/metadata").json()["url"] == path
    assert "token says kiwi" in get(f"{jupyter}/many/files").text
    assert get(f"{jupyter}/many/files/static/own.css").text == "body { color: teal }\n"
    assert get(f"{jupyter}/static/js/bokeh.min.js").status_code == 200
    assert requests.get(f"{jupyter}/static/js/bokeh.min.js", timeout=30, allow_redirects=False).status_code == 302
    assert get(f"{jupyter}/sliders/autoload.js?bokeh-autoload-element=e").status_code == 200
    assert get(f"{jupyter}/nowhere").status_code == 404


def test_a_page_of_a_site_that_an_administrator_named_embeds_an_app(jupyter: str) -> None:
    script = f"{jupyter}/sliders/autoload.js?bokeh-autoload-element=e"
    with requests.Session() as browser:
        browser.get(f"{jupyter}?token=tok", timeout=30)

        def credentials(origin: str) -> tuple[str | None, str | None]:
            answer = browser.get(script, headers={"Origin": origin}, timeout=30)
            assert answer.status_code == 200
            headers = answer.headers
            return headers.get("Access-Control-Allow-Origin"), headers.get("Access-Control-Allow-Credentials")

        assert credentials("https://portal.example.org") == ("https://portal.example.org", "true")
        for origin in ("https://evil.example", "http://["):
            assert credentials(origin) == (None, None)


def test_the_front_end_is_told_of_them_behind_the_login(jupyter: str) -> None:
    assert requests.get(f"{jupyter}/api/apps", timeout=30, allow_redirects=False).status_code in (302, 403)
    get(f"{jupyter}/plain?bokeh-session-id=counted")
    apps = {app["app"]: app for app in get(f"{jupyter}/api/apps").json()["apps"]}
    assert apps.keys() == {"/sliders", "/many/files", "/who", "/plain"}
    plain = apps["/plain"]
    assert plain.pop("sessions") >= 1
    assert plain == {"kernel_id": None, "app": "/plain", "title": "plain", "url": "plain", "views": 0}
    assert get(f"{jupyter}/{apps['/many/files']['url']}").status_code == 200


def test_a_token_is_signed_and_carries_no_secret(jupyter: str) -> None:
    page = get(f"{jupyter}/who?x=1", headers={"Cookie": "a=hush"}).text
    token = page.partition('"token":"')[2].partition('"')[0]
    assert "." in token
    assert "hush" not in str(get_token_payload(token))
    assert "tok" not in {*get_token_payload(token)["headers"].values()}


async def first_message(url: str, token: str, **headers: str) -> Any:
    request = HTTPRequest(url.replace("http", "ws", 1) + "/ws", headers=headers)
    socket = await websocket_connect(request, subprotocols=["bokeh", token])
    message = await socket.read_message()
    code = socket.close_code
    socket.close()
    return message or code


def test_a_web_socket_needs_the_login_the_origin_and_a_token_of_this_server(jupyter: str) -> None:
    from bokeh.core.types import ID
    from bokeh.util.token import generate_jwt_token
    from tornado.httpclient import HTTPClientError

    url = f"{jupyter}/sliders"
    token = get(url).text.partition('"token":"')[2].partition('"')[0]
    login = {"Authorization": "token tok"}
    assert '"ACK"' in asyncio.run(first_message(url, token, **login))
    forged = generate_jwt_token(ID("made.up"), secret_key=b"x", signed=True)
    assert asyncio.run(first_message(url, forged, **login)) == 4401
    for headers in ({}, {"Origin": "http://evil.example", "Cookie": "x=1"}, {"Origin": "http://[", **login}):
        with pytest.raises(HTTPClientError) as refused:
            asyncio.run(first_message(url, token, **headers))
        assert refused.value.code == 403


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("ping_interval", -1.0),
        ("token_lifetime", 0),
        ("linger", -1.0),
        ("linger_lost", -1.0),
        ("max_message_size", 0),
        ("max_queue_size", 0),
        ("extra_websocket_origins", ["https://portal.example.org"]),
        ("extra_websocket_origins", ["portal.example.org:https"]),
        ("extra_websocket_origins", ["a.example.org, b.example.org"]),
        ("extra_websocket_origins", [""]),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(setting: str, value: Any) -> None:
    with pytest.raises(TraitError, match=setting):
        BokehMount(config=Config(BokehMount={setting: value}))


def test_hosts_may_have_a_port_and_stars() -> None:
    hosts = ["portal.example.org", "portal.example.org:8443", "*.example.org", "[::1]:80"]
    assert BokehMount(config=Config(BokehMount={"extra_websocket_origins": hosts})).extra_websocket_origins == hosts


def test_an_app_named_on_the_command_line_is_what_the_browser_opens(tmp_path: Path) -> None:
    process, url = start(tmp_path, "sliders.py", "--linger", "3")
    try:
        assert url.endswith("/bokeh/sliders")
        assert "<title>Sliders</title>" in get(url).text
    finally:
        said = stop(process)
    assert "Traceback" not in said


def test_files_of_any_name_are_apps_where_their_links_lead(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.py" for name in ("größe", "c+d(1)", "a=b", "my app", "100%", "what?#")]
    for file in files:
        file.write_text((APPS / "sliders.py").read_text())
    process, url = start(tmp_path, *map(str, files))
    try:
        jupyter = url.rstrip("/")
        links = re.findall(r'href="/bokeh(/[^"]+)">([^<]*)<', get(jupyter).text)
        assert {text for _, text in links} == {f"/{file.stem}" for file in files}
        for link, _ in links:
            assert link.isascii()
            page = get(jupyter + link).text
            sources = re.findall('src="(/[^"]*)"', page)
            assert sources and all(get(urljoin(url, source)).status_code == 200 for source in sources)
            assert get(f"{jupyter}{link}/metadata").status_code == 200
            assert get(f"{jupyter}{link}/autoload.js?bokeh-autoload-element=e").status_code == 200
            token = page.partition('"token":"')[2].partition('"')[0]
            assert '"ACK"' in asyncio.run(first_message(jupyter + link, token, Authorization="token tok"))
        apps = {app["title"]: app["url"] for app in get(f"{jupyter}/api/apps").json()["apps"]}
        assert apps.keys() == {file.stem for file in files}
        assert (apps["größe"], apps["c+d(1)"], apps["my app"]) == ("gr%C3%B6%C3%9Fe", "c+d(1)", "my%20app")
        assert get(f"{jupyter}/c%2bd%281%29").status_code == 200
    finally:
        stop(process)


def test_a_browser_opens_at_an_only_app_of_any_name(tmp_path: Path) -> None:
    (tmp_path / "größe.py").write_text((APPS / "sliders.py").read_text())
    process, url = start(tmp_path, str(tmp_path / "größe.py"))
    try:
        assert url.endswith("/bokeh/gr%C3%B6%C3%9Fe")
        assert get(url).status_code == 200
    finally:
        stop(process)


def test_the_help_says_what_a_stranger_needs(capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--help"])
    text = capsys.readouterr().out
    words = ["usage: jupyter bokehmount [PATH ...]", "examples:", "--port", "--help-all", "localhost:8888/bokeh"]
    for word in (*words, "Whoever may log in may run code as you"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("file", "words"),
    [("none.py", "there is no app at"), ("x.txt", "is no app"), (".", "neither a main.py"), ("api.py", "at '/api'")],
)
def test_an_app_that_is_none_is_refused_before_a_server_starts(file: str, words: str, tmp_path: Path) -> None:
    for name in ("x.txt", "api.py"):
        (tmp_path / name).touch()
    code = "from bokehmount_server.command import main; main()"
    command = [sys.executable, "-c", code, file, "--no-browser", "--port=0"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("jupyter bokehmount: ") and words in done.stderr
    assert len(done.stderr.splitlines()) == 1, "a sentence, and no traceback"


def test_two_apps_of_one_name_and_apps_that_are_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.py").touch()
    with pytest.raises(SystemExit):
        command.main([str(tmp_path / "a" / "x.py"), str(tmp_path / "b" / "x.py")])
    assert "would both be at /x" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main([str(tmp_path / "a" / "x.py"), "--allow-origin", "example.org", "--no-browser"])
    assert "write --allow-origin=example.org" in capsys.readouterr().err
    assert command.split(["a.py", "--port", "5", "b.py", "--no-browser"]) == (
        ["a.py", "b.py"],
        ["--port", "5", "--no-browser"],
    )
    assert app_path_of("apps/sliders.py") == "/sliders"
    (tmp_path / "x.txt").touch()
    for file, words in (("none.py", "there is no app at"), ("x.txt", "is no app"), (".", "neither a main.py")):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            applications_of({"/x": file}, tmp_path)


def test_a_status_line_says_what_an_app_raised_whatever_it_raised() -> None:
    with pytest.raises(HTTPError) as raised, as_http_error():
        raise AppError("ValueError: <lambda> says\r\nno\x1b to größe")
    assert raised.value.reason == "ValueError: ?lambda? says no? to gr??e"


def test_an_app_that_could_not_be_had_keeps_at_most_the_last_document_that_it_failed() -> None:
    try:
        raise ValueError("no data today")
    except ValueError as error:
        app = _raising(error)
    documents: list[weakref.ref[Document]] = []
    for _ in range(3):
        document = Document()
        documents.append(weakref.ref(document))
        with pytest.raises(ValueError, match="no data today") as raised:
            app(document)
        assert len(raised.traceback) == 3, "where it was, where it is raised, and this test"
    del document, raised
    gc.collect()
    assert [document() is None for document in documents] == [True, True, False]


@pytest.mark.parametrize("path", ["/", "/api", "/static/x", "/kernels", "/view", "/kern%65ls/x"])
def test_a_path_of_the_servers_own_is_refused(path: str) -> None:
    def app(doc: Document) -> None:
        doc.add_root(Div())

    policy: Any = TokenPolicy.__new__(TokenPolicy)
    with pytest.raises(ValueError, match="the server's own"):
        HostedApps({path: Application(FunctionHandler(app))}, "/bokeh/", "", policy, Views(), lambda: None, 1, 1)
