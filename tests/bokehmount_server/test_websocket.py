"""What a view is sent leaves in few system calls, whole, however many pieces it has."""

from __future__ import annotations

import socket

from bokehmount_server.websocket import _sent


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
