"""Runs each of a Document's callbacks by itself, so that one that raises stops no other.

Bokeh calls the callbacks of a changed property in one loop, *before* it tells the session of the change: the first that
raises stops the rest, and the change never reaches the browsers.  The Document's callback manager is asked to notify us
instead, and we call the callbacks one by one; what a guard lets pass is raised when the session has been told.
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
from .streaming import trust_columns

__all__ = ("guard_callbacks",)

Guard = Callable[..., None]


def guard_callbacks(document: Document, guard: Guard) -> Callable[[], None]:
    """Have the callbacks of this Document and its models called through a guard.

    Args:
        guard: called as ``guard(callback, *args)``; calls it and decides what becomes of an exception

    Returns:
        what undoes it
    """
    manager = document.callbacks
    for model in document.models:  # Bokeh does so only when a model joins its Document, not when a callback is added
        if model._event_callbacks:
            model._update_event_callbacks()
    notify_change, notify_event, unhold = manager.notify_change, manager.notify_event, manager.unhold
    held: list[BaseException] = []  # what is raised when a hold ends, as the callbacks are called only then
    event_callbacks = manager.event_callbacks_for_event_name

    def changed(
        model: Model, attr: str, old: Any, new: Any, hint: Any = None, setter: Any = None, callback_invoker: Any = None
    ) -> None:
        if attr == "subscribed_events":
            model._update_event_callbacks()
        if hint is not None:
            trust_columns(model, attr, new, hint)
        # `Model.trigger` makes the invoker from this very list; a model without callbacks needs none
        callbacks = tuple(model._callbacks.get(attr, ()))
        if not callbacks:
            with CurdocPutBack():
                notify_change(model, attr, old, new, hint, setter, None)
            return
        raised: list[BaseException] = [] if manager.hold_value is None else held
        invoker = partial(_each, guard, callbacks, (attr, old, new), raised)
        with CurdocPutBack():
            notify_change(model, attr, old, new, hint, setter, invoker)
        if raised is not held:
            _raise_first(raised)

    def happened(model: Model, event: ModelEvent, callback_invoker: Any) -> None:
        callbacks = tuple(model._event_callbacks.get(event.event_name, ())) if _is_about(event, model) else ()
        if not callbacks:
            return
        raised: list[BaseException] = []
        with CurdocPutBack():
            notify_event(model, event, partial(_each, guard, callbacks, (event,), raised))
        _raise_first(raised)

    def released() -> None:
        try:
            with CurdocPutBack():
                unhold()
        finally:
            raised, held[:] = held[:], []
        _raise_first(raised)

    def guarded(event_name: str) -> tuple[Callable[..., None], ...]:
        return tuple(partial(guard, callback) for callback in event_callbacks(event_name))

    ours = {
        "notify_change": changed,
        "notify_event": happened,
        "event_callbacks_for_event_name": guarded,
        "unhold": released,
    }
    vars(manager).update(ours)  # on this instance only

    def undo() -> None:
        for name in ours:
            vars(manager).pop(name, None)

    return undo


def _is_about(event: Event, model: Model) -> bool:
    subject = getattr(event, "model", None)
    return subject is not None and subject.id == model.id


def _each(
    guard: Guard, callbacks: tuple[Callable[..., Any], ...], args: tuple[Any, ...], raised: list[BaseException]
) -> None:
    for callback in callbacks:
        try:
            guard(callback, *args[: _arity(callback, len(args))])
        except Exception as error:
            raised.append(error)
        except BaseException as error:  # the user interrupts
            raised.insert(0, error)
            return


def _raise_first(raised: list[BaseException]) -> None:
    if raised:
        raise raised[0]


def _arity(callback: Callable[..., Any], most: int) -> int:
    """How many arguments an event callback wants: Bokeh allows ``f(event)`` and ``f()``."""
    if most > 1:
        return most
    required = [
        p for p in signature(callback).parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD
    ]
    return min(len(required), most)
