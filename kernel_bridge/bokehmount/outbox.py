"""Gathers a Document's events, coalesces them and turns them into as few PATCH-DOCs as can be.  No I/O, no loop.

An event is encoded at the moment it happens, on the Document's own thread; what waits here is plain data.  So another
thread may take and send it, also while the Document's thread is busy in a cell.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from bokeh.core.serialization import Buffer
from bokeh.document import Document
from bokeh.document.events import ColumnsStreamedEvent, DocumentPatchedEvent
from bokeh.model import Model

from .frames import SentFrames
from .serializing import ModelSerializer
from .wire import dumps, encode_patch

__all__ = ("Outbox", "Patch")

_SAFE: Final = 2**53
"""JavaScript's numbers are exact up to here; Bokeh encodes larger ones in another way."""


class _DocumentSerializer(ModelSerializer):
    """Writes models that the other side knows as references.

    Bokeh builds a table of all the Document's models for that; with 1,000 models it costs more than the patch.
    Only models that were added since the last message have to be listed: all the Document's others are known.
    """

    def __init__(self, document: Document) -> None:
        super().__init__()
        self._models = document.models
        self.unsynced: set[Model] = set()
        self._models.flush_synced(self._note_unsynced)

    def _note_unsynced(self, model: Model) -> bool:
        self.unsynced.add(model)
        return True

    def get_ref(self, obj: Any) -> Any:
        ref = super().get_ref(obj)
        if ref is None and isinstance(obj, Model) and obj.id in self._models and obj not in self.unsynced:
            return obj.ref
        return ref


@dataclass(slots=True)
class _Entry:
    rep: dict[str, Any]
    buffers: list[Buffer]
    defines: bool  # whether it holds the definition of a model that later entries may refer to
    exclude: Hashable | None
    columns: dict[str, list[Any]] | None  # of a stream of plain lists: these, which later rows may be added to


@dataclass(frozen=True, slots=True)
class Patch:
    """What was gathered, as frames: for everyone, and for those who must not hear of some of it.

    ``None`` stands for nothing to send.
    """

    everyone: SentFrames | None
    instead: dict[Hashable, SentFrames | None]

    def of(self, connection: Hashable) -> SentFrames | None:
        """The frames that this connection is to be sent."""
        return self.instead.get(connection, self.everyone)


