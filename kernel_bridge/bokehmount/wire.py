"""Bokeh's wire messages: what they are called, what they hold, how they are read and written.  No I/O.

The protocol is the one that BokehJS and ``bokeh.client`` speak: see "Bokeh server WebSocket protocol" in Bokeh's docs.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson
from bokeh.core.serialization import Buffer, Serialized
from bokeh.util.serialization import make_globally_unique_id

from .errors import ProtocolError
from .frames import Frame, Frames, SentFrames, header_of

__all__ = (
    "Message",
    "MessageType",
    "ack",
    "decode",
    "dumps",
    "encode",
    "encode_patch",
    "error",
    "ok",
    "plain",
    "pull_doc",
    "pull_doc_reply",
    "push_doc",
    "server_info",
    "server_info_reply",
)


class MessageType(StrEnum):
    """The values of a header's ``msgtype``."""

    ACK = "ACK"
    OK = "OK"
    ERROR = "ERROR"
    PATCH_DOC = "PATCH-DOC"
    PULL_DOC_REQ = "PULL-DOC-REQ"
    PULL_DOC_REPLY = "PULL-DOC-REPLY"
    PUSH_DOC = "PUSH-DOC"
    SERVER_INFO_REQ = "SERVER-INFO-REQ"
    SERVER_INFO_REPLY = "SERVER-INFO-REPLY"


_process: Final = make_globally_unique_id()
_count: Final = itertools.count(1)


def _new_id() -> str:
    """A message id: unique, and cheaper than a random one for each."""
    return f"{_process}-{next(_count)}"


@dataclass(frozen=True, slots=True)
class Message:
    """One whole message.

    ``content`` is JSON data in which buffers are named as ``{"id": …}``; ``buffers`` holds them in order.
    """

    msgtype: MessageType
    content: Any
    msgid: str = field(default_factory=lambda: _new_id())
    reqid: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    buffers: tuple[Buffer, ...] = ()

    @property
    def payload(self) -> Serialized[Any]:
        """Content and buffers together, as Bokeh's deserialiser wants them."""
        return Serialized(self.content, list(self.buffers))


def plain(value: Any) -> Any:
    """What orjson does not write by itself, as what it does."""
    if isinstance(value, float):
        return float(value)  # numpy's float64, which Bokeh's serialiser leaves as it is
    if isinstance(value, orjson.Fragment):
        return _loads(orjson.dumps(value))
    raise TypeError(f"{type(value).__name__} can't be written as JSON")


def _reference(value: Any) -> Any:
    return value.ref if isinstance(value, Buffer) else plain(value)


