"""Whatever frames come, and in whatever pieces: what is heard is what Tornado alone would have heard."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, StreamClosedError
from tornado.testing import bind_unused_port
from tornado.web import Application
from tornado.websocket import WebSocketHandler, WebSocketProtocol13

from bokehmount_server.read_ahead import ReadAhead

FIN, MASKED = 0x80, 0x80
CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
LIMIT = 400_000


def frame(first: int, data: bytes, mask: bytes | None = b"\x11\x22\x33\x44", form: int | None = None) -> bytes:
    """A frame; ``form`` is the length's, if not the shortest."""
    form = form or (len(data) if len(data) < 126 else 126 if len(data) < 1 << 16 else 127)
    length = {126: struct.pack("!H", len(data) & 0xFFFF), 127: struct.pack("!Q", len(data))}.get(form, b"")
    if mask is None:
        return bytes((first, form)) + length + data
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
    return bytes((first, form | MASKED)) + length + mask + masked


class Listener(WebSocketHandler):
    """Notes all that it hears."""

    def initialize(self, heard: list[Any], ahead: int | None, over: asyncio.Event) -> None:
        self.heard, self.ahead, self.over = heard, ahead, over

    max_message_size = LIMIT

    def open(self, *_: str) -> None:
        if self.ahead is not None:
            connection = self.ws_connection
            assert isinstance(connection, WebSocketProtocol13)
            self.reader = ReadAhead(connection.stream)
            connection.stream = self.reader  # type: ignore[assignment]
            self.listen()

    def listen(self) -> None:
        """Past Tornado, once so much was heard through it."""
        if self.ahead is not None and len(self.heard) >= self.ahead:
            self.reader.take = self.on_message

    def on_message(self, message: str | bytes) -> None:
        self.heard.append(message)
        self.listen()
        if message == "close me":
            self.close(4001, "as you wish")

    def on_ping(self, data: bytes) -> None:
        self.heard.append(("ping", data))
        self.listen()

    def on_pong(self, data: bytes) -> None:
        self.heard.append(("pong", data))

    def on_close(self) -> None:
        self.heard.append(("closed", self.close_code, self.close_reason))
        self.over.set()


@asynccontextmanager
async def listening(heard: list[Any], *, ahead: int | None = 0, handler: type[Listener] = Listener) -> Any:
    """What writes to an open WebSocket, and an event that is set when the server's end is closed.

    Args:
        ahead: how much is heard through Tornado first; None for all
    """
    over = asyncio.Event()
    server = HTTPServer(Application([("/", handler, {"heard": heard, "ahead": ahead, "over": over})]))
    listener, port = bind_unused_port()
    server.add_socket(listener)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    try:
        yield writer, over
    finally:
        writer.close()
        server.stop()
        await server.close_all_connections()


def heard_of(sent: bytes, cut: Callable[[], int], *, ahead: int | None) -> list[Any]:
    """What a listener notes of these bytes, sent in pieces."""
    heard: list[Any] = []

    async def main() -> None:
        async with listening(heard, ahead=ahead) as (writer, over):
            place = 0
            while place < len(sent) and not over.is_set():
                end = place + cut()
                writer.write(sent[place:end])
                place = end
                await asyncio.sleep(0)
            with suppress(OSError):  # it was closed already, and said so
                writer.write_eof()
            await asyncio.wait_for(over.wait(), 10)

    asyncio.run(main())
    return heard