class Outbox:
    """The events of one Document that were not sent yet.

    Call `add` on the Document's thread for each event, and `take` from any thread to have what is to be sent.
    """

    __slots__ = ("_document", "_entries", "_latest", "_mutex")

    def __init__(self, document: Document) -> None:
        self._document = document
        self._entries: list[_Entry | None] = []
        self._latest: dict[tuple[str, str], int] = {}
        self._mutex = threading.Lock()

    def add(self, event: DocumentPatchedEvent, exclude: Hashable | None = None) -> None:
        """Encode and keep an event.

        Args:
            event: a change of the Document
            exclude: the connection that caused it and must not be sent it

        Raises:
            bokeh.core.serialization.SerializationError: the event holds a value that can't be sent
        """
        if type(event) is ColumnsStreamedEvent and self._joined_plain(event, exclude):
            return
        serializer = _DocumentSerializer(self._document)
        rep: Any = event.to_serializable(serializer)
        defines = False
        if serializer.unsynced:
            defines = any(serializer.has_ref(model) for model in serializer.unsynced)
            self._document.models.flush_synced(lambda model: not serializer.has_ref(model))
        entry = _Entry(dict(rep), serializer.buffers, defines, exclude, _columns(rep))
        with self._mutex:
            self._place(entry)

    def _place(self, entry: _Entry) -> None:
        match entry.rep:
            case {"kind": "ModelChanged", "model": {"id": model}, "attr": attr} | {
                "kind": "ColumnDataChanged",
                "model": {"id": model},
                "attr": attr,
                "cols": None,
            }:
                self._replace((model, attr), entry)
            case {"kind": "ColumnsStreamed", "model": {"id": model}, "attr": attr}:
                if not self._join_stream((model, attr), entry):
                    self._latest[model, attr] = self._append(entry)
            case {"kind": "ColumnsPatched" | "ColumnDataChanged", "model": {"id": model}, "attr": attr}:
                self._append(entry)
                self._latest.pop((model, attr), None)
            case {"kind": "MessageSent"}:  # who hears it may look at what was set before
                self._append(entry)
                self._latest.clear()
            case _:
                self._append(entry)

    def _append(self, entry: _Entry) -> int:
        self._entries.append(entry)
        return len(self._entries) - 1

    def _replace(self, key: tuple[str, str], entry: _Entry) -> None:
        place = self._latest.get(key)
        if place is not None:
            earlier = self._entries[place]
            if earlier is not None and not (earlier.defines or entry.defines):
                self._entries[place] = None
        self._latest[key] = self._append(entry)

    def _joined_plain(self, event: ColumnsStreamedEvent, exclude: Hashable | None) -> bool:
        """Join a stream of plain numbers and texts, which look the same encoded; it saves most of the work."""
        columns = event.data
        if type(columns) is not dict:
            return False
        for values in columns.values():
            if type(values) is not list or not _plain(values):
                return False
        with self._mutex:
            return self._join((event.model.id, event.attr), event.rollover, columns, [], exclude)

    def _join_stream(self, key: tuple[str, str], entry: _Entry) -> bool:
        columns = entry.columns
        if columns is None or entry.defines:
            return False
        return self._join(key, entry.rep["rollover"], columns, entry.buffers, entry.exclude)

    def _join(
        self,
        key: tuple[str, str],
        rollover: Any,
        columns: dict[str, list[Any]],
        buffers: list[Buffer],
        exclude: Hashable | None,
    ) -> bool:
        """Let an earlier stream of the same column source grow instead of sending one more event."""
        place = self._latest.get(key)
        earlier = self._entries[place] if place is not None else None
        if earlier is None or earlier.exclude is not exclude or earlier.defines:
            return False
        before = earlier.columns
        if before is None or before.keys() != columns.keys() or earlier.rep["rollover"] != rollover:
            return False
        for name, values in columns.items():
            before[name].extend(values)
        if buffers:
            earlier.buffers.extend(buffers)
        return True

    def take(self) -> Patch | None:
        """All that is to be sent now, or None; afterwards the outbox is empty."""
        with self._mutex:
            if not self._entries:
                return None
            entries = [entry for entry in self._entries if entry is not None]
            self._entries, self._latest = [], {}
        texts = [dumps(entry.rep) for entry in entries]
        excluded = {entry.exclude for entry in entries if entry.exclude is not None}
        return Patch(
            _patch(entries, texts, None), {connection: _patch(entries, texts, connection) for connection in excluded}
        )

    def clear(self) -> None:
        """Forget what was gathered."""
        with self._mutex:
            self._entries, self._latest = [], {}


def _patch(entries: list[_Entry], texts: list[str], connection: Hashable | None) -> SentFrames | None:
    chosen = [place for place, entry in enumerate(entries) if connection is None or entry.exclude is not connection]
    if not chosen:
        return None
    return encode_patch([texts[place] for place in chosen], [b for place in chosen for b in entries[place].buffers])


def _columns(rep: Any) -> dict[str, list[Any]] | None:
    """The columns of an encoded stream where all are plain lists, else None."""
    match rep:
        case {"kind": "ColumnsStreamed", "data": {"type": "map", "entries": [*pairs]}} if all(
            type(values) is list for _, values in pairs
        ):
            return dict(pairs)
    return None


def _plain(values: list[Any]) -> bool:
    """Whether Bokeh encodes each of these as itself."""
    for value in values:
        kind = type(value)
        if not (
            (kind is float and isfinite(value)) or kind is str or (kind is int and abs(value) < _SAFE) or kind is bool
        ):
            return False
    return True
