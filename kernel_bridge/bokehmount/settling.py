"""Who is right when both sides change the same thing at once: the Document.  No I/O, no clock.

Bokeh's protocol sends changes both ways without saying what the sender had seen, so when a browser and Python change
one property at the same time each ends with the other's value.  Here such a property is noticed, and once both sides
have been quiet about it for a moment, its value in the Document is sent to every view.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

__all__ = ("QUIET", "WINDOW", "Key", "Settling")

Key = tuple[str, str]
"""A model's id and a property's name."""

WINDOW: Final = 30.0
"""Seconds in which a change may still be under way to a browser: twice the worst round trip that a proxy lets live."""

QUIET: Final = 0.25
"""Seconds without a change after which a value counts as settled; long enough not to pull at a slider being dragged."""

_ENOUGH: Final = 10_000


class Settling:
    """Remembers what was lately sent for each property and which properties both sides have touched."""

    __slots__ = ("_doubtful", "_sent")

    def __init__(self) -> None:
        self._sent: dict[Key, tuple[float, Hashable | None]] = {}
        self._doubtful: dict[Key, float] = {}

    def sent(self, key: Key, exclude: Hashable | None, now: float) -> None:
        """A change of this property goes to all connections but one (``exclude``)."""
        earlier = self._sent.get(key)
        if earlier is not None and earlier[1] is not exclude and now - earlier[0] < WINDOW:
            exclude = None
        self._sent[key] = (now, exclude)
        if key in self._doubtful:
            self._doubtful[key] = now
        if len(self._sent) > _ENOUGH:
            self._sent = {key: value for key, value in self._sent.items() if now - value[0] < WINDOW}

    def received(self, key: Key, connection: Hashable, now: float) -> None:
        """A change of this property came from a connection."""
        earlier = self._sent.get(key)
        if key in self._doubtful or (
            earlier is not None and now - earlier[0] < WINDOW and earlier[1] is not connection
        ):
            self._doubtful[key] = now

    def doubt(self, key: Key, now: float) -> None:
        """A browser has a value of this property that the Document did not take."""
        self._doubtful[key] = now

    @property
    def next_due(self) -> float | None:
        """When to ask `due` again, or None."""
        return min(self._doubtful.values()) + QUIET if self._doubtful else None

    def due(self, now: float) -> list[Key]:
        """The properties whose value is to be sent to all now."""
        keys = [key for key, last in self._doubtful.items() if now - last >= QUIET]
        for key in keys:
            del self._doubtful[key]
            self.sent(key, None, now)  # this may cross with a change too
        return keys
