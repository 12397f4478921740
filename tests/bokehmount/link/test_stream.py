"""Messages on a byte stream come out whole, however the bytes come in."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bokehmount.errors import ProtocolError
from bokehmount.link.messages import Part
from bokehmount.link.stream import MAX_MESSAGE, PartsReader, pack

sizes = st.integers(0, 20) | st.sampled_from([65_535, 65_536, 65_537, 262_143, 262_144, 300_000])
part = st.tuples(sizes, st.integers(0, 255)).map(lambda chosen: bytes([chosen[1]]) * chosen[0])
message = st.lists(part, min_size=1, max_size=5)


def copied(parts: list[Part]) -> list[bytes]:
    return [bytes(part) for part in parts]


def bytes_of(messages: list[list[bytes]]) -> bytes:
    return b"".join(piece for message in messages for piece in pack(message))


@given(st.lists(message, max_size=5), st.lists(st.integers(1, 400_000), max_size=10))
def test_however_the_bytes_are_cut_the_messages_are_whole(messages: list[list[bytes]], cuts: list[int]) -> None:
    data, reader, came, place = bytes_of(messages), PartsReader(), list[list[Part]](), 0
    for cut in [*cuts, len(data)]:
        came += reader.feed(data[place : place + cut])
        place += cut
    assert [copied(parts) for parts in came] == messages, "also those that were kept while later bytes came in"


@given(st.lists(st.lists(st.binary(max_size=5), min_size=1, max_size=3), min_size=1, max_size=3))
def test_byte_by_byte(messages: list[list[bytes]]) -> None:
    reader, came = PartsReader(), list[list[bytes]]()
    for byte in bytes_of(messages):
        came += map(copied, reader.feed(bytes([byte])))
    assert came == messages


@given(st.lists(message, max_size=3), st.integers(2_000, 300_000))
def test_bytes_may_be_received_where_they_stay(messages: list[list[bytes]], most: int) -> None:
    data, reader, came = bytes_of(messages), PartsReader(), list[list[Part]]()
    while data:
        room = reader.buffer()
        count = min(len(room), len(data), most)
        assert count > 0
        room[:count] = data[:count]
        data = data[count:]
        came += reader.filled(count)
    assert [copied(parts) for parts in came] == messages


def test_a_large_part_is_not_copied_and_a_small_message_is_one_piece() -> None:
    large = b"x" * 1_000_000
    assert pack([b"{}", large])[-1] is large
    assert len(pack([b"{}", b"x" * 100])) == 1


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("!I", 0),
        struct.pack("!I", 1_000_001),
        struct.pack("!I", 2**32 - 1),
        struct.pack("!IQ", 1, MAX_MESSAGE + 1),
        struct.pack("!IQQ", 2, MAX_MESSAGE, 1),
        struct.pack("!IQ", 1, 2**64 - 1),
        b"GET / HTTP/1.1\r\n",
    ],
    ids=["no parts", "too many", "far too many", "too long", "too long together", "far too long", "something else"],
)
def test_a_length_that_is_nonsense_is_refused_at_once(head: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(PartsReader().feed(head))


def test_a_large_message_takes_no_memory_before_it_comes() -> None:
    import tracemalloc

    tracemalloc.start()
    try:
        assert list(PartsReader().feed(struct.pack("!IQ", 1, MAX_MESSAGE))) == []
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=60))
def test_any_bytes_are_messages_or_a_protocol_error(data: bytes) -> None:
    try:
        for parts in PartsReader().feed(data):
            assert parts
    except ProtocolError:
        pass
