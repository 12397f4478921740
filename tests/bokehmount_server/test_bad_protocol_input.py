"""Nonsense on the WebSocket of a stand-alone server: the right close code, and nobody else notices."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from bokeh.application.application import Application, SessionContext
from bokeh.application.handlers.function import FunctionHandler
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.models.widgets import Div, Slider
from bokeh.util.token import generate_jwt_token
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tornado.websocket import websocket_connect

from tests.server_apps.serving import Running, read_message, serving, wire_client

LIMIT = 20_000

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # clients cut short


def app(doc: Document) -> None:
    doc.add_root(Slider(start=0, end=9, value=1, name="s"))
    doc.add_root(Div(text="hello", name="d"))


def broken(doc: Document) -> None:
    raise RuntimeError("on purpose")


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving({"/app": app, "/broken": broken}, websocket_max_message_size=LIMIT) as found:
        yield found


async def code_after(
    running: Running, fragments: list[str | bytes], path: str = "/app", token: str | None = None, patience: float = 0.3
) -> Any:
    """The close code after these fragments; None where the connection still lives after so many seconds."""
    socket = await wire_client(running, path, generate_jwt_token(ID("fuzzed")) if token is None else token)
    try:
        if await read_message(socket) is None:
            return socket.close_code
        for fragment in fragments:
            await socket.write_message(fragment, binary=isinstance(fragment, bytes))
        while (message := await asyncio.wait_for(socket.read_message(), patience)) is not None:
            assert message
        return socket.close_code
    except TimeoutError:
        return None
    except Exception:
        return socket.close_code
    finally:
        socket.close()


OK = '{"msgid": "1", "msgtype": "PULL-DOC-REQ"}'
HUGE = '"' + "x" * (LIMIT // 2) + '"'


@pytest.mark.parametrize(
    ("fragments", "code"),
    [
        (["nonsense"], 4400),
        (["[]"], 4400),
        (['{"msgid": 1, "msgtype": "OK"}'], 4400),
        ([b"bytes"], 4400),
        ([OK, b"bytes"], 4400),
        ([OK, "{", "{}"], 4400),
        ([OK, "{}", "[]"], 4400),
        (['{"msgid": "1", "msgtype": "NO-SUCH"}', "{}", "{}"], 4400),
        (['{"msgid": "1", "msgtype": "ACK"}', "{}", "{}"], 4400),
        (['{"msgid": "1", "msgtype": "PATCH-DOC", "num_buffers": -1}'], 4400),
        (['{"msgid": "1", "msgtype": "PATCH-DOC", "num_buffers": 1}', "{}", "{}", '{"id": "x"}', "text"], 4400),
        (['{"msgid": "1", "msgtype": "PATCH-DOC", "num_buffers": 1}', "{}", "{}", "{}", b"x"], 4400),
        (["x" * (LIMIT + 1)], 1009),
        ([OK, HUGE, HUGE], 1009),
        # a whole message that can't be carried out is answered with ERROR, and the connection lives
        (['{"msgid": "1", "msgtype": "PATCH-DOC"}', "{}", '{"events": 5}'], None),
        (['{"msgid": "1", "msgtype": "PATCH-DOC"}', "{}", '{"events": [{"kind": "Nothing"}]}'], None),
        (['{"msgid": "1", "msgtype": "PUSH-DOC"}', "{}", "{}"], None),
        ([OK], None),
        ([OK, "{}"], None),
    ],
)
def test_nonsense_gets_its_close_code(running: Running, fragments: list[str | bytes], code: int | None) -> None:
    patience = 0.3 if code is None else 20
    assert asyncio.run(code_after(running, fragments, patience=patience)) == code


def test_tokens_and_apps_that_are_none_get_their_close_code(running: Running) -> None:
    assert asyncio.run(code_after(running, [], token="nonsense")) == 4401
    assert asyncio.run(code_after(running, [], token=generate_jwt_token(ID("old"), expiration=-5), patience=20)) == 4410
    assert asyncio.run(code_after(running, [], path="/broken", patience=20)) == 4500

    nonsense = generate_jwt_token(ID("odd"), extra_payload={"arguments": {"n": "5"}})
    assert asyncio.run(code_after(running, [], token=nonsense)) == 4401
    page = requests.get(f"{running.url}/app", {"bokeh-token": nonsense}, timeout=20)
    assert page.status_code == 403 and "arguments or headers" in page.text

    async def other_protocol() -> Any:
        socket = await websocket_connect(f"{running.ws_url}/app/ws")
        assert await socket.read_message() is None
        return socket.close_code

    assert asyncio.run(other_protocol()) == 4400


fragment = st.one_of(
    st.text(max_size=40),
    st.binary(max_size=40),
    st.sampled_from([OK, "{}", '{"id": "x"}', '{"events": []}', '{"msgid":"1","msgtype":"PATCH-DOC","num_buffers":1}']),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fragments=st.lists(fragment, min_size=1, max_size=6))
def test_whatever_is_sent_others_go_on(running: Running, fragments: list[str | bytes]) -> None:
    async def fuzz() -> tuple[Any, str]:
        good = await wire_client(running, "/app", generate_jwt_token(ID("good")))
        await read_message(good)
        code = await code_after(running, fragments)
        for part in (OK, "{}", "{}"):
            await good.write_message(part)
        answer = await read_message(good)
        good.close()
        assert answer is not None
        return code, answer[0]["msgtype"]

    code, answer = asyncio.run(fuzz())
    assert code in (None, 1009, 4400)
    assert answer == "PULL-DOC-REPLY"


def test_a_valid_patch_cut_off_anywhere_kills_nobody(running: Running) -> None:
    events = '{"events":[{"kind":"ModelChanged","model":{"id":"%s"},"attr":"value","new":5}]}'
    identity = "p1"
    whole = '{"msgid":"1","msgtype":"PATCH-DOC"}', "{}", events % identity
    chance = random.Random(1)
    for _ in range(12):
        cut = chance.randrange(3)
        parts = [*whole[:cut], whole[cut][: chance.randrange(len(whole[cut]))]]
        assert asyncio.run(code_after(running, list(parts))) in (None, 4400)
    client = running.pull("/app")
    client.force_roundtrip()
    client.close()


class Late(FunctionHandler):
    """An app whose Document is filled when the test says so, or, at once, by a callback that then awaits that."""

    def __init__(self, in_callback: bool) -> None:
        self.go_on = asyncio.Event()
        self._in_callback = in_callback
        super().__init__(self._fill)

    def _fill(self, doc: Document) -> None:
        if self._in_callback:
            doc.add_next_tick_callback(self.go_on.wait)  # type: ignore[arg-type]  # it may be async

    async def on_session_created(self, session_context: SessionContext) -> None:
        if not self._in_callback:
            await self.go_on.wait()


def handshake(running: Running, path: str, session: str) -> bytes:
    """What opens a WebSocket."""
    host = urlsplit(running.url).netloc
    return (
        f"GET {path}/ws HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Protocol: bokeh, {generate_jwt_token(ID(session))}\r\n\r\n"
    ).encode()


def framed(*texts: str) -> bytes:
    """Texts as a browser sends them, with a mask that changes nothing."""
    heads = [bytes((0x81, 0xFE)) + len(text).to_bytes(2) + bytes(4) for text in texts]
    return b"".join(head + text.encode() for head, text in zip(heads, texts, strict=True))


def connection_to(running: Running) -> socket.socket:
    url = urlsplit(running.url)
    return socket.create_connection((url.hostname, url.port), timeout=10)


PING = b"\x89\x00"


@pytest.mark.parametrize("in_callback", [True, False])
def test_who_sends_on_while_a_session_takes_nothing_fills_no_memory_and_loses_nothing(in_callback: bool) -> None:
    late = Late(in_callback)
    question = framed('{"msgid":"1","msgtype":"SERVER-INFO-REQ"}', "{}", f'{{"padding":"{"x" * 60_000}"}}')
    sent, heard = 0, bytearray()
    apps = {"/late": Application(late), "/app": app}
    with serving(apps, keep_alive_milliseconds=250) as running, connection_to(running) as client:
        client.sendall(handshake(running, "/late", "much"))
        client.settimeout(1)
        with pytest.raises(TimeoutError):
            while sent < 200 * 2**20:
                sent += client.send(question[sent % len(question) :])
        assert sent < 60 * 2**20, "the rest stays with who sends it, beyond what the sockets hold"
        running.pull("/app").close()
        running.do(late.go_on.set)
        client.settimeout(20)
        while heard.count(b'"SERVER-INFO-REPLY"') < sent // len(question):
            came = client.recv(1 << 20)
            assert came, "it was cut off"
            heard += came
        assert heard.count(PING) > 3, "to none of which it could answer"


def test_a_client_that_does_not_wait_for_the_greeting_is_answered(running: Running) -> None:
    """Its messages may come with the handshake."""
    with connection_to(running) as client:
        client.sendall(handshake(running, "/app", "hasty") + framed(OK, "{}", "{}"))
        heard = b""
        while b"PULL-DOC-REPLY" not in heard and (data := client.recv(1 << 16)):
            heard += data
    assert heard.index(b"ACK") < heard.index(b"PULL-DOC-REPLY")
