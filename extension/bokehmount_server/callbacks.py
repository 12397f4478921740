"""The values that stand for a session's callbacks, by the names of ``bokeh.server.callbacks``.

A Document makes Bokeh's own; these are the same values, and also accept the constructors that the seeds describe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bokeh.core.types import ID
from bokeh.server import callbacks as bokeh_callbacks
from bokeh.util.serialization import make_globally_unique_id

__all__ = ("NextTickCallback", "PeriodicCallback", "SessionCallback", "TimeoutCallback")


class _AlsoBokehs(type):
    """A value that a Document made counts as one of ours."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__mro__[1])


def _split(args: tuple[Any, ...], document: Any, callback: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The callback and what follows it: the seeds write the Document in front of it, today's Bokeh does not."""
    rest = list(args)
    if callback is None:
        if document is None and rest and not callable(rest[0]):
            rest.pop(0)
        if not rest:
            raise TypeError("a session callback needs a function")
        callback = rest.pop(0)
    return callback, tuple(rest)


def _id(args: tuple[Any, ...], id: str | None, callback_id: str | None) -> ID:
    given = callback_id or id or (args[0] if args else None)
    return ID(given) if given else make_globally_unique_id()


def _number(args: tuple[Any, ...], given: int | None, name: str) -> tuple[int, tuple[Any, ...]]:
    if given is not None:
        return given, args
    if not args:
        raise TypeError(f"a {name} in milliseconds is missing")
    return args[0], args[1:]


class SessionCallback(bokeh_callbacks.SessionCallback, metaclass=_AlsoBokehs):
    """A function that a session runs.

    ``(callback, *, callback_id)``, or the seeds' ``(document, callback, id=None)``.
    """

    def __init__(
        self,
        *args: Any,
        document: Any = None,
        callback: Callable[..., Any] | None = None,
        id: str | None = None,
        callback_id: str | None = None,
    ) -> None:
        function, rest = _split(args, document, callback)
        super().__init__(function, callback_id=_id(rest, id, callback_id))


class NextTickCallback(bokeh_callbacks.NextTickCallback, metaclass=_AlsoBokehs):
    """Runs on the loop's next turn: ``(callback, *, callback_id)``, or the seeds' ``(document, callback, id=None)``."""

    def __init__(
        self,
        *args: Any,
        document: Any = None,
        callback: Callable[..., Any] | None = None,
        id: str | None = None,
        callback_id: str | None = None,
    ) -> None:
        function, rest = _split(args, document, callback)
        super().__init__(function, callback_id=_id(rest, id, callback_id))


class PeriodicCallback(bokeh_callbacks.PeriodicCallback, metaclass=_AlsoBokehs):
    """Runs every ``period`` milliseconds.

    ``(callback, period, *, callback_id)``, or the seeds' ``(document, callback, period, id=None)``.
    """

    def __init__(
        self,
        *args: Any,
        document: Any = None,
        callback: Callable[..., Any] | None = None,
        period: int | None = None,
        id: str | None = None,
        callback_id: str | None = None,
    ) -> None:
        function, rest = _split(args, document, callback)
        number, rest = _number(rest, period, "period")
        super().__init__(function, number, callback_id=_id(rest, id, callback_id))


class TimeoutCallback(bokeh_callbacks.TimeoutCallback, metaclass=_AlsoBokehs):
    """Runs once after ``timeout`` milliseconds.

    ``(callback, timeout, *, callback_id)``, or the seeds' ``(document, callback, timeout, id=None)``.
    """

    def __init__(
        self,
        *args: Any,
        document: Any = None,
        callback: Callable[..., Any] | None = None,
        timeout: int | None = None,
        id: str | None = None,
        callback_id: str | None = None,
    ) -> None:
        function, rest = _split(args, document, callback)
        number, rest = _number(rest, timeout, "timeout")
        super().__init__(function, number, callback_id=_id(rest, id, callback_id))