def dumps(value: Any, default: Callable[[Any], Any] = _reference) -> str:
    """Encoded Bokeh data as JSON text.

    Args:
        value: the data
        default: gives what stands for what is no JSON; a `Buffer` is written as a reference to itself
    """
    try:
        return orjson.dumps(value, default, orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # integers beyond 64 bits and lone surrogates, which orjson refuses and BokehJS reads
        return json.dumps(value, default=default, separators=(",", ":"), allow_nan=False)


def _loads(text: Frame) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as problem:
        # a lone surrogate, such as a browser's half of an emoji, which orjson refuses
        try:
            return json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise problem from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def encode(message: Message) -> Frames:
    """The frames of a message, in the order in which they are sent."""
    texts = _texts(
        message.msgtype, dumps(message.content), message.buffers, message.msgid, message.reqid, message.metadata
    )
    return (*texts, *(frame for buffer in message.buffers for frame in (dumps(buffer.ref), buffer.to_bytes())))


def encode_patch(events: Sequence[str], buffers: Sequence[Buffer]) -> SentFrames:
    """The frames of a PATCH-DOC.

    Args:
        events: as JSON text
        buffers: whose data are sent as they are: bytes, or memory of one dimension
    """
    texts = _texts(MessageType.PATCH_DOC, f'{{"events":[{",".join(events)}]}}', buffers, _new_id())
    return (*texts, *(frame for buffer in buffers for frame in (dumps(buffer.ref), buffer.data)))


def _texts(
    msgtype: MessageType,
    content: str,
    buffers: Sequence[Buffer],
    msgid: str,
    reqid: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[str, str, str]:
    """Header, metadata and content."""
    header: dict[str, Any] = {"msgid": msgid, "msgtype": msgtype}
    if reqid is not None:
        header["reqid"] = reqid
    if buffers:
        header["num_buffers"] = len(buffers)
    return dumps(header), dumps(metadata) if metadata else "{}", content


def decode(frames: Frames) -> Message:
    """Read a whole message.

    Raises:
        ProtocolError: a fragment is not JSON, a buffer has no id, or the message type is not Bokeh's
    """
    header = header_of(frames[0])
    try:
        msgtype = MessageType(header["msgtype"])
    except ValueError:
        raise ProtocolError(f"{header['msgtype']!r} is not a message type of Bokeh's protocol") from None
    reqid = header.get("reqid")
    if reqid is not None and not isinstance(reqid, str):
        raise ProtocolError("the header's reqid is not text")
    metadata, content = (_json_object(frames[place], name) for place, name in ((1, "metadata"), (2, "content")))
    return Message(msgtype, content, header["msgid"], reqid, metadata, _buffers(frames[3:]))


def _json_object(frame: Frame, name: str) -> dict[str, Any]:
    try:
        value = _loads(frame)
    except orjson.JSONDecodeError as problem:
        raise ProtocolError(f"the {name} fragment is not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise ProtocolError(f"the {name} fragment is not a JSON object")
    return value


def _buffers(frames: Frames) -> tuple[Buffer, ...]:
    found = []
    for place in range(0, len(frames), 2):
        header = _json_object(frames[place], "buffer header")
        identity, data = header.get("id"), frames[place + 1]
        if not isinstance(identity, str) or len(header) != 1:
            raise ProtocolError(f"a buffer header must be an object with an id, not {header!r}")
        assert isinstance(data, bytes), "the assembler lets only binary frames stand here"
        found.append(Buffer(identity, data))  # type: ignore[arg-type]  # Bokeh's ID is a NewType of str
    return tuple(found)


def ack() -> Message:
    """The first message on a connection, from the server."""
    return Message(MessageType.ACK, {})


def ok(request: Message) -> Message:
    """The request was carried out."""
    return Message(MessageType.OK, {}, reqid=request.msgid)


def error(request: Message, text: str, traceback: str | None = None) -> Message:
    """The request failed; ``text`` says why in a line."""
    return Message(MessageType.ERROR, {"text": text, "traceback": traceback}, reqid=request.msgid)


def pull_doc() -> Message:
    """Ask for the whole Document."""
    return Message(MessageType.PULL_DOC_REQ, {})


def pull_doc_reply(request: Message, document_json: Any) -> Message:
    """The whole Document, with its arrays inside the JSON.

    BokehJS reads the buffers of this reply only the first time: when it resyncs after a lost connection it drops them
    (``replace_with_json`` in its client/connection), so ``document_json`` must have none (see `documents.to_json`).
    """
    return Message(MessageType.PULL_DOC_REPLY, {"doc": document_json}, reqid=request.msgid)


def push_doc(document_json: Serialized[Any]) -> Message:
    """Replace the whole Document."""
    return Message(MessageType.PUSH_DOC, {"doc": document_json.content}, buffers=tuple(document_json.buffers))


def server_info() -> Message:
    """Ask for versions; also a round trip that tells that all earlier messages were handled."""
    return Message(MessageType.SERVER_INFO_REQ, {})


def server_info_reply(request: Message, bokeh: str, server: str) -> Message:
    """The versions of Bokeh and of the server."""
    return Message(
        MessageType.SERVER_INFO_REPLY, {"version_info": {"bokeh": bokeh, "server": server}}, reqid=request.msgid
    )
