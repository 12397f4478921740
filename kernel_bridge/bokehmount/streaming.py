"""Lets a column source be streamed to and patched without being checked and compared as a whole each time.

Bokeh does both for each ``source.stream(...)`` and ``source.patch(...)``, and it is most of the time that these take.
But columns that were valid stay valid, what comes with them is compared with them before, and a change that Bokeh
itself describes is told whatever the comparison says.  All that is unusual goes Bokeh's way.  No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from bokeh.core.property.wrappers import PropertyValueColumnData
from bokeh.document import Document
from bokeh.document.events import ColumnsPatchedEvent, ColumnsStreamedEvent
from bokeh.model import Model
from bokeh.models import ColumnDataSource

__all__ = ("trust_columns",)

_DATA: Final[Any] = ColumnDataSource.lookup("data").property

_LISTS: Final = frozenset((list,))

_SEQUENCES: Final = frozenset((list, tuple, np.ndarray))
"""Types of which Bokeh takes every value for a column."""


class _Trusted(PropertyValueColumnData):
    """Columns that were found valid once; the methods that it replaces are Bokeh's."""

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
        if not self._stays_valid(hint):
            super()._notify_owners(old, hint)
            return
        owner: Any
        for owner, descriptor in self._owners:
            owner.trigger(descriptor.name, old, self, hint)

    def _stays_valid(self, hint: Any) -> bool:
        """Whether Bokeh would find nothing to refuse and nothing to warn of after this change."""
        if type(hint) is ColumnsStreamedEvent and type(hint.data) is dict:
            what_is_new = hint.data.values()
        elif type(hint) is ColumnsPatchedEvent:
            what_is_new = self.values()
        else:
            return False
        return _are(_SEQUENCES, what_is_new) and len(set(map(len, self.values()))) == 1


def _are(types: frozenset[type], values: Iterable[object]) -> bool:
    return types.issuperset(map(type, values))


def trust_columns(model: Model, attr: str, columns: Any, hint: Any) -> None:
    """Trust columns from now on, where Bokeh has just streamed to them or patched them and so has found them valid.

    Args:
        model: the source
        attr: the name of the property that was changed
        columns: its value
        hint: Bokeh's description of the change
    """
    if (
        type(columns) is PropertyValueColumnData
        and isinstance(hint, ColumnsStreamedEvent | ColumnsPatchedEvent)
        and model.lookup(attr).property is _DATA
    ):
        columns.__class__ = _Trusted
