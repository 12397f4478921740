"""The kernel writes to a browser only when all that went through the server is written; nothing is written twice."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from bokehmount.kernel import shortcut as shortcut_module
from bokehmount.kernel.shortcut import Loans, Shortcut
from bokehmount.link.turns import Turns

from ..link.other_process import OtherProcess, other_process

NUMBER = 7
MESSAGE = (b"head", bytes(100_000))


class Line:
    """A browser's end of a connection, and the end that a server lends."""

    def __init__(self) -> None:
        self.browser, self.lent = socket.socketpair()
        self.lent.setblocking(False)

    def heard(self) -> bytes:
        """All that came by now."""
        self.browser.setblocking(False)
        pieces = []
        try:
            while piece := self.browser.recv(1 << 20):
                pieces.append(piece)
        except BlockingIOError:
            pass
        return b"".join(pieces)


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.browser.close()
    line.lent.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = tmp_path / "turns"
    path.touch()
    return str(path)


@pytest.fixture
def turns(path: str) -> Iterator[Turns]:
    turns = Turns(path)
    yield turns
    turns.close()


@pytest.fixture
def server(path: str) -> Iterator[OtherProcess]:
    with other_process(path) as server:
        yield server


@pytest.fixture
def shortcut() -> Iterator[Shortcut]:
    shortcut = Shortcut(NUMBER)
    yield shortcut
    shortcut.close()


def test_all_goes_through_the_server_before_it_has_lent_anything(shortcut: Shortcut) -> None:
    assert shortcut.write(MESSAGE) == MESSAGE


def test_what_is_lent_is_written_to_in_our_turn(
    shortcut: Shortcut, line: Line, turns: Turns, server: OtherProcess
) -> None:
    shortcut.pass_on()
    shortcut.lent(1, turns, line.lent)
    assert shortcut.write((b"one",)) == () and shortcut.write((b"two", b"three")) == ()
    assert line.heard() == b"onetwothree"
    assert server.is_free(NUMBER)


def test_the_server_writes_what_was_given_to_it_first(shortcut: Shortcut, line: Line, turns: Turns) -> None:
    shortcut.pass_on()
    shortcut.pass_on()
    shortcut.lent(1, turns, line.lent)
    assert shortcut.write(MESSAGE) == MESSAGE, "the second is not written yet"
    shortcut.lent(2, turns, None)
    assert shortcut.write((b"third",)) == ()
    shortcut.pass_on()
    assert shortcut.write(MESSAGE) == MESSAGE
    shortcut.lent(2, turns, None)
    assert shortcut.write(MESSAGE) == MESSAGE, "what was said of the second comes late"
    assert line.heard() == b"third"


def test_in_the_servers_turn_all_goes_through_the_server(
    shortcut: Shortcut, line: Line, turns: Turns, server: OtherProcess
) -> None:
    shortcut.lent(0, turns, line.lent)
    assert server.takes(NUMBER)
    assert shortcut.write(MESSAGE) == MESSAGE
    assert line.heard() == b""


def test_what_a_slow_browser_does_not_take_is_the_servers_to_write_before_anything_else(
    shortcut: Shortcut, line: Line, turns: Turns, server: OtherProcess
) -> None:
    shortcut.lent(0, turns, line.lent)
    large = os.urandom(8 << 20)
    rest = shortcut.write((b"head", large))
    assert 0 < sum(map(len, rest)) < len(large)
    assert not server.is_free(NUMBER), "a pong would stand inside the frame"
    shortcut.pass_on()
    assert shortcut.write(MESSAGE) == MESSAGE
    shortcut.pass_on()
    assert line.heard() + b"".join(rest) == b"head" + large
    shortcut.lent(1, turns, None)
    assert not server.is_free(NUMBER), "the rest may be written, the next message is not"
    shortcut.lent(2, turns, None)
    assert server.is_free(NUMBER)
    assert shortcut.write((b"tail",)) == () and line.heard() == b"tail"


def test_a_browser_that_is_gone_is_the_servers_to_notice(shortcut: Shortcut, line: Line, turns: Turns) -> None:
    servers = line.lent.dup()
    shortcut.lent(0, turns, line.lent)
    line.browser.close()
    assert shortcut.write(MESSAGE) == (), "what nobody hears need not be sent"
    with servers:
        assert servers.recv(1) == b""
    assert shortcut.write(MESSAGE) == MESSAGE


def test_a_frame_whose_rest_was_lost_is_followed_by_nothing(shortcut: Shortcut, line: Line, turns: Turns) -> None:
    shortcut.lent(0, turns, line.lent)
    large = bytes(8 << 20)
    rest = shortcut.write((large,))
    assert rest, "and an interrupt comes before it is passed on"
    assert shortcut.write(MESSAGE) == ()
    line.browser.settimeout(5)
    heard = 0
    while piece := line.browser.recv(1 << 20):
        heard += len(piece)
    assert heard == len(large) - sum(map(len, rest))


