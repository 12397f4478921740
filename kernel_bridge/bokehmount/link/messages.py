"""The messages of a link, and how they become parts: one JSON envelope and any number of binary parts.  No I/O.

The server asks (`Ask`) and hears `Answer` or `Failed`; what needs no answer is told.  Bokeh's messages pass through
unread: from a browser as frames, to browsers as the bytes that their WebSockets are sent.  Both ends may be of
different releases: `PROTOCOL` is exchanged first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import orjson

from ..errors import ProtocolError
from ..frames import Frames, SentFrames

__all__ = (
    "MESSAGE_TYPE",
    "PROTOCOL",
    "Answer",
    "Apps",
    "Ask",
    "Behind",
    "Close",
    "Disconnected",
    "Failed",
    "LinkMessage",
    "Load",
    "Output",
    "Part",
    "Parts",
    "RawFrames",
    "Received",
    "Send",
    "Yours",
    "decode",
    "encode",
)

MESSAGE_TYPE: Final = "bokehmount_link"
"""Of what goes over a kernel's control channel."""

PROTOCOL: Final = 5
"""Raised when a change makes the two ends unable to talk."""

Part = bytes | memoryview
Parts = list[Part]
RawFrames = tuple[Part, ...]
"""The frames of a Bokeh message as bytes; which are text is told by their places (see `bokehmount.frames`)."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The server asks the kernel something; ``what`` names the question, ``args`` are its keyword arguments."""

    kind: ClassVar = "ask"
    number: int
    what: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """The kernel's answer to an `Ask`."""

    kind: ClassVar = "answer"
    number: int
    result: Any
    blob: Part | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Why an `Ask` has no answer: its error's class and words, and the user's traceback if there is one."""

    kind: ClassVar = "failed"
    number: int
    error: str
    text: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Received:
    """A browser's message, for the session that the connection looks at."""

    kind: ClassVar = "received"
    connection: int
    frames: RawFrames


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection is gone; ``lost`` where it broke without a goodbye."""

    kind: ClassVar = "disconnected"
    connection: int
    lost: bool


@dataclass(frozen=True, slots=True)
class Send:
    """Messages for some connections, as the bytes of WebSocket frames, which the server only passes on."""

    kind: ClassVar = "send"
    connections: Sequence[int]
    writes: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Yours:
    """The kernel may write to a connection's socket itself, if ``passed`` is how often it was among a `Send`'s: all of
    that is written.  The socket comes along the first time; ``socket`` counts those that came over this link."""

    kind: ClassVar = "yours"
    connection: int
    passed: int
    socket: int | None


@dataclass(frozen=True, slots=True)
class Close:
    """Some connections are to be closed, with a code and a sentence; ``moved`` is the app path to go to instead."""

    kind: ClassVar = "close"
    connections: Sequence[int]
    code: int
    reason: str
    moved: str | None = None


@dataclass(frozen=True, slots=True)
class Apps:
    """The kernel's apps, whenever they change: path, title, the run of the cell that showed it, sessions, views."""

    kind: ClassVar = "apps"
    apps: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Load:
    """Whether the kernel's main thread is busy with something else while work of ours waits."""

    kind: ClassVar = "load"
    busy: bool


@dataclass(frozen=True, slots=True)
class Output:
    """Text that a session's callback printed, or its traceback, for the views of some connections."""

    kind: ClassVar = "output"
    connections: Sequence[int]
    text: str
    error: bool


@dataclass(frozen=True, slots=True)
class Behind:
    """Whether so much waits for the sessions that some connections look at, or for their making, that no more of what
    these send is to be read for now."""

    kind: ClassVar = "behind"
    connections: Sequence[int]
    behind: bool


LinkMessage = Ask | Answer | Failed | Received | Disconnected | Send | Yours | Close | Apps | Load | Output | Behind

_PLAIN: Final[dict[str, type[Any]]] = {
    cls.kind: cls for cls in (Ask, Failed, Disconnected, Yours, Close, Apps, Load, Output, Behind)
}


def raw(frames: SentFrames) -> RawFrames:
    """Frames as bytes."""
    return tuple(frame.encode() if isinstance(frame, str) else frame for frame in frames)


def cooked(frames: RawFrames) -> Frames:
    """Frames with their text as text again.

    Raises:
        ProtocolError: a text frame is not UTF-8
    """
    try:
        return tuple(
            bytes(frame) if place >= 3 and place % 2 == 0 else str(frame, "utf-8") for place, frame in enumerate(frames)
        )
    except UnicodeDecodeError as error:
        raise ProtocolError(f"a text frame is not UTF-8: {error}") from None


def encode(message: LinkMessage) -> Parts:
    """The parts of a message."""
    match message:
        case Received():
            return [_dump({"k": message.kind, "c": message.connection}), *message.frames]
        case Send():
            return [_dump({"k": message.kind, "c": list(message.connections)}), *message.writes]
        case Answer():
            blob = [] if message.blob is None else [message.blob]
            return [_dump({"k": message.kind, "number": message.number, "result": message.result}), *blob]
    fields = {name: getattr(message, name) for name in type(message).__slots__}
    return [_dump({"k": message.kind, **fields})]


def _dump(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # lone surrogates, as in a printed file name that is not UTF-8, become question marks
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


def decode(parts: Sequence[Part]) -> LinkMessage:
    """Read the parts of a message.

    Raises:
        ProtocolError: they are not a message of this protocol
    """
    try:
        envelope = orjson.loads(parts[0])
        kind = envelope.pop("k")
        if kind == Send.kind:
            return Send(envelope["c"], tuple(parts[1:]))
        if kind == Received.kind:
            return Received(envelope["c"], tuple(parts[1:]))
        if kind == Answer.kind:
            return Answer(envelope["number"], envelope["result"], parts[1] if len(parts) > 1 else None)
        message: LinkMessage = _PLAIN[kind](**envelope)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise ProtocolError(f"not a link message: {error!r}") from None
    return message
