"""The values that stand for a session's callbacks, by the names of ``bokeh.server.callbacks``.

A Document makes Bokeh's own; these are the same values, and also accept the constructors that the seeds describe.
"""

from __future__ import annotations

from typing import Any

from bokeh.core.types import ID
from bokeh.server import callbacks as bokeh_callbacks
from bokeh.util.serialization import make_globally_unique_id

from .standing_for import StandsForBokehs

__all__ = ("NextTickCallback", "PeriodicCallback", "SessionCallback", "TimeoutCallback")


def _read(names: tuple[str, ...], args: tuple[Any, ...], given: dict[str, Any]) -> tuple[list[Any], ID]:
    """The arguments of these names, by place or by name, and the callback's id.

    The seeds write the Document in front and ``id`` behind; today's Bokeh has no Document and says ``callback_id``.
    """
    rest = list(args)
    if "callback" not in given and "document" not in given and rest and not callable(rest[0]):
        rest.pop(0)
    given.pop("document", None)
    found = []
    for name in names:
        if name not in given and not rest:
            raise TypeError(f"a session callback needs a {name}")
        found.append(given.pop(name) if name in given else rest.pop(0))
    if rest and not {"id", "callback_id"} & given.keys():
        given["id"] = rest.pop(0)
    seeds, todays = given.pop("id", None), given.pop("callback_id", None)
    if rest or given:
        raise TypeError(f"a session callback does not take {[*rest, *given]}")
    if not callable(found[0]):
        raise TypeError(f"a session callback needs a function, not {found[0]!r}")
    return found, ID(todays or seeds) if todays or seeds else make_globally_unique_id()


class SessionCallback(bokeh_callbacks.SessionCallback, metaclass=StandsForBokehs):
    """A function that a session runs.

    ``(callback, *, callback_id)``, or the seeds' ``(document, callback, id=None)``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        (callback,), id = _read(("callback",), args, kwargs)
        super().__init__(callback, callback_id=id)


class NextTickCallback(bokeh_callbacks.NextTickCallback, metaclass=StandsForBokehs):
    """Runs on the loop's next turn: ``(callback, *, callback_id)``, or the seeds' ``(document, callback, id=None)``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        (callback,), id = _read(("callback",), args, kwargs)
        super().__init__(callback, callback_id=id)


class PeriodicCallback(bokeh_callbacks.PeriodicCallback, metaclass=StandsForBokehs):
    """Runs every ``period`` milliseconds.

    ``(callback, period, *, callback_id)``, or the seeds' ``(document, callback, period, id=None)``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        (callback, period), id = _read(("callback", "period"), args, kwargs)
        super().__init__(callback, period, callback_id=id)


class TimeoutCallback(bokeh_callbacks.TimeoutCallback, metaclass=StandsForBokehs):
    """Runs once after ``timeout`` milliseconds.

    ``(callback, timeout, *, callback_id)``, or the seeds' ``(document, callback, timeout, id=None)``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        (callback, timeout), id = _read(("callback", "timeout"), args, kwargs)
        super().__init__(callback, timeout, callback_id=id)
