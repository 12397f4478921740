"""The other end of a session, in memory: browsers with a Document of their own, and a stage that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from bokeh.core.serialization import Serialized, Serializer
from bokeh.document import Document
from bokeh.document.events import DocumentPatchedEvent

from bokehmount import wire
from bokehmount.frames import Frames, SentFrames
from bokehmount.session import ServerSession
from bokehmount.wire import Message, MessageType

SETTLED = 0.4
"""Seconds after which what both sides have changed at once is settled; see `bokehmount.settling.QUIET`."""


async def turns(count: int = 5) -> None:
    """Let the loop go round some times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(holds: Callable[[], Any], what: str = "that") -> None:
    """Wait until a condition holds; fail in words if it does not."""
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited 5 s in vain for {what}")


def arrived(frames: SentFrames) -> Frames:
    """Frames as the other end of a WebSocket has them."""
    return tuple(frame if isinstance(frame, str) else bytes(frame) for frame in frames)


class Wire:
    """An outlet that keeps what it is given and lets no browser hear of it before `pass_on`.

    Attributes:
        calls: each call of ``deliver``: to whom, and the messages' types
    """

    is_full: bool = False

    def __init__(self) -> None:
        self.calls: list[tuple[list[Browser], list[str]]] = []
        self.under_way: list[tuple[Browser, SentFrames]] = []

    def deliver(self, connections: Sequence[Browser], messages: Sequence[SentFrames]) -> None:
        types = [str(wire.decode(arrived(frames)).msgtype) for frames in messages]
        self.calls.append((list(connections), types))
        self.under_way += [(browser, frames) for browser in connections for frames in messages]

    def pass_on(self) -> None:
        """Let the browsers hear what is under way."""
        under_way, self.under_way = self.under_way, []
        for browser, frames in under_way:
            browser.hear(wire.decode(arrived(frames)))


class Browser:
    """A connection with a Document of its own, kept as BokehJS keeps it.

    Args:
        session: what it looks at
        outlet: carries what it is sent; its own where None
    """

    def __init__(self, session: ServerSession, outlet: Wire | None = None) -> None:
        self.session = session
        self.outlet = outlet or Wire()
        self.heard: list[Message] = []
        self._document: Document | None = None
        self._changes: list[DocumentPatchedEvent] = []
        session.subscribe(self)

    def send(self, message: Message) -> None:
        self.session.receive(self, wire.encode(message))

    def pull(self) -> Document:
        """Have the whole Document."""
        self.send(wire.pull_doc())
        self.outlet.pass_on()
        return self.document

    @property
    def document(self) -> Document:
        assert self._document is not None, "it has pulled no Document"
        return self._document

    @property
    def answers(self) -> list[str]:
        """The types of all messages that it heard."""
        return [str(message.msgtype) for message in self.heard]

    def hear(self, message: Message) -> None:
        self.heard.append(message)
        if message.msgtype is MessageType.PULL_DOC_REPLY:
            self._document = Document.from_json(message.content["doc"])
            self._document.on_change(self._changed)
            self._document.models.flush_synced()
        elif message.msgtype is MessageType.PATCH_DOC and self._document is not None:
            self._document.apply_json_patch(message.payload, setter=self)  # type: ignore[arg-type]  # any object does

    def _changed(self, event: Any) -> None:
        if isinstance(event, DocumentPatchedEvent) and event.setter is not self:  # type: ignore[comparison-overlap]  # it may be any object
            self._changes.append(event)

    @contextmanager
    def in_silence(self) -> Iterator[None]:
        """Changes made in this block are not sent."""
        changes = list(self._changes)
        yield
        self._changes = changes

    def say(self) -> Message:
        """Send the session what was changed here."""
        events, self._changes = self._changes, []
        message = patch_of(self.document, events)
        self.send(message)
        return message

    def change(self, name: str, attr: str, value: Any) -> Message:
        """Change a property of the model of this name, as a person does with a widget."""
        model = self.document.get_model_by_name(name)
        assert model is not None
        setattr(model, attr, value)
        return self.say()


def patch_of(document: Document, events: Sequence[DocumentPatchedEvent]) -> Message:
    """The PATCH-DOC of these events, by Bokeh's own serialiser."""
    serializer = Serializer(references=document.models.synced_references)
    content = {"events": serializer.encode(list(events))}
    document.models.flush_synced(lambda model: not serializer.has_ref(model))
    return Message(MessageType.PATCH_DOC, content, buffers=tuple(serializer.buffers))


def state(document: Document) -> dict[str, Any]:
    """All that two Documents must agree on, as plain data."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(value[name]) for name in sorted(value, key=str)}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if hasattr(value, "tolist"):
            return plain(value.tolist())
        return repr(float(value)) if isinstance(value, float) else value

    models = {}
    for model in document.models:
        serializer = Serializer(references=set(document.models), deferred=False)
        values = model.properties_with_values(include_defaults=False)
        encoded = {
            name: plain(value) if name == "data" else serializer.encode(value)
            for name, value in values.items()
            if repr(value) != repr(model.lookup(name).class_default(type(model)))
        }
        models[model.id] = {"type": type(model).__name__, **encoded}
    return {"title": document.title, "roots": [root.id for root in document.roots], "models": models}


class Remembering:
    """A stage that keeps what was raised."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, str]] = []
        self.entries = 0

    def entered(self, *, awaits: bool = False) -> AbstractContextManager[object]:
        self.entries += 1
        return nullcontext()

    def raised(self, error: BaseException, where: str) -> None:
        self.errors.append((repr(error), where))


def serialized(document: Document) -> Serialized[Any]:
    """A Document as a PUSH-DOC holds it."""
    return document.to_json()
