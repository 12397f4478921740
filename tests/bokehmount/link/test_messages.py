"""The messages of a link come across as they were."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bokehmount import wire
from bokehmount.errors import CloseCode, ProtocolError
from bokehmount.link.messages import (
    Answer,
    Apps,
    Ask,
    Behind,
    Close,
    Disconnected,
    Failed,
    LinkMessage,
    Load,
    Output,
    Received,
    Send,
    cooked,
    decode,
    encode,
    raw,
)

text = st.text(st.characters(codec="utf-8"), max_size=8)
number = st.integers(0, 2**53)
json_data = st.recursive(
    st.none() | st.booleans() | number | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=5,
)
frames = st.lists(st.binary(max_size=9), max_size=5).map(tuple)
messages = st.one_of(
    st.builds(Ask, number, text, st.dictionaries(text, json_data)),
    st.builds(Answer, number, json_data, st.none() | st.binary()),
    st.builds(Failed, number, text, text, text),
    st.builds(Received, number, frames),
    st.builds(Disconnected, number, st.booleans()),
    st.builds(Send, st.lists(number), frames),
    st.builds(Close, st.lists(number), st.sampled_from(CloseCode).map(int), text, st.none() | text),
    st.builds(Apps, st.lists(st.dictionaries(text, json_data))),
    st.builds(Load, st.booleans()),
    st.builds(Behind, st.lists(number), st.booleans()),
    st.builds(Output, st.lists(number), text, st.booleans()),
)


@given(messages)
def test_each_message_comes_back_as_it_was(message: LinkMessage) -> None:
    assert decode(encode(message)) == message


@given(messages)
def test_it_may_come_as_memory_that_somebody_else_owns(message: LinkMessage) -> None:
    assert decode([memoryview(part) for part in encode(message)]) == message


@given(st.lists(st.binary(max_size=30) | json_data.map(orjson.dumps), max_size=4))
def test_whatever_comes_it_is_a_message_or_a_protocol_error(parts: list[bytes]) -> None:
    try:
        decode(parts)
    except ProtocolError as error:
        assert "not a link message" in str(error)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b""],
        [b"[]"],
        [b"null"],
        [b"{}"],
        [b'{"k":"nonsense"}'],
        [b'{"k":["ask"]}'],
        [b'{"k":"ask"}'],
        [b'{"k":"ask","number":1,"what":"x","more":1}'],
        [b'{"k":"answer","number":1}'],
        [b'{"k":"received"}', b"x"],
        [b'{"k":"send"}', b"x"],
    ],
    ids=repr,
)
def test_something_else_is_a_protocol_error(parts: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        decode(parts)


def test_frames_are_bytes_on_the_way_and_text_again_where_they_were_text() -> None:
    frames = (*wire.encode(wire.pull_doc_reply(wire.pull_doc(), {"a": "ü"})), '{"id":"1"}', b"\xff\0")
    assert all(isinstance(part, bytes) for part in raw(frames))
    assert cooked(raw(frames)) == frames
    assert cooked(tuple(memoryview(part) for part in raw(frames))) == frames


def test_text_that_is_not_utf8_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="not UTF-8"):
        cooked((b"{}", b"\xff", b"{}"))
    assert cooked((b"{}", b"{}", b"{}", b"{}", b"\xff"))[4] == b"\xff"


def test_printed_surrogates_do_not_break_the_link() -> None:
    message = decode(encode(Output([1], "caf\udce9 ü", error=False)))
    assert message == Output([1], "caf? ü", error=False)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes"])
def test_what_is_no_json_is_an_error_where_it_is_sent(value: Any) -> None:
    with pytest.raises(TypeError):
        encode(Answer(1, {"value": value}))
