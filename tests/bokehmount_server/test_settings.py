"""The ``BOKEH_*`` variables that a stand-alone server heeds when it uses them, and their table in docs/api.md."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import requests
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.models import Column
from bokeh.models.widgets import Div
from bokeh.settings import PrioritizedSetting, Settings, settings
from bokeh.util.token import generate_jwt_token

from bokehmount_server.auth_provider import NullAuth
from bokehmount_server.server import Server
from bokehmount_server.tornado import BokehTornado
from tests.server_apps.serving import Running, read_message, serving, wire_client

from .test_server import make_certificate

ROOT = Path(__file__).resolve().parents[2]
LOGIN = ROOT / "tests" / "server_apps" / "apps" / "login.py"
ROWS = re.findall(r"^\| `(BOKEH_\w+)` \| (.+) \| (?:`(.+)`|) \|$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)


def app(doc: Document) -> None:
    doc.add_root(Div(text="hello"))


def page(running: Running, path: str = "", **kwargs: Any) -> requests.Response:
    return requests.get(running.url + path, timeout=20, **kwargs)


def pulled(running: Running) -> str:
    """The Document as a client gets it."""

    async def pull() -> str:
        client = await wire_client(running, "", generate_jwt_token(ID("pulled")))
        assert (await read_message(client) or [{}])[0]["msgtype"] == "ACK"
        for part in ('{"msgid": "1", "msgtype": "PULL-DOC-REQ"}', "{}", "{}"):
            await client.write_message(part)
        message = await read_message(client)
        client.close()
        assert message is not None and message[0]["msgtype"] == "PULL-DOC-REPLY"
        return json.dumps(message[2])

    return asyncio.run(pull())


def test_the_table_names_all_settings_of_bokeh() -> None:
    known = {value.env_var for value in vars(Settings).values() if isinstance(value, PrioritizedSetting)}
    assert {name for name, _, _ in ROWS} == known | {"BOKEH_DEV", "BOKEH_EXPORT_BACKEND"}  # which 3.9 does not know


@pytest.mark.parametrize(("name", "does", "test"), ROWS)
def test_a_setting_that_is_heeded_has_a_test(name: str, does: str, test: str) -> None:
    assert bool(test) == (not does.startswith("not here"))
    if test:
        file, _, function = test.partition("::")
        text = (Path(__file__).parent / file).read_text()
        _, found, rest = text.partition(f"\ndef {function}(")
        assert found, f"{file} has no {function}"
        assert name in rest.split("\ndef ")[0], f"{function} does not speak of {name}"


@pytest.mark.parametrize("mode", ["server", "cdn", "inline"])
def test_pages_and_scripts_get_bokehjs_from_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    def how(text: str) -> str:
        if "https://cdn.bokeh.org/bokeh/" in text:
            return "cdn"
        return "server" if "/p/static/js/bokeh.min.js?v=" in text else "inline" if "BEGIN bokeh.min.js" in text else ""

    with serving(app, prefix="p") as running:
        assert how(page(running).text) == "server"
        monkeypatch.setenv("BOKEH_RESOURCES", mode)
        assert how(page(running).text) == mode
        assert how(page(running, "/autoload.js?bokeh-autoload-element=e").text) == mode
        bare = page(running, "/autoload.js?bokeh-autoload-element=e&resources=none")
        assert how(bare.text) == ""


def test_a_page_heeds_what_resources_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(app) as running:
        assert "static/js/bokeh.min.js" in page(running).text
        monkeypatch.setenv("BOKEH_MINIFIED", "no")
        assert "static/js/bokeh.js" in page(running).text
        monkeypatch.setenv("BOKEH_LOG_LEVEL", "trace")
        assert 'Bokeh.set_log_level("trace")' in page(running).text
        monkeypatch.setenv("BOKEH_RESOURCES", "cdn")
        monkeypatch.setenv("BOKEH_DOCS_CDN", "3.1.0")
        assert "release/bokeh-3.1.0.js" in page(running).text
        monkeypatch.setenv("BOKEH_CDN_VERSION", "3.2.0")
        assert "release/bokeh-3.2.0.js" in page(running).text
        monkeypatch.delenv("BOKEH_CDN_VERSION")
        monkeypatch.setenv("BOKEH_RESOURCES", "relative")
        monkeypatch.setenv("BOKEH_ROOTDIR", str(settings.bokehjs_path().parents[1]))
        assert '"server/static/js/bokeh.js"' in page(running).text
        monkeypatch.delenv("BOKEH_ROOTDIR")
        monkeypatch.setenv("BOKEH_RESOURCES", "server")
        monkeypatch.setenv("BOKEH_DEV", "yes")
        assert "Bokeh.settings.dev = true" in page(running).text


def test_tls_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    monkeypatch.setenv("BOKEH_SSL_CERTFILE", cert)
    monkeypatch.setenv("BOKEH_SSL_KEYFILE", key)
    with pytest.raises(ValueError, match=r"can't be used.*ssl_password"):
        Server(app, port=0)
    monkeypatch.setenv("BOKEH_SSL_PASSWORD", "sesame")
    with serving(app) as running:
        assert running.server.url.startswith("https://")
        assert requests.get(running.server.url, verify=cert, timeout=20).status_code == 200
    monkeypatch.setenv("BOKEH_SSL_CERTFILE", "/nowhere.pem")
    with pytest.raises(OSError, match=r"'/nowhere\.pem' can't be read"):
        Server(app, port=0)
    with serving(app, ssl_certfile=cert) as running:  # what the program says goes first
        assert requests.get(running.server.url, verify=cert, timeout=20).status_code == 200


def test_a_login_by_the_environment_and_its_protection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOKEH_AUTH_MODULE", str(LOGIN))
    with serving(app) as running:
        assert page(running, allow_redirects=False).headers["Location"].startswith("/login?")
        assert requests.post(f"{running.url}/login", {"password": "sesame"}, timeout=20).status_code == 200
    with serving(app, auth_provider=NullAuth()) as running:
        assert page(running, allow_redirects=False).status_code == 200
    monkeypatch.setenv("BOKEH_XSRF_COOKIES", "yes")
    with serving(app) as running:
        assert requests.post(f"{running.url}/login", {"password": "sesame"}, timeout=20).status_code == 403
    with serving(app, xsrf_cookies=False) as running:
        assert requests.post(f"{running.url}/login", {"password": "sesame"}, timeout=20).status_code == 200
    monkeypatch.setenv("BOKEH_AUTH_MODULE", "/nowhere.py")
    with pytest.raises(ValueError, match=r"there is no file '/nowhere\.py'"):
        BokehTornado(app)


def test_a_cookie_secret_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BokehTornado(app).settings["cookie_secret"] is None
    monkeypatch.setenv("BOKEH_COOKIE_SECRET", "sesame")
    assert BokehTornado(app).settings["cookie_secret"] == "sesame"
    assert BokehTornado(app, cookie_secret=b"mine").settings["cookie_secret"] == b"mine"


def test_a_port_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("BOKEH_DEFAULT_SERVER_PORT", str(port))
    with serving(app, port=None) as running:
        assert running.server.port == port
        assert page(running).status_code == 200


def test_a_browser_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    class Browser:
        def open(self, url: str, **_: Any) -> bool:
            opened.append(url)
            return True

    monkeypatch.setattr("webbrowser.get", {"mine": Browser()}.__getitem__)
    monkeypatch.setenv("BOKEH_BROWSER", "mine")
    with serving({"/a": app}) as running:
        running.server.show("/a")
        assert opened == [f"{running.url}/a"]


@pytest.fixture
def loggers() -> Any:
    found = [logging.getLogger(name) for name in ("bokehmount", "bokehmount_server")]
    before = [(logger, logger.level) for logger in found]
    yield found
    for logger, level in before:
        logger.setLevel(level)


def test_a_log_level_by_the_environment(monkeypatch: pytest.MonkeyPatch, loggers: list[logging.Logger]) -> None:
    for logger in loggers:
        logger.setLevel(logging.NOTSET)
    with serving(app):
        assert {logger.level for logger in loggers} == {logging.NOTSET}
    monkeypatch.setenv("BOKEH_PY_LOG_LEVEL", "debug")
    with serving(app):
        assert {logger.level for logger in loggers} == {logging.DEBUG}


def test_documents_are_made_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(app) as running:
        plain = pulled(running)
        assert re.search(r'"id": "p\d+"', plain)
    with serving(app) as running:
        monkeypatch.setenv("BOKEH_SERIALIZE_INCLUDE_DEFAULTS", "yes")
        assert '"disable_math"' in pulled(running) and '"disable_math"' not in plain
    monkeypatch.delenv("BOKEH_SERIALIZE_INCLUDE_DEFAULTS")
    with serving(app) as running:
        monkeypatch.setenv("BOKEH_SIMPLE_IDS", "no")
        assert not re.search(r'"id": "p\d+"', pulled(running))


def test_documents_are_checked_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda doc: doc.add_root(Column())) as running:
        assert page(running).status_code == 200
        monkeypatch.setenv("BOKEH_VALIDATION_LEVEL", "all")
        assert page(running).status_code == 500, "an empty layout is worth a warning"
        monkeypatch.setenv("BOKEH_VALIDATE_DOC", "no")
        assert page(running).status_code == 200
