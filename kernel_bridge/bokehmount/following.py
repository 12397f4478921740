"""The ends of ranges that follow their data, as browsers have computed them.

BokehJS tells Python where such a range begins and ends.  But an end that comes with a Document it takes for what the
user has chosen, and it never moves it again: on a page that is loaded anew, or was cut off for a moment, a stream would
leave its axes.  So a view is not given those ends; it computes its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from bokeh.document import Document
from bokeh.models import DataRange1d

from .settling import Key

__all__ = ("FollowingRanges",)


class FollowingRanges:
    """Remembers which ends of a Document's ranges come from browsers."""

    __slots__ = ("_computed", "_document")

    def __init__(self, document: Document) -> None:
        self._document = document
        self._computed: set[Key] = set()

    def _range(self, identity: str) -> DataRange1d | None:
        model = self._document.models.get_by_id(identity)  # type: ignore[arg-type]
        return model if isinstance(model, DataRange1d) else None

    def told(self, keys: Iterable[Key]) -> None:
        """A browser is about to change these properties."""
        for identity, attr in keys:
            if attr in ("start", "end") and (found := self._range(identity)) is not None:
                value = getattr(found, attr)
                if value != value:  # not a number: nobody has chosen it
                    self._computed.add((identity, attr))

    def chosen(self, key: Key | None) -> None:
        """Python has changed this property."""
        if key is not None:
            self._computed.discard(key)

    def forget(self) -> None:
        """The Document has other models now."""
        self._computed.clear()

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """In this block the Document is as if no browser had computed anything."""
        kept = []
        for identity, attr in self._computed:
            values = found._property_values if (found := self._range(identity)) is not None else {}
            if attr in values:
                kept.append((values, attr, values.pop(attr)))
        try:
            yield
        finally:
            for values, attr, value in kept:
                values[attr] = value
