"""The main thread reads where it is free, the I/O thread where it is not, and nothing changes its place."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest

from bokehmount.kernel.io_thread import IOThread
from bokehmount.kernel.socket_reader import MOST, SocketReader
from bokehmount.link.messages import Part
from bokehmount.link.stream import pack

from ..doubles import until


class Reading:
    """A reader, the other end of its socket, and what it handed over as the main thread comes to it."""

    def __init__(
        self,
        main: asyncio.AbstractEventLoop,
        watch: asyncio.AbstractEventLoop,
        came: Callable[..., None] | None = None,
    ) -> None:
        self.other, self.own = socket.socketpair()
        self.own.setblocking(False)
        self.main = main
        self.seen: list[bytes] = []
        self.readers: list[str] = []
        self.lost: list[str] = []
        self.reader = SocketReader(self.own, main, watch, self.received, self.lost.append, came)
        self.reader.start()

    def received(self, parts: list[Part]) -> None:
        by_main = threading.current_thread() is threading.main_thread()
        self.readers.append("main" if by_main else "io")
        if by_main:
            self.seen.append(bytes(parts[0]))
        else:
            self.main.call_soon_threadsafe(self.seen.append, bytes(parts[0]))

    def has_seen(self, count: int) -> bool:
        return len(self.seen) >= count

    def send(self, *parts: bytes) -> None:
        self.other.sendall(b"".join(pack(parts)))


@contextmanager
def reading(came: Callable[..., None] | None = None) -> Iterator[Reading]:
    thread = IOThread()
    thread.start()
    found = Reading(asyncio.get_running_loop(), thread.loop, came)
    try:
        yield found
    finally:
        thread.loop.call_soon_threadsafe(found.reader.stop)
        thread.stop()
        found.other.close()


def test_a_free_main_thread_reads_itself() -> None:
    async def main() -> None:
        with reading() as it:
            for number in range(20):
                it.send(str(number).encode())
                await until(partial(it.has_seen, number + 1), "a message")
            assert it.readers.count("main") > 15  # a machine under load may be late now and then
        await asyncio.sleep(0.01)

    asyncio.run(main())


def test_what_a_busy_main_thread_leaves_is_read_by_the_other() -> None:
    async def main() -> None:
        with reading() as it:
            await asyncio.sleep(0.05)
            it.send(b"first")
            time.sleep(0.3)  # a cell that runs
            it.send(b"second")
            time.sleep(0.3)
            assert it.readers == ["io", "io"] and it.seen == []
            it.send(b"third")
            await until(lambda: len(it.seen) == 3, "all messages")
            assert it.seen == [b"first", b"second", b"third"]
        await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_main_thread_that_has_just_read_may_be_busy_all_the_same() -> None:
    async def main() -> None:
        with reading() as it:
            for _ in range(5):
                it.send(b"before")
                await asyncio.sleep(0.004)
            await until(lambda: len(it.seen) == 5, "the messages before")
            it.send(b"meanwhile")
            time.sleep(0.2)
            assert it.readers[5:] == ["io"]
            await until(lambda: len(it.seen) == 6, "the message of meanwhile")
        await asyncio.sleep(0.01)

    asyncio.run(main())


def test_messages_keep_their_order_whoever_reads_them() -> None:
    async def main() -> None:
        with reading() as it:
            whims = random.Random(5)

            def send() -> None:
                for number in range(400):
                    it.send(str(number).encode(), bytes(whims.choice((0, 10, 100_000, 400_000))))
                    time.sleep(whims.choice((0, 0, 0.001, 0.004)))

            sender = threading.Thread(target=send)
            sender.start()
            while len(it.seen) < 400:
                await asyncio.sleep(whims.choice((0, 0.001)))
                time.sleep(whims.choice((0, 0.002, 0.006, 0.012)))
            sender.join()
            assert it.seen == [str(number).encode() for number in range(400)]
            assert {"main", "io"} == set(it.readers)
        await asyncio.sleep(0.01)

    asyncio.run(main())


def test_what_a_busy_main_thread_has_no_room_for_stays_with_who_sends_it() -> None:
    async def main() -> None:
        with reading() as it:
            megabyte, sent = bytes(1 << 20), 0

            def send() -> None:
                nonlocal sent
                for number in range(200):
                    it.send(b"%d" % number, megabyte)
                    sent = number + 1

            sender = threading.Thread(target=send)
            sender.start()
            before = 0
            while before < MOST >> 20 or sent > before:  # until it stands still, and a cell runs all the time
                before = sent
                time.sleep(0.3)
            assert not it.seen and MOST >> 20 <= sent < (MOST >> 20) + 10
            await until(lambda: it.has_seen(200), "all of it")
            sender.join()
            assert it.seen == [b"%d" % number for number in range(200)]
            it.send(b"and on")
            await until(lambda: it.seen[-1] == b"and on")
        await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_server_that_dies_while_there_is_no_room_is_heard_of_all_the_same() -> None:
    async def main() -> None:
        with reading() as it:

            def send() -> None:
                with suppress(TimeoutError):
                    while True:
                        it.send(bytes(1 << 20))
                it.other.close()

            await asyncio.sleep(0.05)
            it.other.settimeout(0.5)
            sender = threading.Thread(target=send)
            sender.start()
            sender.join()
            assert not it.lost and not it.seen, "a cell runs all the time"
            time.sleep(0.3)
            assert it.lost == ["the server closed the link"]
        await asyncio.sleep(0.05)
        assert it.lost == ["the server closed the link"] and it.own.fileno() == -1

    asyncio.run(main())


@pytest.mark.parametrize("size", [100, 66_000])
def test_what_waits_is_counted_as_the_memory_that_it_takes(size: int) -> None:
    """A small message is a number of objects; a part of 64 KiB or more has a buffer of 256 KiB to itself."""

    async def main() -> None:
        with reading() as it:
            it.other.settimeout(0.5)
            count = 2 * MOST // (1 << 10 if size == 100 else 1 << 18)

            def send() -> None:
                with suppress(TimeoutError):
                    for _ in range(count):
                        it.send(bytes(size))

            sender = threading.Thread(target=send)
            sender.start()
            sender.join()
            assert len(it.readers) < 0.6 * count
        await asyncio.sleep(0.05)

    asyncio.run(main())


@pytest.mark.parametrize("busy", [False, True])
def test_the_end_is_told_once_and_the_socket_is_closed(busy: bool) -> None:
    async def main() -> None:
        with reading() as it:
            await asyncio.sleep(0.05)
            it.other.close()
            if busy:
                time.sleep(0.2)
                assert it.lost == ["the server closed the link"]
            await until(lambda: it.lost, "the end to be told")
        await asyncio.sleep(0.05)
        assert it.lost == ["the server closed the link"]
        assert it.own.fileno() == -1

    asyncio.run(main())


def test_what_is_no_message_ends_it() -> None:
    async def main() -> None:
        with reading() as it:
            it.other.sendall(b"\xff" * 64)
            await until(lambda: it.lost, "the end to be told")
            assert "parts" in it.lost[0]
        await asyncio.sleep(0.01)

    asyncio.run(main())


@pytest.mark.parametrize("main_is_free", [True, False])
def test_descriptors_come_along_in_order_and_before_the_messages_that_tell_of_them(main_is_free: bool) -> None:
    came: list[int] = []

    def take(descriptors: list[int], *, lost: bool) -> None:
        assert not lost
        came.extend(descriptors)

    async def main() -> None:
        with reading(take) as found:
            pairs = [socket.socketpair() for _ in range(5)]
            for number, (_, lent) in enumerate(pairs):
                found.send(b"without")
                text = b"".join(pack([b"with %d" % number]))
                socket.send_fds(found.other, [text], [lent.fileno()])
                lent.close()
            if not main_is_free:
                time.sleep(0.05)
            await until(lambda: len(found.seen) == 10)
            assert [text for text in found.seen if text != b"without"] == [b"with %d" % number for number in range(5)]
            assert len(came) == 5
            for number, (descriptor, (own, _)) in enumerate(zip(came, pairs, strict=True)):
                assert not os.get_inheritable(descriptor)
                with socket.socket(fileno=descriptor) as lent, own:
                    lent.send(b"%d" % number)
                    assert own.recv(10) == b"%d" % number

    asyncio.run(main())


def test_descriptors_that_there_is_no_room_for_are_told_of() -> None:
    told: list[tuple[int, bool]] = []

    def take(descriptors: list[int], *, lost: bool) -> None:
        told.append((len(descriptors), lost))
        for descriptor in descriptors:
            os.close(descriptor)

    async def main() -> None:
        with reading(take) as found:
            one, other = socket.socketpair()
            with one, other:
                socket.send_fds(found.other, [b"".join(pack([b"one"]))], [one.fileno()])
                socket.send_fds(found.other, [b"".join(pack([b"many"]))], [one.fileno()] * 20)
                await until(lambda: found.seen == [b"one", b"many"])
            assert told[0] == (1, False) and told[1][1]

    asyncio.run(main())


def test_descriptors_that_nobody_asked_for_are_closed() -> None:
    async def main() -> None:
        with reading() as found:
            one, other = socket.socketpair()
            socket.send_fds(found.other, [b"".join(pack([b"unasked"]))], [one.fileno()])
            one.close()
            await until(lambda: found.seen == [b"unasked"])
            other.settimeout(5)
            assert other.recv(1) == b""
            other.close()

    asyncio.run(main())


def test_one_that_raises_stops_no_other() -> None:
    async def main() -> None:
        raised: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: raised.append(context["exception"]))
        with reading() as it:

            def received(parts: list[Part]) -> None:
                it.received(parts)
                if it.seen[-1:] == [b"1"]:
                    raise asyncio.CancelledError

            it.reader._received = received
            it.other.sendall(b"".join(piece for number in (b"0", b"1", b"2", b"3") for piece in pack([number])))
            await until(partial(it.has_seen, 4), "all")
            assert it.seen == [b"0", b"1", b"2", b"3"]

    asyncio.run(main())


def test_a_callback_that_runs_the_loop_itself_sees_the_next_first() -> None:
    """As with nest_asyncio, which notebooks use."""

    async def main() -> None:
        with reading() as it:

            def received(parts: list[Part]) -> None:
                it.received(parts)
                if it.seen[-1:] == [b"1"]:
                    it.send(b"3")
                    it.reader._main_is_free()

            it.reader._received = received
            it.other.sendall(b"".join(piece for number in (b"1", b"2") for piece in pack([number])))
            await until(partial(it.has_seen, 3), "all")
            assert it.seen == [b"1", b"2", b"3"]

    asyncio.run(main())