def test_what_ends_within_a_frame_ends_the_connection(
    shortcut: Shortcut, line: Line, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(connection: socket.socket, *args: object) -> None:
        connection.send(b"half a fr")
        raise KeyboardInterrupt

    shortcut.lent(0, turns, line.lent)
    monkeypatch.setattr(shortcut_module, "write_along", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shortcut.write(MESSAGE)
    monkeypatch.undo()
    line.browser.settimeout(5)
    assert line.browser.recv(100) == b"half a fr" and line.browser.recv(100) == b""
    assert shortcut.write(MESSAGE) == MESSAGE


def test_a_connection_that_is_over_keeps_no_socket_and_no_turn(
    shortcut: Shortcut, line: Line, turns: Turns, server: OtherProcess
) -> None:
    shortcut.lent(0, turns, line.lent)
    assert shortcut.write((b"head",)) == ()
    shortcut.close()
    shortcut.close()
    assert line.lent.fileno() == -1 and server.is_free(NUMBER)
    assert shortcut.write(MESSAGE) == MESSAGE
    late = Line()
    shortcut.lent(0, turns, late.lent)
    assert late.lent.fileno() == -1
    assert shortcut.write(MESSAGE) == MESSAGE
    late.browser.close()


def test_the_server_does_not_get_the_turn_before_the_rest_of_a_frame(
    shortcut: Shortcut, line: Line, turns: Turns, server: OtherProcess
) -> None:
    shortcut.lent(0, turns, line.lent)
    assert shortcut.write((bytes(8 << 20),))
    shortcut.close()
    assert not server.is_free(NUMBER), "the rest is on its way"


def test_a_forked_process_does_not_keep_a_browsers_connection(shortcut: Shortcut, line: Line, turns: Turns) -> None:
    shortcut.lent(0, turns, line.lent)
    child = os.fork()
    if not child:
        time.sleep(20)
        os._exit(0)
    try:
        assert shortcut.write((b"still ours",)) == () and line.heard() == b"still ours"
        shortcut.close()
        assert all_closed([line])
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_timeout_for_all_sockets_holds_nobody_up(shortcut: Shortcut, line: Line, turns: Turns) -> None:
    loans = Loans(turns)
    loans.came([line.lent.detach()], lost=False)
    socket.setdefaulttimeout(3)
    try:
        shortcut.lent(0, turns, loans.take(0))
    finally:
        socket.setdefaulttimeout(None)
    begun = time.monotonic()
    assert shortcut.write((bytes(8 << 20),))
    assert time.monotonic() - begun < 1


def all_closed(lines: Iterable[Line]) -> bool:
    for line in lines:
        line.browser.setblocking(True)
        line.browser.settimeout(5)
    return all(line.browser.recv(1) == b"" for line in lines)


def test_each_socket_is_taken_by_its_place_whoever_comes_first(turns: Turns) -> None:
    lines = [Line() for _ in range(3)]
    loans = Loans(turns)
    loans.came([line.lent.detach() for line in lines[:2]], lost=False)
    loans.came([lines[2].lent.detach()], lost=False)
    for place in (1, 0):
        taken = loans.take(place)
        assert taken is not None
        taken.send(b"%d" % place)
        assert lines[place].heard() == b"%d" % place
        taken.close()
    assert loans.take(0) is None and loans.take(7) is None
    loans.close()
    loans.close()
    assert all_closed(lines)
    assert not turns.take(NUMBER)


def test_what_comes_after_the_end_is_closed(turns: Turns) -> None:
    late = Line()
    loans = Loans(turns)
    loans.close()
    loans.came([late.lent.detach()], lost=False)
    assert all_closed([late]) and loans.take(0) is None


def test_where_one_was_lost_no_other_is_taken_for_it(turns: Turns) -> None:
    lines = [Line() for _ in range(3)]
    loans = Loans(turns)
    loans.came([lines[0].lent.detach()], lost=False)
    loans.came([lines[1].lent.detach()], lost=True)
    loans.came([lines[2].lent.detach()], lost=False)
    assert [loans.take(place) for place in range(4)] == [None] * 4
    assert all_closed(lines)
    assert turns.take(NUMBER), "what was lent before goes on"


def test_a_message_that_a_browser_reads_slowly_holds_nobody_up(shortcut: Shortcut, line: Line, turns: Turns) -> None:
    shortcut.lent(0, turns, line.lent)
    reading = True

    def read() -> None:
        while reading and line.browser.recv(20_000):
            time.sleep(0.001)

    slow = threading.Thread(target=read)
    slow.start()
    begun = time.monotonic()
    rest = shortcut.write((bytes(64 << 20),))
    taken = time.monotonic() - begun
    reading = False
    line.lent.shutdown(socket.SHUT_RDWR)
    slow.join()
    assert rest and taken < 1, "at 20 MB/s all of it would take three seconds"


@pytest.mark.parametrize("offer", [None, {}, {"path": "/p", "key": "k"}, {"turns": "/no/such/file"}])
def test_a_server_that_offers_no_turns_lends_nothing(offer: dict[str, str] | None) -> None:
    assert Loans.offered(offer) is None
