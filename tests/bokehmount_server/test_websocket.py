"""What a view is sent leaves in few system calls, whole; what it sends tells whether its user is there."""

from __future__ import annotations

import asyncio
import socket
from typing import Any
from unittest.mock import create_autospec

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from bokehmount import wire
from bokehmount.apphost import Opening
from bokehmount.tokens import RequestInfo
from bokehmount_server import websocket
from bokehmount_server.door import Door
from bokehmount_server.websocket import AppSocket, Limits, ViewerSocket, _sent


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


def test_a_user_who_drags_is_noted_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[float] = []
    now = 100.0
    monkeypatch.setattr(websocket.time, "monotonic", lambda: now)
    app_socket = create_autospec(AppSocket, instance=True)
    app_socket.limits = Limits()
    door = create_autospec(Door, instance=True)
    viewer = ViewerSocket(app_socket, door, "/app", lambda: noted.append(now))

    def sends(message: Any) -> None:
        for fragment in wire.encode(message):
            viewer.on_message(fragment)

    sends(wire.pull_doc())
    assert noted == [], "BokehJS asks for the Document by itself"
    for _ in range(24):
        sends(wire.Message(wire.MessageType.PATCH_DOC, {"events": []}))
        now += 0.125
    assert noted == [100, 101, 102]
    assert door.receive.call_count == 25


def test_an_open_view_keeps_neither_the_headers_nor_the_token_that_opened_it() -> None:
    app_socket = AppSocket.__new__(AppSocket)
    app_socket.request = HTTPServerRequest(
        start_line=RequestStartLine("GET", "/app/ws", "HTTP/1.1"),
        headers=HTTPHeaders({"Host": "localhost", "Cookie": "secret"}),
    )
    app_socket.token_text = "token"
    app_socket.forget_request()
    assert list(app_socket.request.headers.get_all()) == [] and app_socket.token_text is None


async def _started(app_socket: Any, door: Any) -> None:
    viewer = ViewerSocket(app_socket, door, "/app", lambda: None)
    viewer.start(Opening("session", "token", True, RequestInfo()))
    viewer.on_close()


def test_a_view_forgets_its_request_when_it_starts() -> None:
    app_socket = create_autospec(AppSocket, instance=True, limits=Limits(), close_code=1000)
    asyncio.run(_started(app_socket, create_autospec(Door, instance=True)))
    app_socket.forget_request.assert_called_once_with()
