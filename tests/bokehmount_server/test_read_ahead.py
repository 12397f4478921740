"""Whatever the pieces in which bytes come, and those in which they are asked for, they are the same bytes."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tornado.iostream import IOStream, StreamClosedError

from bokehmount_server.read_ahead import ReadAhead


@contextmanager
def streams() -> Iterator[tuple[ReadAhead, IOStream]]:
    """A stream that is read ahead, and its other end."""
    own, other = (IOStream(end) for end in socket.socketpair())
    try:
        yield ReadAhead(own), other
    finally:
        own.close()
        other.close()


@pytest.mark.parametrize("seed", range(8))
def test_bytes_come_as_they_were_sent(seed: int) -> None:
    whims = random.Random(seed)
    sizes = [whims.choice((1, 2, 4, 125, 4_000, 65_535, 65_536, 65_537, 300_000)) for _ in range(60)]
    sent = whims.randbytes(sum(sizes))

    async def send(other: IOStream) -> None:
        place = 0
        while place < len(sent):
            count = whims.choice((1, 6, 150, 70_000, 500_000))
            await other.write(sent[place : place + count])
            place += count
            await asyncio.sleep(whims.choice((0, 0, 0.001)))

    async def main() -> None:
        with streams() as (ahead, other):
            sending = asyncio.ensure_future(send(other))
            read = [await ahead.read_bytes(size) for size in sizes]
            await sending
            assert [len(piece) for piece in read] == sizes
            assert b"".join(read) == sent

    asyncio.run(main())


def test_what_has_come_is_there_without_waiting() -> None:
    async def main() -> None:
        with streams() as (ahead, other):
            await other.write(b"onetwo")
            assert await ahead.read_bytes(3) == b"one"
            other.close()
            assert await ahead.read_bytes(3) == b"two"
            with pytest.raises(StreamClosedError):
                await ahead.read_bytes(1)

    asyncio.run(main())


def test_a_piece_that_never_comes_whole_is_an_error() -> None:
    async def main() -> None:
        with streams() as (ahead, other):
            await other.write(bytes(100_000))
            other.close()
            with pytest.raises(StreamClosedError):
                await ahead.read_bytes(200_000)

    asyncio.run(main())


def test_all_else_is_the_streams_own() -> None:
    async def main() -> None:
        with streams() as (ahead, other):
            await ahead.write(b"answer")
            assert await other.read_bytes(6) == b"answer"
            assert not ahead.closed()
            ahead.close()
            assert ahead.closed()

    asyncio.run(main())
