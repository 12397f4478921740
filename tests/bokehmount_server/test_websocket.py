"""What a view is sent leaves in few system calls, whole; what it sends tells whether its user is there."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from bokeh.util.token import generate_jwt_token, generate_session_id
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketProtocol13, websocket_connect

from bokehmount import wire
from bokehmount.apphost import Opening
from bokehmount.errors import CloseCode
from bokehmount.link.turns import Turns
from bokehmount.tokens import RequestInfo
from bokehmount_server.door import Door
from bokehmount_server.views import Views
from bokehmount_server.websocket import AppSocket, Limits, ViewerSocket, _sent

from ..bokehmount.link.other_process import other_process
from ..server_apps.serving import Running, serving

LINUX = hasattr(socket, "TCP_USER_TIMEOUT")


def test_more_pieces_than_one_call_takes_leave_a_rest_and_nothing_is_lost() -> None:
    own, other = socket.socketpair()
    with own, other:
        own.setblocking(False)
        pieces = tuple(str(number).encode() for number in range(5_000))
        rest = _sent(own, pieces)
        assert 0 < len(rest) < len(pieces)
        while rest:
            rest = _sent(own, rest)
        assert other.recv(1 << 16) == b"".join(pieces)


def test_a_full_socket_takes_nothing_or_a_part() -> None:
    own, other = socket.socketpair()
    with own, other:
        own.setblocking(False)
        large = bytes(8 << 20)
        rest = _sent(own, (b"head", large))
        assert len(rest) == 1 and 0 < len(rest[0]) < len(large)
        assert _sent(own, rest) == rest


@pytest.mark.skipif(not LINUX, reason="only Linux gives up on time")
def test_a_machine_that_takes_nothing_any_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bokehmount_server.websocket._VANISHED", 1.0)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()):
            own, _ = listening.accept()
            app_socket = AppSocket.__new__(AppSocket)
            app_socket.ws_connection = create_autospec(WebSocketProtocol13, instance=True, stream=IOStream(own))
            app_socket.read_ahead()
            app_socket.tune()
            stream = app_socket.heard_by(lambda message: None, lambda: False)
            closed = asyncio.Event()
            stream.set_close_callback(closed.set)
            with pytest.raises(StreamClosedError):  # what its machine holds for it is full at once
                await asyncio.wait_for(stream.write(bytes(64 << 20)), timeout=30)
            await closed.wait()
            assert isinstance(stream.error, TimeoutError)

    asyncio.run(main())


def test_a_user_who_drags_is_noted_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[float] = []
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    app_socket = create_autospec(AppSocket, instance=True)
    app_socket.limits = Limits()
    viewer = ViewerSocket(app_socket, create_autospec(Door, instance=True), "/app", lambda: noted.append(now))

    def sends(message: Any) -> None:
        for fragment in wire.encode(message):
            viewer.on_message(fragment)

    sends(wire.pull_doc())
    assert noted == [], "BokehJS asks for the Document by itself"
    for _ in range(24):
        sends(wire.Message(wire.MessageType.PATCH_DOC, {"events": []}))
        now += 0.125
    assert noted == [100, 101, 102]


def test_an_open_view_keeps_neither_the_headers_nor_the_token_that_opened_it() -> None:
    app_socket = AppSocket.__new__(AppSocket)
    headers = HTTPHeaders({"Host": "localhost", "Cookie": "name=secret"})
    app_socket.request = HTTPServerRequest(start_line=RequestStartLine("GET", "/app/ws", "HTTP/1.1"), headers=headers)
    app_socket.token_text = "token"
    assert app_socket.request.cookies["name"].value == "secret"
    app_socket.forget_request()
    assert list(headers.get_all()) == [] and not app_socket.request.cookies and app_socket.token_text is None


async def _started(app_socket: Any, door: Any) -> None:
    viewer = ViewerSocket(app_socket, door, "/app", lambda: None)
    viewer.start(Opening("session", "token", True, RequestInfo()))
    viewer.on_close()


def test_a_view_forgets_its_request_when_it_starts() -> None:
    app_socket = create_autospec(AppSocket, instance=True, limits=Limits(), close_code=1000)
    asyncio.run(_started(app_socket, create_autospec(Door, instance=True)))
    app_socket.forget_request.assert_called_once_with()


def viewer_on(stream: IOStream) -> tuple[ViewerSocket, Any]:
    """A viewer whose WebSocket writes to a stream, and the WebSocket."""
    app_socket = create_autospec(AppSocket, instance=True)
    app_socket.limits, app_socket.compression = Limits(), None
    app_socket.heard_by.return_value = stream
    app_socket.ws_connection = create_autospec(WebSocketProtocol13, instance=True)
    app_socket.ws_connection.is_closing.return_value = False
    app_socket.ws_connection.stream = stream
    return ViewerSocket(app_socket, create_autospec(Door, instance=True), "/app", lambda: None), app_socket


def test_the_rest_of_a_kernels_frame_is_written_also_when_the_view_is_being_closed(tmp_path: Path) -> None:
    turns_path = tmp_path / "turns"
    turns_path.touch()

    async def main() -> None:
        own, browser = socket.socketpair()
        viewer, app_socket = viewer_on(IOStream(own))
        connection = app_socket.ws_connection
        turns = Turns(str(turns_path))
        assert viewer.lend(turns, 1) is own and viewer.lend(turns, 1) is own
        viewer.leave(kernels=True)
        with other_process(str(turns_path)) as kernel:
            assert kernel.takes(1)
            own.dup().send(b"half a fr")
            closing = connection.stream.write(b"close")
            viewer.end(CloseCode.ENDED, "it was closed")
            app_socket.ws_connection = None
            viewer.leave(kernels=False)
            viewer.write_bytes((b"ame",))
            await asyncio.wait_for(closing, 5)
            viewer.write_bytes((b"more",))
        assert browser.recv(100) == b"half a frameclose"
        connection.stream.close()
        assert viewer.lend(turns, 1) is None
        turns.close()
        browser.close()

    asyncio.run(main())


def test_what_is_compressed_is_not_lent() -> None:
    app_socket = create_autospec(AppSocket, instance=True)
    app_socket.limits, app_socket.compression = Limits(), {}
    viewer = ViewerSocket(app_socket, create_autospec(Door, instance=True), "/app", lambda: None)
    assert viewer.lend(create_autospec(Turns, instance=True), 1) is None


def test_all_is_written_when_the_browser_has_read_what_waits() -> None:
    async def main() -> None:
        own, browser = socket.socketpair()
        stream = IOStream(own)
        viewer, _ = viewer_on(stream)
        called: list[str] = []
        viewer.when_written(lambda: called.append("nothing to write"))
        viewer.write_bytes((bytes(4 << 20),))
        viewer.when_written(lambda: called.append("the first"))
        viewer.write_bytes((bytes(4 << 20),))
        viewer.when_written(lambda: called.append("both"))
        await asyncio.sleep(0.01)
        assert called == ["nothing to write"]
        browser.setblocking(False)
        read = 0
        while read < 8 << 20:
            try:
                read += len(browser.recv(1 << 20))
            except BlockingIOError:
                assert called == ["nothing to write"]
                await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert called == ["nothing to write", "both"]
        stream.close()
        browser.close()

    asyncio.run(main())


def test_a_view_that_reads_too_slowly_is_closed_also_where_it_is_compressed() -> None:
    async def main() -> None:
        app_socket = create_autospec(AppSocket, instance=True)
        app_socket.limits, app_socket.compression = Limits(queue=100), {}
        pending: list[asyncio.Future[None]] = []

        def write_message(*_: object) -> asyncio.Future[None]:
            pending.append(asyncio.get_running_loop().create_future())
            return pending[-1]

        app_socket.write_message.side_effect = write_message
        viewer = ViewerSocket(app_socket, create_autospec(Door, instance=True), "/app", lambda: None)
        frames = (b"{}", b"{}", b"x" * 90)
        viewer.write([frames])
        for future in pending:
            future.set_result(None)
        await asyncio.sleep(0)
        viewer.write([frames])
        app_socket.end.assert_not_called()
        viewer.write([frames])
        viewer.write([frames])
        app_socket.end.assert_called_once_with(CloseCode.TOO_SLOW, "this view reads too slowly; it starts anew")
        assert len(pending) < 12
        for future in pending[3:]:
            future.set_exception(StreamClosedError())
        await asyncio.sleep(0)

    asyncio.run(main())


def test_what_comes_before_the_greeting_waits_until_the_door_knows_the_view() -> None:
    async def main() -> None:
        app_socket = create_autospec(AppSocket, instance=True, limits=Limits(), close_code=1000, compression={})
        door = create_autospec(Door, instance=True)
        viewer = ViewerSocket(app_socket, door, "/app", lambda: None)
        viewer.start(Opening("session", "token", True, RequestInfo()))
        early = wire.encode(wire.pull_doc())
        for fragment in early:
            viewer.on_message(fragment)
        door.receive.assert_not_called()
        door.connect.side_effect = lambda *_: door.receive.assert_not_called()
        for _ in range(3):
            await asyncio.sleep(0)
        door.connect.assert_called_once()
        door.receive.assert_called_once_with(viewer, early)
        viewer.on_close()

    asyncio.run(main())


def test_a_view_that_does_not_read_what_it_is_told_is_closed_and_costs_nobody_a_word() -> None:
    async def main(running: Running) -> None:
        views = Views()
        running.server.tornado_app.site = replace(running.server.tornado_app.site, views=views)

        def tell(text: str) -> list[Any]:
            for view in views.of(lambda view: True):
                view.tell("output", text)
            return [view.socket for view in views.of(lambda view: True)]

        url, token = f"{running.ws_url}/ws", generate_jwt_token(generate_session_id())
        reading, deaf = [await websocket_connect(url, subprotocols=["bokehmount", token]) for _ in range(2)]
        assert json.loads(await reading.read_message() or "")["state"] == "ready"
        sockets = running.do(tell, "first")
        assert len(sockets) == 2 and all(socket_options(each) == (1, 120_000) for each in sockets)
        for text in ["first", *("x" * 2**20 + str(number) for number in range(30))]:
            if text != "first":
                assert all(each._unread <= 6 * 2**20 for each in running.do(tell, text))
            assert json.loads(await reading.read_message() or "")["text"] == text
        while len(running.do(tell, "")) == 2:  # Tornado waits for its goodbye
            assert await reading.read_message()
            await asyncio.sleep(0.05)
        assert len(running.do(tell, "last")) == 1
        reading.close()
        deaf.close()

    def socket_options(app_socket: AppSocket) -> tuple[int, int]:
        own = app_socket._ahead.stream.socket
        vanished = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) if LINUX else 120_000
        return own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), vanished

    with serving(lambda doc: None) as running:
        asyncio.run(main(running))
