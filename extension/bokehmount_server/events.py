"""A Document's events with the constructors that the seeds describe.

They are Bokeh's events, which a Document makes itself; only who makes one by hand needs this module.
"""

from __future__ import annotations

from typing import Any

from bokeh.document import Document
from bokeh.document import events as bokeh_events
from bokeh.document.events import (
    DocumentChangedEvent,
    DocumentPatchedEvent,
    RootAddedEvent,
    RootRemovedEvent,
    SessionCallbackAdded,
    SessionCallbackRemoved,
    TitleChangedEvent,
)
from bokeh.model import Model

from .standing_for import StandsForBokehs

__all__ = (
    "ColumnsPatchedEvent",
    "ColumnsStreamedEvent",
    "DocumentChangedEvent",
    "DocumentPatchedEvent",
    "ModelChangedEvent",
    "RootAddedEvent",
    "RootRemovedEvent",
    "SessionCallbackAdded",
    "SessionCallbackRemoved",
    "TitleChangedEvent",
)


class _Apart:
    """Comes before Bokeh's own class, which would have each class below it decode what browsers send."""

    def __init_subclass__(cls, **_: object) -> None:
        pass


def _take(given: dict[str, Any], args: list[Any], *names: str) -> Any:
    """A value by one of its names, or the next one without a name."""
    for name in names:
        if name in given:
            return given.pop(name)
    if not args:
        raise TypeError(f"the event's {names[0]!r} is missing")
    return args.pop(0)


def _column(given: dict[str, Any], args: list[Any]) -> str:
    """The property that holds the columns: today's Bokeh names it, the seeds know only ``data``."""
    if "attr" in given:
        return str(given.pop("attr"))
    return args.pop(0) if args and isinstance(args[0], str) else "data"


class ColumnsStreamedEvent(_Apart, bokeh_events.ColumnsStreamedEvent, metaclass=StandsForBokehs):
    """Rows were appended to a column source.

    ``(document, column_source, data, rollover, setter=None)`` as in the seeds, or
    ``(document, model, attr, data, rollover, setter=None)`` as in today's Bokeh.
    """

    def __init__(self, document: Document, *args: Any, **given: Any) -> None:
        rest = list(args)
        model, attr = _take(given, rest, "column_source", "model"), _column(given, rest)
        data, rollover = _take(given, rest, "data"), _take(given, rest, "rollover")
        super().__init__(document, model, attr, data, rollover, *rest, **given)


class ColumnsPatchedEvent(_Apart, bokeh_events.ColumnsPatchedEvent, metaclass=StandsForBokehs):
    """Values of a column source were replaced in place.

    ``(document, column_source, patches, setter=None)`` as in the seeds, or
    ``(document, model, attr, patches, setter=None)`` as in today's Bokeh.
    """

    def __init__(self, document: Document, *args: Any, **given: Any) -> None:
        rest = list(args)
        model, attr = _take(given, rest, "column_source", "model"), _column(given, rest)
        super().__init__(document, model, attr, _take(given, rest, "patches"), *rest, **given)


class ModelChangedEvent(_Apart, bokeh_events.ModelChangedEvent, metaclass=StandsForBokehs):
    """A model's property has a new value.

    ``(document, model, attr, old, new, serializable_new, hint=None, setter=None)`` as in the seeds, or
    ``(document, model, attr, new, setter=None, callback_invoker=None)`` as in today's Bokeh.  Six or more values
    without names are the seeds'; ``old``, ``serializable_new`` and ``hint`` are not needed any more.
    """

    def __init__(self, document: Document, model: Model, attr: str, *args: Any, **given: Any) -> None:
        seeds = len(args) >= 3 or bool({"old", "serializable_new", "hint"} & given.keys())
        rest = list(args)
        if seeds:
            if "old" not in given and rest:
                rest.pop(0)
            new = _take(given, rest, "new")
            if "serializable_new" not in given and rest:
                rest.pop(0)
            if "hint" not in given and rest:
                rest.pop(0)
            for name in ("old", "serializable_new", "hint"):
                given.pop(name, None)
        else:
            new = _take(given, rest, "new")
        super().__init__(document, model, attr, new, *rest, **given)
