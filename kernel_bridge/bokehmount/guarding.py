"""Runs each of a Document's model callbacks by itself, so that one that raises stops no other.

Bokeh calls the callbacks of a changed property in one loop, *before* it tells the session of the change: the first that
raises stops the rest, and the change never reaches the browsers.  The Document's callback manager is asked to notify us
instead, and we call the callbacks one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

from bokeh.document import Document
from bokeh.events import Event, ModelEvent
from bokeh.model import Model

from .putting_back import CurdocPutBack

__all__ = ("guard_callbacks",)

Guard = Callable[..., None]


def guard_callbacks(document: Document, guard: Guard) -> Callable[[], None]:
    """Have the callbacks of this Document's models called through a guard.

    Args:
        guard: called as ``guard(callback, *args)``; calls it and decides what becomes of an exception

    Returns:
        what undoes it
    """
    manager = document.callbacks
    for model in document.models:  # Bokeh does so only when a model joins its Document, not when a callback is added
        if model._event_callbacks:
            model._update_event_callbacks()
    notify_change, notify_event = manager.notify_change, manager.notify_event

    def changed(
        model: Model, attr: str, old: Any, new: Any, hint: Any = None, setter: Any = None, callback_invoker: Any = None
    ) -> None:
        if attr == "subscribed_events":
            model._update_event_callbacks()
        # `Model.trigger` makes the invoker from this very list; a model without callbacks needs none
        callbacks = tuple(model._callbacks.get(attr, ()))
        with CurdocPutBack():
            notify_change(
                model,
                attr,
                old,
                new,
                hint,
                setter,
                partial(_each, guard, callbacks, (attr, old, new)) if callbacks else None,
            )

    def happened(model: Model, event: ModelEvent, callback_invoker: Any) -> None:
        callbacks = tuple(model._event_callbacks.get(event.event_name, ())) if _is_about(event, model) else ()
        if not callbacks:
            return
        with CurdocPutBack():
            notify_event(model, event, partial(_each, guard, callbacks, (event,)))

    manager.notify_change = changed  # type: ignore[method-assign]  # on this instance only
    manager.notify_event = happened  # type: ignore[method-assign]

    def undo() -> None:
        vars(manager).pop("notify_change", None)
        vars(manager).pop("notify_event", None)

    return undo


def _is_about(event: Event, model: Model) -> bool:
    subject = getattr(event, "model", None)
    return subject is not None and subject.id == model.id


def _each(guard: Guard, callbacks: tuple[Callable[..., Any], ...], args: tuple[Any, ...]) -> None:
    for callback in callbacks:
        guard(callback, *args[: _arity(callback, len(args))])


def _arity(callback: Callable[..., Any], most: int) -> int:
    """How many arguments an event callback wants: Bokeh allows ``f(event)`` and ``f()``."""
    if most > 1:
        return most
    required = [
        p for p in signature(callback).parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD
    ]
    return min(len(required), most)