def some_frames(whims: random.Random) -> Iterator[bytes]:
    """Frames as clients may send them, the last of them perhaps wrong."""

    def data(binary: bool) -> bytes:
        size = whims.choice((0, 1, 2, 5, 125, 126, 127, 4_000, 65_529, 65_535, 65_536, 70_000))
        return whims.randbytes(size) if binary else "é".encode() * (size // 2) + b"x" * (size % 2)

    for _ in range(whims.randrange(1, 60)):
        mask = whims.choice((whims.randbytes(4), whims.randbytes(4), bytes(4), None))
        binary = whims.random() < 0.3
        kind = BINARY if binary else TEXT
        match whims.randrange(12):
            case 0:
                yield frame(FIN | PING, whims.randbytes(whims.randrange(126)), mask)
            case 1:
                yield frame(FIN | PONG, b"pong", mask)
            case 2:
                yield frame(kind, data(binary), mask)
                for _ in range(whims.randrange(3)):
                    if whims.random() < 0.5:
                        yield frame(FIN | PING, b"between", mask)
                    yield frame(CONTINUED, data(binary), mask)
                yield frame(FIN | CONTINUED, data(binary), mask)
            case 3:
                few = data(binary)[:100]
                yield frame(FIN | kind, few, mask, whims.choice((126, 127)))
            case _:
                yield frame(FIN | kind, data(binary), mask)
    yield whims.choice(list(LAST.values()))
    yield frame(FIN | TEXT, b"too late, or not")
    if whims.random() < 0.5:
        yield frame(FIN | TEXT, b"half a frame")[: whims.randrange(1, 18)]


LAST = {
    "nothing": b"",
    "a goodbye": frame(FIN | CLOSE, b"\x03\xe8over"),
    "a goodbye without a code": frame(FIN | CLOSE, b""),
    "text that is none": frame(FIN | TEXT, b"\xff\xfe no text"),
    "the rest of nothing": frame(FIN | CONTINUED, b"of nothing"),
    "a message within another": frame(TEXT, b"a beginning") + frame(FIN | TEXT, b"another before its end"),
    "compression": frame(FIN | 0x40 | TEXT, b"compressed, which nobody agreed to"),
    "an opcode without a meaning": frame(FIN | 0x3, b"an opcode without a meaning"),
    "a part of a ping": frame(PING, b"a part of a ping"),
    "a long ping": frame(FIN | PING, b"x" * 126),
    "too much": frame(FIN | BINARY, bytes(LIMIT + 1)),
    "a wish": frame(FIN | TEXT, b"close me") + frame(FIN | TEXT, b"after that"),
}


@pytest.mark.parametrize("seed", range(60))
def test_frames_are_heard_as_tornado_hears_them(seed: int) -> None:
    sent = b"".join(some_frames(random.Random(seed)))

    def cut() -> Callable[[], int]:
        whims = random.Random(seed)
        sizes = whims.choice(((1, 2, 3, 7, 150), (70_000, 500_000), (1, 130, 4_100, 65_536, 100_000)))
        return lambda: whims.choice(sizes) if len(sent) < 20_000 else max(300, whims.choice(sizes))

    assert heard_of(sent, cut(), ahead=seed % 4) == heard_of(sent, cut(), ahead=None)


@pytest.mark.parametrize("last", LAST)
def test_the_end_of_a_connection_is_the_same(last: str) -> None:
    sent = frame(FIN | TEXT, b"first") + LAST[last] + frame(FIN | TEXT, b"and then")
    assert heard_of(sent, lambda: len(sent), ahead=0) == heard_of(sent, lambda: len(sent), ahead=None)


# of large frames Tornado reads some, and counts those: 17 and 17
@pytest.mark.parametrize(("size", "most"), [(1, 256), (15_000, 34)])
def test_who_sends_without_end_lets_others_have_their_turn(size: int, most: int) -> None:
    turns: list[int] = []
    count = 20 * most
    heard: list[Any] = []

    async def main() -> None:
        async with listening(heard) as (writer, over):
            writer.write(frame(FIN | TEXT, b"x" * size, bytes(4)) * count)
            while len(heard) < count:
                turns.append(len(heard))
                await asyncio.sleep(0)
            writer.close()
            await over.wait()

    asyncio.run(main())
    steps = [after - before for before, after in pairwise(turns)]
    assert 0 < max(steps) <= most


MUCH = bytes(LIMIT - 1_000)  # Tornado counts also a ping, and a goodbye, with the message that it comes in the midst of
TOO_BIG = {
    "in one frame": frame(FIN | BINARY, bytes(LIMIT + 1)),
    "in several": frame(BINARY, MUCH) + frame(FIN | PING, b"between") + frame(FIN | CONTINUED, MUCH),
    "and more behind it": frame(BINARY, MUCH) + 20 * frame(CONTINUED, MUCH) + frame(FIN | CONTINUED, b""),
}


@pytest.mark.parametrize("sent", TOO_BIG.values(), ids=TOO_BIG)
@pytest.mark.parametrize("step", [70_000, 1 << 20])
def test_what_is_too_big_is_dropped_until_the_browser_has_closed(sent: bytes, step: int) -> None:
    heard: list[Any] = []

    class Limited(Listener):
        def open(self, *_: str) -> None:
            super().open()
            self.reader.limit = LIMIT
            self.reader.too_big = lambda: self.close(1009, "too big")

    async def main() -> None:
        async with listening(heard, handler=Limited) as (writer, over):
            sent_all = (
                frame(FIN | TEXT, b"first") + sent + frame(FIN | TEXT, b"behind") + frame(FIN | CLOSE, b"\x03\xf1")
            )
            for place in range(0, len(sent_all), step):
                writer.write(sent_all[place : place + step])
                await writer.drain()  # raises where the connection was cut
            await asyncio.wait_for(over.wait(), 10)

    asyncio.run(main())
    assert [one for one in heard if one != ("ping", b"between")] == ["first", ("closed", 1009, None)]


class Endless(IOStream):
    """What its socket has is always as much as a stream reads at once."""

    left = b""

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        gulp, self.left = self.left[: len(buf)], self.left[len(buf) :]
        buf[: len(gulp)] = gulp
        return len(gulp) or None


def test_who_sends_without_end_does_so_too_where_each_second_gulp_ends_with_a_frame() -> None:
    two_gulps = frame(FIN | TEXT, b"x" * 18_716, bytes(4)) * 6 + frame(FIN | TEXT, b"x" * 18_720, bytes(4))
    assert len(two_gulps) == 2 * 65_536
    turns = [0]

    async def main() -> None:
        own, other = socket.socketpair()
        with other, closing(Endless(own)) as stream:
            stream.left = 20 * two_gulps
            ahead, taken = ReadAhead(stream), list[Any]()
            ahead.take = taken.append

            async def read_the_others() -> None:
                while True:
                    await ahead.read_bytes(2)
                    length = int.from_bytes(await ahead.read_bytes(2))
                    await ahead.read_bytes(4)
                    taken.append(await ahead.read_bytes(length))

            reading = asyncio.ensure_future(read_the_others())
            while len(taken) < 20 * 7:
                await asyncio.sleep(0)
                turns.append(len(taken))
            reading.cancel()

    asyncio.run(main())
    assert max(after - before for before, after in pairwise(turns)) < 40


@contextmanager
def streams() -> Iterator[tuple[ReadAhead, IOStream, list[str | bytes]]]:
    """A stream that is read ahead, its other end, and what was taken."""
    own, other = (IOStream(end) for end in socket.socketpair())
    taken: list[str | bytes] = []
    try:
        ahead = ReadAhead(own)
        ahead.take = taken.append
        yield ahead, other, taken
    finally:
        own.close()
        other.close()


def test_plain_frames_are_none_of_tornados() -> None:
    async def main() -> None:
        with streams() as (ahead, other, taken):
            await other.write(frame(FIN | TEXT, b"one") + frame(FIN | BINARY, b"two") + frame(FIN | PING, b"three"))
            assert await ahead.read_bytes(2) == bytes((FIN | PING, MASKED | 5))
            assert taken == ["one", b"two"]
            await ahead.read_bytes(4)
            assert len(await ahead.read_bytes(5)) == 5
            await other.write(frame(FIN | TEXT, b"four"))
            other.close()
            with pytest.raises(StreamClosedError):
                await ahead.read_bytes(2)
            assert taken == ["one", b"two", "four"]

    asyncio.run(main())


def test_a_message_is_taken_in_the_turn_in_which_it_comes_and_a_cut_one_when_it_is_whole() -> None:
    async def main() -> None:
        with streams() as (ahead, other, taken):
            reading = asyncio.ensure_future(ahead.read_bytes(2))
            await asyncio.sleep(0)
            for place in range(3):
                send = other.socket.send
                send(frame(FIN | TEXT, b"whole") + frame(FIN | TEXT, b"and half")[:9])
                for _ in ("the loop looks at its sockets", "and hands over what came"):
                    await asyncio.sleep(0)
                assert taken == ["whole"] * (place + 1) and not reading.done()
                send(frame(FIN | TEXT, b"and half")[9:])
                assert await reading == bytes((FIN | TEXT, MASKED | 8)), "that one is Tornado's"
                assert len(await ahead.read_bytes(4)) + len(await ahead.read_bytes(8)) == 12
                reading = asyncio.ensure_future(ahead.read_bytes(2))
                await asyncio.sleep(0)
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
            assert "read_from_fd" not in vars(ahead.stream), "the stream and its reader keep each other no longer"

    asyncio.run(main())


@pytest.mark.parametrize("inline", [False, True])
def test_messages_stay_in_order_where_one_runs_the_loop_within_the_loop(inline: bool) -> None:
    """As ``nest_asyncio`` lets an app's callback do; the reader itself waits meanwhile, or is what took the message."""
    cut = frame(FIN | TEXT, b"cut")

    async def main() -> None:
        with streams() as (ahead, other, taken):

            def hear(data: bytes) -> None:
                other.socket.send(data)
                ahead.stream._handle_events(ahead.stream.fileno(), ahead.stream.io_loop.READ)

            def take(message: str | bytes) -> None:
                taken.append(message)
                if message == "waits":
                    hear(frame(FIN | TEXT, b"2") + frame(FIN | TEXT, b"3"))
                    hear(frame(FIN | TEXT, b"4") + cut[:6])
                    hear(cut[6:] + frame(FIN | TEXT, b"5"))

            ahead.take = take
            ahead.stream.set_close_callback(lambda: None)  # so that it watches its socket also while nobody reads
            first = frame(FIN | TEXT, b"waits") + frame(FIN | TEXT, b"1")
            if inline:
                other.socket.send(first)
            reading = asyncio.ensure_future(ahead.read_bytes(2))
            if not inline:
                await asyncio.sleep(0)
                other.socket.send(first)
            assert await asyncio.wait_for(reading, 5) == cut[:2]
            assert taken == ["waits", "1", "2", "3", "4"]
            assert await ahead.read_bytes(4) + await ahead.read_bytes(3) == cut[2:]
            reading = asyncio.ensure_future(ahead.read_bytes(2))
            await asyncio.sleep(0)
            assert taken[5:] == ["5"]
            reading.cancel()

    asyncio.run(main())


def test_the_readers_task_takes_messages_where_they_may_run_the_loop_within_the_loop() -> None:
    """In what a loop calls for a socket, ``nest_asyncio`` can't call that again, and would find it readable forever."""

    async def main() -> None:
        asyncio.get_running_loop()._nest_patched = True  # type: ignore[attr-defined]  # as nest_asyncio does
        with streams() as (ahead, other, _):
            takers: list[Any] = []
            ahead.take = lambda _: takers.append(asyncio.current_task())
            reading = asyncio.ensure_future(ahead.read_bytes(2))
            await asyncio.sleep(0)
            other.socket.send(frame(FIN | TEXT, b"one") + frame(FIN | TEXT, b"two") + frame(FIN | PING, b""))
            assert await asyncio.wait_for(reading, 5) == bytes((FIN | PING, MASKED))
            assert takers == [reading, reading]

    asyncio.run(main())


def test_after_an_interrupt_messages_go_on_with_the_next_one() -> None:
    with closing(asyncio.new_event_loop()) as loop:

        async def begin() -> tuple[IOStream, list[str | bytes], asyncio.Future[bytes]]:
            ahead, other, taken = whole.enter_context(streams())

            def take(message: str | bytes) -> None:
                taken.append(message)
                if message == "Ctrl-C":
                    raise KeyboardInterrupt

            ahead.take = take
            reading = asyncio.ensure_future(ahead.read_bytes(2))
            await asyncio.sleep(0)
            return other, taken, reading

        with ExitStack() as whole:
            other, taken, reading = loop.run_until_complete(begin())
            third = frame(FIN | TEXT, b"third")
            other.socket.send(frame(FIN | TEXT, b"Ctrl-C") + frame(FIN | TEXT, b"second") + third[:5])
            with pytest.raises(KeyboardInterrupt):
                loop.run_until_complete(asyncio.sleep(5))
            other.socket.send(third[5:] + frame(FIN | PING, b""))
            assert loop.run_until_complete(asyncio.wait_for(reading, 5)) == bytes((FIN | PING, MASKED))
            assert taken == ["Ctrl-C", "second", "third"]


def test_all_are_tornados_until_somebody_takes_them() -> None:
    async def main() -> None:
        with streams() as (ahead, other, taken):
            ahead.take = None
            await other.write(frame(FIN | TEXT, b"one") + frame(FIN | TEXT, b"two") + frame(FIN | PING, b""))
            assert await ahead.read_bytes(2) == bytes((FIN | TEXT, MASKED | 3))
            ahead.take = taken.append
            await ahead.read_bytes(4)
            await ahead.read_bytes(3)
            assert taken == []
            assert await ahead.read_bytes(2) == bytes((FIN | PING, MASKED))
            assert taken == ["two"]

    asyncio.run(main())


def test_while_it_is_held_up_the_rest_stays_with_who_sends_it() -> None:
    async def main() -> None:
        with streams() as (ahead, other, taken):
            ahead.is_held_up = lambda: len(taken) == 1
            await other.write(frame(FIN | TEXT, b"first"))
            reading = asyncio.ensure_future(ahead.read_bytes(2))
            await asyncio.sleep(0.1)
            rest = other.write(frame(FIN | TEXT, bytes(1 << 24)))
            await asyncio.sleep(0.2)
            assert taken == ["first"] and not rest.done() and not reading.done()
            ahead.is_held_up = lambda: False
            assert await reading == bytes((FIN | TEXT, MASKED | 127))
            await ahead.read_bytes(8)
            await ahead.read_bytes(4)
            ahead.is_held_up = lambda: True
            payload = asyncio.ensure_future(ahead.read_bytes(1 << 24))
            await asyncio.sleep(0.2)
            assert not payload.done(), "also in the middle of a frame"
            ahead.is_held_up = lambda: False
            assert len(await payload) == 1 << 24
            await rest
            ahead.is_held_up = lambda: True
            gone = asyncio.ensure_future(ahead.read_bytes(2))
            await asyncio.sleep(0)
            ahead.close()
            with pytest.raises(StreamClosedError):
                await asyncio.wait_for(gone, 5)

    asyncio.run(main())


def test_a_stream_that_is_being_read_may_be_in_the_middle_of_a_frame() -> None:
    async def main() -> None:
        with streams() as (ahead, other, _):
            head = asyncio.ensure_future(ahead.stream.read_bytes(2))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="from its opening on"):
                ReadAhead(ahead.stream)
            await other.write(b"\x81\x80")
            await head

    asyncio.run(main())


def test_all_else_is_the_streams_own() -> None:
    async def main() -> None:
        with streams() as (ahead, other, _):
            await ahead.write(b"answer")
            assert await other.read_bytes(6) == b"answer"
            assert not ahead.closed()
            ahead.close()
            assert ahead.closed()

    asyncio.run(main())
