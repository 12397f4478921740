"""Lets a column source that is streamed to take its next rows without being checked and compared as a whole.

Bokeh does both for each ``source.stream(...)``, and it is most of the time that this takes.  But the columns were valid
before, ``stream`` compares the names and lengths of what comes with them, and a hinted change is told whatever the
comparison says.  So only the rows are looked at here; all that is unusual goes Bokeh's way.  No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from bokeh.core.property.wrappers import PropertyValueColumnData
from bokeh.document import Document
from bokeh.document.events import ColumnsStreamedEvent
from bokeh.model import Model
from bokeh.models import ColumnDataSource

__all__ = ("take_rows_unchecked",)

_DATA: Final[Any] = ColumnDataSource.lookup("data").property

_LISTS: Final = frozenset((list,))

_SEQUENCES: Final = frozenset((list, tuple, np.ndarray))
"""Types of which Bokeh takes every value for a column."""


class _Streamed(PropertyValueColumnData):
    """The columns of a source that was streamed to; named methods are Bokeh's own."""

    def _stream(
        self, doc: Document, source: Any, new_data: Any, rollover: int | None = None, setter: Any = None
    ) -> None:
        if not (type(new_data) is dict and _are(_LISTS, new_data.values()) and _are(_LISTS, self.values())):
            super()._stream(doc, source, new_data, rollover, setter)
            return
        before = dict(self)
        for name, rows in new_data.items():
            column: Any = self[name]
            column.extend(rows)
            if rollover is not None and len(column) > rollover:
                del column[: len(column) - rollover]
        self._notify_owners(before, ColumnsStreamedEvent(doc, source, "data", new_data, rollover, setter))

    def _notify_owners(self, old: Any, hint: Any = None) -> None:
        is_plain = (
            type(hint) is ColumnsStreamedEvent
            and type(hint.data) is dict
            and _are(_SEQUENCES, hint.data.values())
            and len(set(map(len, self.values()))) == 1  # else Bokeh warns
        )
        if not is_plain:
            super()._notify_owners(old, hint)
            return
        owner: Any
        for owner, descriptor in self._owners:
            owner.trigger(descriptor.name, old, self, hint)


def _are(types: frozenset[type], values: Iterable[object]) -> bool:
    return types.issuperset(map(type, values))


def take_rows_unchecked(model: Model, attr: str, columns: Any) -> None:
    """Have a source that Bokeh has just streamed to, and so has found valid, take its next rows in this way.

    Args:
        model: the source
        attr: the name of the property that holds its columns
        columns: these
    """
    if type(columns) is PropertyValueColumnData and model.lookup(attr).property is _DATA:
        columns.__class__ = _Streamed
