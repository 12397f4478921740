"""Between a Document and the wire's JSON: the whole Document, and what a patch speaks of.  No I/O."""

from __future__ import annotations

import base64
import gzip
from typing import Any, Final

import orjson
from bokeh.core.serialization import Buffer, Serialized
from bokeh.document import Document
from bokeh.document.events import DocumentPatchedEvent, TitleChangedEvent
from bokeh.server.callbacks import PeriodicCallback

from .errors import ProtocolError
from .pictures import check_definitions
from .serializing import serialized
from .settling import Key
from .wire import Message, dumps, plain

__all__ = ("TITLE", "key_of", "move", "nodes", "release", "replace", "to_json", "touched")

TITLE: Final[Key] = ("", "title")
"""The Document's title, which no model has."""

_IS_GZIPPED: Final = hasattr(Buffer, "to_compressed_bytes")
"""Whether this Bokeh has its arrays within JSON as base64 of gzip: since 3.8; before, as base64."""

_OF_COLUMNS: Final = ("ColumnDataChanged", "ColumnsStreamed", "ColumnsPatched")


def to_json(document: Document) -> orjson.Fragment:
    """The whole Document as JSON text with its arrays inside; the models in it count as sent from now on."""
    return orjson.Fragment(dumps(serialized(document).content, _inline))


def _inline(value: Any) -> Any:
    if isinstance(value, Buffer):
        # level 0 is the form without the time it takes
        data = gzip.compress(value.data, 0, mtime=1) if _IS_GZIPPED else value.data
        return base64.b64encode(data).decode()
    return plain(value)


def replace(document: Document, message: Message) -> None:
    """Overwrite a Document with the one in a PUSH-DOC.

    Raises:
        ProtocolError: there is none in it, or it names a file for a picture
    """
    if "doc" not in message.content:
        raise ProtocolError(f"{message.msgtype} without a 'doc'")
    check_definitions(nodes(message.content))
    document.replace_with_json(Serialized(message.content["doc"], list(message.buffers)))


def move(document: Document, into: Document) -> None:
    """Have a Document's roots and scheduled callbacks in another one; the time of a timeout begins anew there."""
    roots, callbacks = list(document.roots), list(document.session_callbacks)
    document.clear()
    for root in roots:
        into.add_root(root)
    for callback in callbacks:
        document.callbacks.remove_session_callback(callback)
        once = not isinstance(callback, PeriodicCallback)
        wrapper: Any = callback.callback  # Bokeh's own, which has the old Document as curdoc()
        function = wrapper.__wrapped__
        into.callbacks.add_session_callback(callback, function.__wrapped__ if once else function, once)


def release(document: Document) -> None:
    """Take the models out of a Document that ends; those that are in another one by now stay whole and stay there."""
    elsewhere = [(model, owner) for model in document.models if (owner := model.document) is not document]
    document.clear()
    for model, owner in elsewhere:
        model.document = owner  # type: ignore[assignment]  # declared as read, set to None by Bokeh itself


def nodes(content: Any) -> list[dict[str, Any]]:
    """Each JSON object in a message, the outer before the inner."""
    found, todo = [], [content]
    while todo:
        node = todo.pop()
        if type(node) is dict:
            found.append(node)
            todo += [value for value in node.values() if type(value) is dict or type(value) is list]
        elif type(node) is list:
            todo += [value for value in node if type(value) is dict or type(value) is list]
    return found


def touched(content: Any) -> list[Key]:
    """The model properties that a PATCH-DOC changes, and the title, as far as it is well formed."""
    events = content.get("events")
    if not isinstance(events, list):
        return []
    return [key for event in events if isinstance(event, dict) and (key := _touched_by(event)) is not None]


def _touched_by(event: dict[str, Any]) -> Key | None:
    kind, model, attr = event.get("kind"), event.get("model"), event.get("attr")
    identity = model.get("id") if isinstance(model, dict) else None
    if not isinstance(identity, str):
        return TITLE if kind == "TitleChanged" else None
    if isinstance(attr, str):
        return identity, attr
    return (identity, "data") if kind in _OF_COLUMNS else None


def key_of(event: DocumentPatchedEvent) -> Key | None:
    """The model property that an event changes, or the title; None where it is about neither."""
    if isinstance(event, TitleChangedEvent):
        return TITLE
    model, attr = getattr(event, "model", None), getattr(event, "attr", None)
    return (model.id, attr) if model is not None and isinstance(attr, str) else None
