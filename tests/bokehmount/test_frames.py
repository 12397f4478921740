"""Fragments become messages, whatever a client sends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bokehmount.errors import CloseCode, ProtocolError
from bokehmount.frames import MAX_BUFFERS, Assembler, Frame, Frames, TooBig, header_of


def message(buffers: list[bytes], content: str = "{}") -> Frames:
    header = {"msgid": "1", "msgtype": "PATCH-DOC", **({"num_buffers": len(buffers)} if buffers else {})}
    frames: list[Frame] = [json.dumps(header), "{}", content]
    for place, buffer in enumerate(buffers):
        frames += (json.dumps({"id": str(place)}), buffer)
    return tuple(frames)


def fed(assembler: Assembler, frames: Frames) -> list[Frames]:
    return [whole for frame in frames if (whole := assembler.feed(frame)) is not None]


@given(st.lists(st.lists(st.binary(max_size=20), max_size=4), max_size=6))
def test_messages_come_out_whole_and_in_order(contents: list[list[bytes]]) -> None:
    sent = [message(buffers) for buffers in contents]
    assembler = Assembler(limit=10_000)
    assert fed(assembler, tuple(frame for frames in sent for frame in frames)) == sent


def test_a_message_is_given_only_with_its_last_fragment() -> None:
    assembler = Assembler(limit=1000)
    frames = message([b"ab", b""])
    assert [assembler.feed(frame) for frame in frames[:-1]] == [None] * 6
    assert assembler.feed(frames[-1]) == frames


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("nul", "not JSON"),
        ('"\ud800"', "not JSON"),
        ("[" * 5000, "not JSON"),
        ("[]", "not a JSON object"),
        ("3", "not a JSON object"),
        ("null", "not a JSON object"),
        ("{}", "msgid"),
        ('{"msgid":"1"}', "msgtype"),
        ('{"msgid":1,"msgtype":"OK"}', "msgid"),
        ('{"msgid":"1","msgtype":["OK"]}', "msgtype"),
        ('{"msgid":null,"msgtype":"OK"}', "msgid"),
    ],
)
def test_a_bad_header_is_refused_in_words(header: str, words: str) -> None:
    with pytest.raises(ProtocolError, match=words) as refused:
        Assembler(limit=100_000).feed(header)
    assert refused.value.close_code is CloseCode.PROTOCOL


@pytest.mark.parametrize("count", [-1, True, False, 1.0, "1", None, [], MAX_BUFFERS + 1, 10**30, float("1e400")])
def test_nonsense_for_a_number_of_buffers_is_refused(count: Any) -> None:
    header = json.dumps({"msgid": "1", "msgtype": "OK", "num_buffers": count})
    with pytest.raises(ProtocolError):
        Assembler(limit=1000).feed(header)


@pytest.mark.parametrize(("count", "frames"), [(0, 3), (1, 5), (2, 7)])
def test_the_header_says_how_many_fragments_follow(count: int, frames: int) -> None:
    assembler = Assembler(limit=1000)
    header = json.dumps({"msgid": "1", "msgtype": "OK", "num_buffers": count})
    given: list[Frame] = [header, "{}", "{}", "{}", b"", "{}", b""]
    assert [place for place, frame in enumerate(given[:frames]) if assembler.feed(frame)] == [frames - 1]


@pytest.mark.parametrize("place", range(7))
def test_text_where_binary_is_due_and_the_other_way_round_is_refused(place: int) -> None:
    frames = list(message([b"x", b"y"]))
    wrong: Frame = frames[place].encode() if isinstance(frames[place], str) else "text"  # type: ignore[union-attr]
    assembler = Assembler(limit=1000)
    for frame in frames[:place]:
        assembler.feed(frame)
    with pytest.raises(ProtocolError, match=f"place {place} "):
        assembler.feed(wrong)


def test_the_limit_counts_all_fragments_of_one_message() -> None:
    frames = message([b"12345"])
    exactly = sum(map(len, frames))
    assert fed(Assembler(limit=exactly), frames * 2) == [frames, frames], "the next message starts from nothing"
    with pytest.raises(TooBig, match="limit of"):
        fed(Assembler(limit=exactly - 1), frames)


def test_a_message_over_the_limit_is_refused_before_its_last_fragment() -> None:
    assembler = Assembler(limit=100)
    assembler.feed(message([b"x"])[0])
    with pytest.raises(TooBig):
        assembler.feed("x" * 101)


texts = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["{}", '{"msgid":"1","msgtype":"OK"}', '{"msgid":"1","msgtype":"OK","num_buffers":1}', '{"id":"1"}']
    ),
    st.dictionaries(st.sampled_from(["msgid", "msgtype", "num_buffers", "id"]), st.integers() | st.text()).map(
        json.dumps
    ),
)


@given(st.lists(texts | st.binary(max_size=8), max_size=12))
def test_whatever_comes_it_is_a_message_or_a_protocol_error(frames: list[Frame]) -> None:
    assembler = Assembler(limit=200)
    try:
        wholes = fed(assembler, tuple(frames))
    except ProtocolError:
        return
    assert [frame for whole in wholes for frame in whole] == frames[: sum(map(len, wholes))]
    for whole in wholes:
        assert len(whole) == 3 + 2 * header_of(whole[0]).get("num_buffers", 0)
