"""While the kernel has a browser's socket too, the server's own frames stand between the kernel's, never inside one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tornado.iostream import IOStream, StreamClosedError

from bokehmount.link.messages import Yours
from bokehmount.link.turns import Turns
from bokehmount_server import lending
from bokehmount_server.lending import Lender, LentStream

from ..bokehmount.doubles import until
from ..bokehmount.link.other_process import OtherProcess, other_process

NUMBER = 5


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = tmp_path / "turns"
    path.touch()
    return str(path)


class Line:
    """A stream that is lent, and its browser."""

    def __init__(self, turns: Turns) -> None:
        own, self.browser = socket.socketpair()
        self.browser.setblocking(False)
        self.kernels = own.dup()
        self.stream = IOStream(own)
        self.lent = LentStream(self.stream, turns, NUMBER)
        self.lent.leave(kernels=True)

    def heard(self) -> bytes:
        try:
            return self.browser.recv(1 << 20)
        except BlockingIOError:
            return b""


@asynccontextmanager
async def lent(path: str) -> AsyncIterator[tuple[Line, OtherProcess]]:
    turns = Turns(path)
    line = Line(turns)
    with other_process(path) as kernel:
        try:
            yield line, kernel
        finally:
            line.lent.close()
            for end in (line.browser, line.kernels):
                end.close()
            turns.close()


def test_a_frame_is_written_at_once_where_the_kernel_is_not_writing(path: str) -> None:
    async def main() -> None:
        async with lent(path) as (line, kernel):
            await line.lent.write(b"pong")
            assert line.heard() == b"pong"
            await asyncio.sleep(0.01)
            assert kernel.is_free(NUMBER)

    asyncio.run(main())


def test_a_frame_waits_for_the_kernels_to_end(path: str) -> None:
    async def main() -> None:
        async with lent(path) as (line, kernel):
            assert kernel.takes(NUMBER)
            first, second = line.lent.write(b"first"), line.lent.write(b"second")
            await asyncio.sleep(0.1)
            assert line.heard() == b"" and not first.done() and not second.done()
            kernel.gives_back(NUMBER)
            await asyncio.wait_for(asyncio.gather(first, second), 5)
            assert line.heard() == b"firstsecond"

    asyncio.run(main())


def test_the_rest_of_the_kernels_frame_comes_before_a_frame_that_waits(path: str) -> None:
    async def main() -> None:
        async with lent(path) as (line, kernel):
            assert kernel.takes(NUMBER)
            line.kernels.send(b"half a fr")
            waiting = line.lent.write(b"pong")
            line.lent.leave(kernels=False)  # the rest has come over the link
            await line.stream.write(b"ame")
            await asyncio.wait_for(waiting, 5)
            assert line.heard() == b"half a framepong"

    asyncio.run(main())


def test_a_turn_is_given_back_also_when_a_message_was_written_behind_the_frame(path: str) -> None:
    async def main() -> None:
        async with lent(path) as (line, kernel):
            line.lent.write(bytes(4 << 20))
            line.lent.leave(kernels=False)
            last = line.stream.write(b"a message")
            while not last.done():
                line.heard()
                await asyncio.sleep(0)
            line.lent.leave(kernels=True)
            assert kernel.is_free(NUMBER)

    asyncio.run(main())


def test_the_turn_is_kept_until_all_of_a_frame_is_written(path: str) -> None:
    async def main() -> None:
        async with lent(path) as (line, kernel):
            large = bytes(4 << 20)
            written = line.lent.write(large)
            await asyncio.sleep(0.05)
            assert not written.done() and not kernel.is_free(NUMBER)
            heard = 0
            while heard < len(large):
                heard += len(line.heard())
                await asyncio.sleep(0)
            await written
            await asyncio.sleep(0.01)
            assert kernel.is_free(NUMBER)

    asyncio.run(main())


def test_a_close_frame_that_waits_is_written_before_the_connection_ends(path: str) -> None:
    async def main() -> None:
        async with lent(path) as (line, kernel):
            assert kernel.takes(NUMBER)
            line.lent.write(b"close")
            line.lent.close()
            line.lent.close()
            assert line.lent.has_to_wait and not line.stream.closed()
            kernel.gives_back(NUMBER)
            await until(line.stream.closed)
            assert line.heard() == b"close"

    asyncio.run(main())


def test_a_turn_is_kept_for_all_frames_that_wait_in_the_stream(path: str) -> None:
    async def main() -> None:
        async with lent(path) as (line, kernel):
            await line.lent.write(b"first")
            large = bytes(4 << 20)
            first, second = line.lent.write(b"first"), line.lent.write(large)
            await first
            await asyncio.sleep(0.01)
            assert not second.done() and not kernel.is_free(NUMBER)

    asyncio.run(main())


def test_closing_ends_the_connection_although_the_kernel_has_it_too(path: str) -> None:
    async def main() -> None:
        async with lent(path) as (line, kernel):
            assert kernel.takes(NUMBER)
            waiting = line.lent.write(b"pong")
            line.lent.close()
            await asyncio.sleep(0.2)
            line.browser.setblocking(True)
            line.browser.settimeout(5)
            assert line.browser.recv(1) == b""
            with pytest.raises(StreamClosedError):
                await waiting
            with pytest.raises(StreamClosedError):
                line.lent.write(b"late")
            line.lent.close()

    asyncio.run(main())


class Viewer:
    """A viewer that has written all, or not yet."""

    def __init__(self, encrypts: bool = False) -> None:
        self.socket = None if encrypts else socket.socket()
        self.kernels = False
        self.calls: list[Callable[[], object]] = []
        self.reads = True

    def lend(self, turns: Turns, number: int) -> socket.socket | None:
        return self.socket

    def when_written(self, call: Callable[[], object]) -> None:
        if self.reads:
            call()
        else:
            self.calls = [call]

    def leave(self, *, kernels: bool) -> None:
        self.kernels = kernels


class Kernel:
    """What reaches the kernel, unless the way is blocked."""

    def __init__(self) -> None:
        self.heard: list[tuple[Yours, int | None]] = []
        self.blocked = False

    def send_along(self, message: Any, descriptor: int | None) -> bool:
        if not self.blocked:
            self.heard.append((message, descriptor))
        return not self.blocked


class Rig:
    """A lender between a viewer and a kernel."""

    def __init__(self, path: str, viewer: Viewer) -> None:
        self.viewer = viewer
        self.kernel = Kernel()
        self.turns = Turns(path)
        self.lender = Lender(self.kernel, self.turns)

    def passes(self, *, alone: bool = True) -> None:
        self.lender.passing(NUMBER, self.viewer)
        if alone:
            self.lender.passed(NUMBER, self.viewer)


def test_the_socket_goes_along_once_and_the_count_each_time(path: str) -> None:
    rig = Rig(path, Viewer())
    assert rig.viewer.socket is not None
    rig.passes()
    assert rig.viewer.kernels
    rig.passes(alone=False)
    assert not rig.viewer.kernels, "the kernel has given a message away"
    rig.passes()
    assert rig.kernel.heard == [
        (Yours(NUMBER, 1, 0), rig.viewer.socket.fileno()),
        (Yours(NUMBER, 3, None), None),
    ]
    assert rig.viewer.kernels
    rig.viewer.socket.close()


def test_a_viewer_that_reads_slowly_stays_this_servers(path: str) -> None:
    rig = Rig(path, Viewer())
    rig.viewer.reads = False
    rig.passes()
    rig.passes()
    assert rig.kernel.heard == [] and not rig.viewer.kernels
    rig.viewer.calls[0]()
    assert [message for message, _ in rig.kernel.heard] == [Yours(NUMBER, 2, 0)] and rig.viewer.kernels
    assert rig.viewer.socket is not None
    rig.viewer.socket.close()


def test_what_can_not_be_lent_stays_this_servers(path: str) -> None:
    encrypted = Rig(path, Viewer(encrypts=True))
    encrypted.passes()
    assert encrypted.kernel.heard == [] and not encrypted.viewer.kernels
    blocked = Rig(path, Viewer())
    blocked.kernel.blocked = True
    blocked.passes()
    assert not blocked.viewer.kernels
    blocked.kernel.blocked = False
    blocked.passes()
    assert [message for message, _ in blocked.kernel.heard] == [Yours(NUMBER, 2, 0)]


def test_a_viewer_that_is_gone_is_not_spoken_of(path: str) -> None:
    rig = Rig(path, Viewer())
    rig.viewer.reads = False
    rig.passes()
    rig.lender.gone(NUMBER)
    rig.viewer.calls[0]()
    assert rig.kernel.heard == []


def test_turns_outlive_a_link_for_what_is_still_to_be_said(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "_FAREWELL", 0.05)

    async def main() -> None:
        rig = Rig(path, Viewer())
        rig.lender.close()
        assert rig.turns.take(NUMBER)
        await until(lambda: not rig.turns.take(NUMBER))

    asyncio.run(main())
