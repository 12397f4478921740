"""A plain Jupyter server behind a real nginx, both configured as docs/deploy.md says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import sync_playwright
from tornado.httpclient import HTTPClientError

from bokehmount.testing import JupyterServer, RunningNotebook, View, ViewClosed

from ..browser.driver import View as BrowserView
from ..browser.driver import eventually
from ..chromium import launched
from ..waves import SETUP, notebook
from .nginx import Nginx, documented, put

HEARTBEAT = 2.0
"""Seconds; the default is made for limits of 60 s."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    folder = tmp_path_factory.mktemp("behind-nginx")
    config = folder / "jupyter_server_config.py"
    args = [f"--config={config}", f"--BokehMount.ping_interval={HEARTBEAT}"]
    server = JupyterServer(folder, args, base_url="/jupyter/")
    config.write_text(put(documented("python"), port=("port = 8198", f"port = {urlsplit(server.url).port}")))
    with server:
        yield server


@pytest.fixture(scope="module")
def nginx(server: JupyterServer) -> Iterator[Nginx]:
    with Nginx(server.folder / "nginx", server) as nginx:
        yield nginx


@pytest.fixture(scope="module")
def running(server: JupyterServer) -> Iterator[RunningNotebook]:
    with RunningNotebook.run(server, notebook(SETUP)) as running:
        yield running


def app_path(running: RunningNotebook) -> str:
    return f"bokeh/kernels/{running.kernel_id}/waves"


def test_the_document_and_the_test_agree_on_the_address() -> None:
    assert 'c.ServerApp.base_url = "/jupyter/"' in documented("python")
    assert "location /jupyter/ {" in documented("nginx")


def test_page_files_and_websocket(nginx: Nginx, running: RunningNotebook) -> None:
    with running.open(visitor=nginx.login()) as view:
        view.set("slider", value=3)
        np.testing.assert_allclose(view["source"].data["y"], np.sin(3 * np.linspace(0, 10, 200)))
        files = [word for word in view.page.split('"') if "?v=" in word]
        assert files and all(file.startswith("/jupyter/bokeh/") for file in files), files


def test_the_server_knows_of_tls(nginx: Nginx) -> None:
    """Its cookies are for TLS alone, which `trust_xheaders` and X-Forwarded-Proto bring about."""
    cookies = nginx.visitor().get(f"api/me?token={nginx._server.token}").headers.get_list("Set-Cookie")
    login = [cookie for cookie in cookies if cookie.startswith("username-")]
    assert login and all("secure" in cookie.lower() for cookie in login), cookies


def test_large_arrays_both_ways(nginx: Nginx, running: RunningNotebook) -> None:
    much = np.random.default_rng(1).normal(size=1_000_000)
    with running.open(visitor=nginx.login(), timeout=60) as view:
        view.set("source", data={"x": much, "y": much})
        received = "document.get_model_by_name('source').data['y']"
        running.execute(f"document = handle.documents[-1]\nassert {received}.shape == (1_000_000,)")
        running.execute("document.get_model_by_name('source').data = {'x': np.arange(3e6), 'y': np.arange(3e6) ** 2}")
        view.wait_until(lambda document: len(view["source"].data["y"]) == 3_000_000, "48 MB to come")
        np.testing.assert_array_equal(view["source"].data["y"][-2:], np.array([2999998.0, 2999999.0]) ** 2)


def test_a_connection_over_which_nothing_is_said_is_not_cut(server: JupyterServer, running: RunningNotebook) -> None:
    """Not even by a shorter limit than nginx's 60 s: what counts is that our heartbeats are quicker."""
    limit = f"proxy_read_timeout {2500 * HEARTBEAT:.0f}ms;"
    with Nginx(server.folder / "idle", server, limit) as nginx, running.open(visitor=nginx.login()) as view:
        time.sleep(4 * HEARTBEAT)
        view.round_trip()
        assert "timed out" not in nginx.log.read_text()


def test_one_that_is_cut_finds_its_session_again(server: JupyterServer, running: RunningNotebook) -> None:
    limit = f"proxy_read_timeout {750 * HEARTBEAT:.0f}ms;"
    with Nginx(server.folder / "cut", server, limit) as nginx:
        calls = int(running.execute("len(calls)"))
        view = View(nginx.login(), app_path(running))
        view.set("slider", value=7)
        with pytest.raises(ViewClosed):
            view.wait_until(lambda document: False, "the cut", timeout=5 * HEARTBEAT)
        running.execute("handle.documents[-1].get_model_by_name('source').data = {'x': np.ones(9), 'y': np.ones(9)}")
        assert "timed out" in nginx.log.read_text(), "this limit does cut"
        view.reconnect()
        assert view["slider"].value == 7
        np.testing.assert_array_equal(view["source"].data["y"], np.ones(9))
        assert int(running.execute("len(calls)")) == calls + 1
        view.close()


def test_strangers_and_other_origins_are_refused(nginx: Nginx, running: RunningNotebook) -> None:
    path = app_path(running)
    with running.open(visitor=nginx.login()) as view:
        subprotocols = ["bokeh", view.token]
        stranger = nginx.visitor()
        answer = stranger.get(path)
        assert answer.code == 302 and answer.headers["Location"].startswith("/jupyter/login")
        with pytest.raises(HTTPClientError) as refused:
            stranger.open(f"{path}/ws", subprotocols)
        assert refused.value.code == 403
        plain = nginx.origin.replace("https", "http")
        for origin in ("https://evil.example", "https://127.0.0.1", plain.replace(str(nginx.port), "80")):
            with pytest.raises(HTTPClientError) as refused:
                nginx.login().open(f"{path}/ws", subprotocols, {"Origin": origin})
            assert refused.value.code == 403, origin
        view.round_trip()


def test_a_real_browser(nginx: Nginx, running: RunningNotebook) -> None:
    with sync_playwright() as playwright:
        browser = launched(playwright)
        page = browser.new_context(ignore_https_errors=True).new_page()
        errors: list[str] = []
        sockets: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("websocket", lambda socket: sockets.append(socket.url))
        page.goto(f"{nginx.url}{app_path(running)}?token={nginx._server.token}")
        view = BrowserView(page).wait_drawn(60)
        before = view.column("source", "y")
        view.set("slider", "value", 4)
        eventually("the curve to follow the slider", lambda: view.column("source", "y") != before, 15, page)
        assert sockets and all(url.startswith(f"wss://127.0.0.1:{nginx.port}/jupyter/bokeh/") for url in sockets)
        assert not errors
        browser.close()
