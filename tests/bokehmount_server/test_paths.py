"""Paths of more than plain letters: how links spell them, and that they are found however a client spells them."""

from __future__ import annotations

import asyncio
import re
import socket
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urljoin

import pytest
import requests
from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.models.widgets import Div
from hypothesis import given, settings
from hypothesis import strategies as st

from bokehmount_server.paths import as_url, pattern_of
from tests.server_apps.serving import Running, read_message, serving, wire_client

texts = st.text(st.characters(exclude_categories=("Z", "C"), exclude_characters="?#%"), min_size=1)


def matches(path: str, asked: str) -> bool:
    """As Tornado does, which reads the bytes of a request as Latin-1."""
    return re.fullmatch(pattern_of(path), asked.encode().decode("latin-1")) is not None


@settings(deadline=None, max_examples=300, database=None)
@given(texts)
def test_a_path_is_found_raw_or_encoded_with_large_digits_or_small(text: str) -> None:
    path = f"/{text}"
    encoded = quote(path)
    small = re.sub("%..", lambda code: code[0].lower(), encoded)
    for asked in (path, encoded, small, as_url(path)):
        assert matches(path, asked)
        assert matches(encoded, asked), "and whoever names it encoded means the same"
    assert as_url(path).isascii()
    assert as_url(as_url(path)) == as_url(path)
    assert not re.compile(pattern_of(path)).groups


@pytest.mark.parametrize(
    ("path", "asked", "found"),
    [
        ("/a+b", "/a+b", True),
        ("/a+b", "/aab", False),
        ("/a.b", "/axb", False),
        ("/a/b", "/a%2Fb", False),
        ("/a%2Fb", "/a%2fb", True),
        ("/%FF", "/%ff", True),
        ("/100%", "/100%", True),
        ("/100%", "/100%25", True),
        ("/p%20q", "/p%20q", True),
        ("/user/a@b", "/user/a%40b", True),
        ("/user/a%40b", "/user/a@b", True),
        ("/ü", "/%C3", False),
    ],
)
def test_what_is_the_same_path(path: str, asked: str, found: bool) -> None:
    assert matches(path, asked) is found


def test_links_keep_what_may_stand_in_them() -> None:
    assert as_url("/vor/ü/c+d(1)@x/p%20q") == "/vor/%C3%BC/c+d(1)@x/p%20q"
    assert as_url("/100%") == "/100%25"


def app(doc: Document) -> None:
    doc.add_root(Div(text="hello"))


def with_files(folder: Path) -> Application:
    (folder / "own.css").write_text("body { color: teal }\n")
    handler = FunctionHandler(app)
    handler._static = str(folder)
    return Application(handler)


def status(url: str) -> int:
    return requests.get(url, timeout=20, allow_redirects=False).status_code


def status_of_raw(running: Running, path: str) -> int:
    """What a client gets that encodes nothing."""
    with socket.create_connection(("localhost", running.server.port or 0), 20) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        return int(client.recv(100).split()[1])


async def greeting(running: Running, path: str, page: str) -> Any:
    socket = await wire_client(running, path, page.partition('"token":"')[2].partition('"')[0])
    message = await read_message(socket)
    socket.close()
    return message and message[0]["msgtype"]


@pytest.mark.parametrize("prefix", ["", "/vor/ü+@"])
def test_an_app_and_all_that_is_below_it_is_where_its_link_leads(prefix: str, tmp_path: Path) -> None:
    paths = ["/größe", "/c+d(1)", "/p%20q", "/100%", "/日本/x"]
    with serving({path: with_files(tmp_path) for path in paths}, prefix=prefix) as running:
        origin = f"http://localhost:{running.server.port}"
        index = requests.get(f"{origin}{quote(prefix)}/", timeout=20).text
        links = [unescape(link) for link in re.findall('href="([^"]*)"', index)]
        assert len(links) == len(paths)
        for link in links:
            assert link.isascii()
            below = link.removeprefix(as_url(prefix))
            page = requests.get(origin + link, timeout=20)
            assert page.status_code == 200
            sources = [unescape(source) for source in re.findall('src="([^"]*)"', page.text)]
            assert sources and all(status(urljoin(origin + link, source)) == 200 for source in sources)
            assert status(f"{origin}{link}/metadata") == 200
            assert status(f"{origin}{link}/static/own.css") == 200
            script = requests.get(f"{origin}{link}/autoload.js?bokeh-autoload-element=e", timeout=20).text
            assert f'"{as_url(prefix)}/static/js/bokeh.min.js' in script
            assert asyncio.run(greeting(running, below, page.text)) == "ACK"
        for path in paths:
            assert status_of_raw(running, f"{prefix}{path}") == 200
            encoded = quote(prefix + unquote(path))
            assert status(origin + encoded) == 200, "each character is encoded that may be"
        assert status(f"{origin}{quote(prefix)}/favicon.ico") == 200


def test_the_index_leads_to_an_only_app_of_any_name() -> None:
    with serving({"/größe": app}, prefix="ü") as running:
        found = requests.get(f"http://localhost:{running.server.port}/%C3%BC/", allow_redirects=False, timeout=20)
        assert found.headers["Location"] == "/%C3%BC/gr%C3%B6%C3%9Fe"
        assert running.server.url.endswith("/%C3%BC")
