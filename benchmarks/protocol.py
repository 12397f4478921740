"""Bokeh's wire protocol as a browser sees it: fragments into messages, patches into columns.  No I/O.

The clock's reading is passed in with each fragment, so a message knows when its last byte had arrived.
"""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import orjson

Column = list[Any]
Columns = dict[str, Column | np.ndarray[Any, Any]]


@dataclass
class Message:
    """One whole message; ``arrived`` is the clock (s) at its last fragment."""

    header: dict[str, Any]
    content_json: str
    buffers: dict[str, bytes]
    arrived: float

    @property
    def msgtype(self) -> str:
        return str(self.header["msgtype"])

    @cached_property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = orjson.loads(self.content_json)
        return content


class ProtocolError(ValueError):
    """The server sent what Bokeh's protocol doesn't know."""


class Assembler:
    """Fragments in; a message out with the last one of it."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._buffers: dict[str, bytes] = {}
        self._header: dict[str, Any] = {}
        self._buffers_due = 0
        self._buffer_id: str | None = None

    def feed(self, fragment: str | bytes, now: float) -> Message | None:
        if len(self._texts) < 3:
            self._take_text(fragment)
        elif self._buffer_id is None:
            self._buffer_id = orjson.loads(fragment)["id"]
            return None
        else:
            self._take_buffer(fragment)
        if len(self._texts) < 3 or len(self._buffers) < self._buffers_due:
            return None
        message = Message(self._header, self._texts[2], self._buffers, now)
        self._texts, self._buffers = [], {}
        return message

    def _take_text(self, fragment: str | bytes) -> None:
        if isinstance(fragment, bytes):
            raise ProtocolError("bytes came where header, metadata or content were due")
        if not self._texts:
            self._header = orjson.loads(fragment)
            self._buffers_due = self._header.get("num_buffers", 0)
        self._texts.append(fragment)

    def _take_buffer(self, fragment: str | bytes) -> None:
        if isinstance(fragment, str) or self._buffer_id is None:
            raise ProtocolError("text came where a buffer was due")
        self._buffers[self._buffer_id] = fragment
        self._buffer_id = None


def message_fragments(msgid: str, msgtype: str, content: Any) -> tuple[bytes, bytes, bytes]:
    """What a browser sends for one message without buffers."""
    return orjson.dumps({"msgid": msgid, "msgtype": msgtype}), b"{}", orjson.dumps(content)


def decode(value: Any, buffers: dict[str, bytes]) -> Any:
    """A serialized value as lists, dicts and arrays; arrays may be buffers or, within the JSON, base64 of gzip."""
    if isinstance(value, list):
        return [decode(item, buffers) for item in value] if value and isinstance(value[0], dict | list) else value
    if not isinstance(value, dict):
        return value
    match value.get("type"):
        case "map":
            return {key: decode(item, buffers) for key, item in value.get("entries", [])}
        case "ndarray":
            raw = decode(value["array"], buffers)
            if isinstance(raw, list):
                return raw
            dtype = np.dtype(value["dtype"]).newbyteorder("little" if value["order"] == "little" else "big")
            return np.frombuffer(raw, dtype).reshape(value["shape"])
        case "bytes":
            data = value["data"]
            return buffers[data["id"]] if isinstance(data, dict) else gzip.decompress(base64.b64decode(data))
        case _:
            return value


def named_models(value: Any, found: dict[str, dict[str, Any]] | None = None) -> dict[str, dict[str, Any]]:
    """Every serialized model below that carries a name, by that name."""
    found = {} if found is None else found
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict | list):
                named_models(item, found)
    elif isinstance(value, dict):
        name = value.get("attributes", {}).get("name") if "id" in value else None
        if isinstance(name, str):
            found[name] = value
        for item in value.values():
            if isinstance(item, dict | list):
                named_models(item, found)
    return found


@dataclass
class Replica:
    """The columns of the sources of one Document as a browser would hold them, by the source's id."""

    sources: dict[str, Columns] = field(default_factory=dict)

    def apply(self, message: Message) -> set[str]:
        """Apply a PATCH-DOC; which sources it changed."""
        changed = set()
        if "events" not in message.content:
            raise ProtocolError(f"a PATCH-DOC without events: {message.content_json[:200]}")
        for event in message.content["events"]:
            source_id = event.get("model", {}).get("id")
            if source_id in self.sources and event.get("attr") == "data":
                self._apply(self.sources[source_id], event, message.buffers)
                changed.add(source_id)
        return changed

    def _apply(self, columns: Columns, event: dict[str, Any], buffers: dict[str, bytes]) -> None:
        match event["kind"]:
            case "ModelChanged":
                columns.clear()
                columns.update(decode(event["new"], buffers))
            case "ColumnDataChanged":
                if event.get("cols") is None:
                    columns.clear()
                columns.update(decode(event["data"], buffers))
            case "ColumnsStreamed":
                for name, new in decode(event["data"], buffers).items():
                    columns[name] = _streamed(columns[name], new, event.get("rollover"))
            case kind:
                raise ProtocolError(f"the benchmark's app makes no {kind}")


def _streamed(column: Any, new: Any, rollover: int | None) -> Column:
    """The column with the new values at its end and no more than ``rollover`` values, the newest."""
    rows: Column = column if isinstance(column, list) else list(column)
    rows.extend(new)
    if rollover is not None:
        del rows[: max(0, len(rows) - rollover)]
    return rows
