"""Our messages are those of Bokeh's protocol: its own reader reads what we write, and we read what it writes."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any, cast

import numpy as np
import orjson
import pytest
from bokeh.core.serialization import Buffer, Serialized
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Div, Slider
from bokeh.protocol import Protocol
from bokeh.protocol.message import Message as BokehMessage
from bokeh.protocol.receiver import Receiver
from hypothesis import given
from hypothesis import strategies as st
from tornado import locks

from bokehmount import documents, wire
from bokehmount.errors import ProtocolError
from bokehmount.frames import Assembler, Frame, Frames
from bokehmount.wire import Message, MessageType

from ..kinds import the
from .doubles import arrived

PROTOCOL = Protocol()


def read_by_bokeh(frames: Frames) -> BokehMessage[Any]:
    async def read() -> Any:
        receiver, message = Receiver(PROTOCOL), None
        for frame in frames:
            assert message is None
            message = await receiver.consume(frame)
        return message

    message: BokehMessage[Any] | None = asyncio.run(read())
    assert message is not None, "Bokeh's reader waits for more fragments"
    return message


class Socket:
    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.write_lock = locks.Lock()

    async def write_message(self, frame: Frame, binary: bool = False, locked: bool = True) -> None:
        assert isinstance(frame, bytes) is binary
        self.frames.append(frame)


def written_by_bokeh(message: BokehMessage[Any]) -> Frames:
    socket = Socket()
    asyncio.run(message.send(cast(Any, socket)))
    return tuple(socket.frames)


def document() -> Document:
    made = Document()
    made.add_root(ColumnDataSource(data={"x": np.arange(5.0)}))
    return made


REQUEST = Message(MessageType.PULL_DOC_REQ, {}, msgid="r1")

OURS = {
    "ack": wire.ack(),
    "ok": wire.ok(REQUEST),
    "error": wire.error(REQUEST, "it failed", "Traceback"),
    "pull": wire.pull_doc(),
    "reply": wire.pull_doc_reply(REQUEST, {"roots": [], "title": "x"}),
    "push": wire.push_doc(Serialized({"roots": []}, [Buffer(ID("b1"), b"abc")])),
    "info": wire.server_info(),
    "info reply": wire.server_info_reply(REQUEST, "3.9", "0.1"),
    "patch": Message(MessageType.PATCH_DOC, {"events": []}, buffers=(Buffer(ID("b1"), b"\0\1"), Buffer(ID("b2"), b""))),
    "with metadata": Message(MessageType.OK, {}, metadata={"a": [1]}),
}


def same_buffers(left: Any, right: Any) -> bool:
    return [(b.id, b.to_bytes()) for b in left] == [(b.id, b.to_bytes()) for b in right]


@pytest.mark.parametrize("message", OURS.values(), ids=OURS)
def test_what_we_write_is_read_back_the_same(message: Message) -> None:
    assembler, whole = Assembler(limit=10_000), None
    for frame in wire.encode(message):
        assert whole is None
        whole = assembler.feed(frame)
    assert whole is not None
    back = wire.decode(whole)
    for name in ("msgtype", "content", "msgid", "reqid", "metadata"):
        assert getattr(back, name) == getattr(message, name)
    assert same_buffers(back.buffers, message.buffers)


@pytest.mark.parametrize("message", OURS.values(), ids=OURS)
def test_bokehs_reader_understands_what_we_write(message: Message) -> None:
    theirs = read_by_bokeh(wire.encode(message))
    assert theirs.msgtype == message.msgtype
    assert theirs.content == message.content
    assert theirs.header.get("reqid") == message.reqid
    assert same_buffers(theirs.buffers, message.buffers)


def theirs() -> dict[str, BokehMessage[Any]]:
    made = document()
    events: list[Any] = []
    made.on_change(events.append)
    the(ColumnDataSource, made.roots[0]).data = {"x": np.arange(3)}
    made.title = "new"
    return {
        "ack": PROTOCOL.create("ACK"),
        "ok": PROTOCOL.create("OK", ID("r1")),
        "error": PROTOCOL.create("ERROR", ID("r1"), "text"),
        "pull": PROTOCOL.create("PULL-DOC-REQ"),
        "reply": PROTOCOL.create("PULL-DOC-REPLY", ID("r1"), made),
        "push": PROTOCOL.create("PUSH-DOC", made),
        "patch": PROTOCOL.create("PATCH-DOC", events),
        "info": PROTOCOL.create("SERVER-INFO-REQ"),
        "info reply": PROTOCOL.create("SERVER-INFO-REPLY", ID("r1")),
    }


@pytest.mark.parametrize("name", theirs())
def test_we_understand_what_bokeh_writes(name: str) -> None:
    message = theirs()[name]
    frames = written_by_bokeh(message)
    ours = wire.decode(frames)
    assert ours.msgtype == message.msgtype
    assert ours.msgid == message.header["msgid"]
    assert ours.reqid == message.header.get("reqid")
    assert ours.content == json.loads(str(frames[2]))
    assert same_buffers(ours.buffers, message.buffers)
    assert len(ours.buffers) == (1 if name in ("reply", "push", "patch") else 0)


def test_a_patch_of_encoded_events_is_one_message() -> None:
    frames = wire.encode_patch(['{"kind":"TitleChanged","title":"a"}', '{"kind":"X"}'], [Buffer(ID("b"), b"1")])
    message = read_by_bokeh(arrived(frames))
    assert message.msgtype == "PATCH-DOC"
    assert message.content == {"events": [{"kind": "TitleChanged", "title": "a"}, {"kind": "X"}]}
    assert same_buffers(message.buffers, [Buffer(ID("b"), b"1")])


def test_each_message_has_an_id_of_its_own() -> None:
    assert len({wire.decode(wire.encode(wire.ack())).msgid for _ in range(20)}) == 20


json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(codec=None), max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(json_data)
def test_any_data_is_written_as_json_that_python_reads(value: Any) -> None:
    assert json.loads(wire.dumps(value)) == value


@given(st.text(st.characters(codec=None), max_size=8))
def test_half_an_emoji_goes_both_ways(text: str) -> None:
    sent = Message(MessageType.PATCH_DOC, {"text": text})
    assert wire.decode(wire.encode(sent)).content == sent.content


@pytest.mark.parametrize("value", [2**63, 2**64, -(2**63) - 1, 10**30])
def test_integers_beyond_64_bits_are_written_and_read(value: int) -> None:
    sent = Message(MessageType.PATCH_DOC, {"value": value, "buffer": Buffer(ID("b1"), b"")})
    frames = wire.encode(sent)
    assert json.loads(str(frames[2])) == {"value": value, "buffer": {"id": "b1"}}
    assert math.isclose(wire.decode(frames).content["value"], value)


def test_a_document_as_text_can_stand_beside_what_orjson_refuses() -> None:
    fragment = orjson.Fragment('{"title":"\\ud83d"}')
    assert json.loads(wire.dumps({"doc": fragment, "big": 2**70})) == {"doc": {"title": "\ud83d"}, "big": 2**70}
    assert json.loads(wire.dumps({"doc": fragment})) == {"doc": {"title": "\ud83d"}}


def test_numpys_float_is_a_number() -> None:
    assert wire.dumps([np.float64(0.5)]) == "[0.5]"
    assert type(wire.plain(np.float64(0.5))) is float, "without the way round that big integers need"


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", [Document]])
def test_what_is_no_json_is_an_error_and_not_sent(value: Any) -> None:
    with pytest.raises(TypeError):
        wire.dumps(value)


def test_nan_never_reaches_a_browser_as_such() -> None:
    made = Document()
    made.add_root(ColumnDataSource(data={"x": [math.nan, math.inf]}))
    for text in (wire.dumps(made.to_json().content), wire.dumps(documents.to_json(made))):
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    ours = wire.decode(wire.encode(wire.pull_doc_reply(REQUEST, documents.to_json(made)))).content["doc"]
    x = the(ColumnDataSource, Document.from_json(ours).roots[0]).data["x"]
    assert math.isnan(x[0]) and x[1] == math.inf


@pytest.mark.parametrize(
    ("place", "frame", "words"),
    [
        (0, '{"msgid":"1","msgtype":"NEWS"}', "'NEWS' is not a message type"),
        (0, '{"msgid":"1","msgtype":"OK","reqid":5}', "reqid is not text"),
        (1, "x", "metadata fragment is not JSON"),
        (1, "[]", "metadata fragment is not a JSON object"),
        (2, "", "content fragment is not JSON"),
        (2, "[]", "content fragment is not a JSON object"),
        (2, '{"a":NaN}', "content fragment is not JSON"),
        (2, '{"a":' * 100_000, "content fragment is not JSON"),
        (2, '{"a":' + "9" * 5000 + ',"b":"\\ud800"}', "content fragment is not JSON"),
        (3, "{}", "must be an object with an id"),
        (3, '{"id":5}', "must be an object with an id"),
        (3, '{"id":"1","more":1}', "must be an object with an id"),
        (3, "null", "buffer header fragment is not a JSON object"),
    ],
)
def test_a_message_that_is_not_bokehs_is_refused_in_words(place: int, frame: str, words: str) -> None:
    frames = list(wire.encode(OURS["patch"]))
    frames[place] = frame
    with pytest.raises(ProtocolError, match=words):
        wire.decode(tuple(frames))


def test_a_whole_document_with_arrays_is_read_by_bokeh_without_buffers() -> None:
    made = document()
    made.add_root(Slider(start=0, end=1, value=np.float64(0.25)))
    made.add_root(Div(text="half: \ud83d"))
    frames = wire.encode(wire.pull_doc_reply(REQUEST, documents.to_json(made)))
    assert len(frames) == 3
    back = Document.from_json(read_by_bokeh(frames).content["doc"])
    source, slider, div = back.roots
    assert list(the(ColumnDataSource, source).data["x"]) == [0, 1, 2, 3, 4]
    assert (the(Slider, slider).value, the(Div, div).text) == (0.25, "half: \ud83d")
