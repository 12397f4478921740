"""Messages become WebSocket frames that any client reads."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bokehmount.fragments import Writes, websocket_bytes
from bokehmount.link.messages import RawFrames


def frames_of(writes: Writes) -> list[tuple[bool, bytes]]:
    """Each frame: whether it is binary, and its content (RFC 6455, section 5.2)."""
    data, found = b"".join(writes), []
    while data:
        assert data[0] & 0x80, "each is a whole message of the WebSocket"
        assert not data[0] & 0x70 and not data[1] & 0x80, "no extension, and no mask from a server"
        length, start = data[1], 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
            assert length >= 126, "the shortest form"
        elif length == 127:
            length, start = int.from_bytes(data[2:10], "big"), 10
            assert length >= 1 << 16
        assert data[0] & 0x0F in (1, 2)
        found.append((data[0] & 0x0F == 2, data[start : start + length]))
        data = data[start + length :]
    return found


sizes = st.integers(0, 300) | st.sampled_from([125, 126, 127, 65_535, 65_536, 70_000])
frame = sizes.map(lambda size: b"x" * size)
message = st.tuples(frame, frame, frame) | st.tuples(frame, frame, frame, frame, frame, frame, frame)


@settings(deadline=None, max_examples=50, database=None)
@given(st.lists(message, max_size=3))
def test_every_frame_comes_out_in_order_text_as_text_and_buffers_as_binary(messages: list[RawFrames]) -> None:
    expected = [
        (place >= 3 and place % 2 == 0, bytes(frame)) for frames in messages for place, frame in enumerate(frames)
    ]
    assert frames_of(websocket_bytes(messages)) == expected


def test_a_small_message_is_one_write() -> None:
    assert len(websocket_bytes([(b"{}", b"{}", b"{}"), (b"{}", b"{}", b"{}")])) == 1
    assert websocket_bytes([]) == ()


def test_a_large_buffer_is_written_where_it_is() -> None:
    large = memoryview(b"x" * 1_000_000)
    writes = websocket_bytes([(b"{}", b"{}", b"{}", b"{}", large)])
    assert any(piece is large for piece in writes)


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_the_length_is_told_in_its_shortest_form(length: int) -> None:
    ((_, content),) = frames_of(websocket_bytes([(b"x" * length,)]))
    assert len(content) == length
