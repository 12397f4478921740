"""A callback that raises stops no other, and its change is not lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.events import ButtonClick, DocumentReady
from bokeh.models.widgets import Button, Slider

from bokehmount.guarding import guard_callbacks


class Rig:
    def __init__(self) -> None:
        self.document = Document()
        self.slider, self.button = Slider(start=0, end=9, value=0), Button(label="b")
        for root in (self.slider, self.button):
            self.document.add_root(root)
        self.errors: list[str] = []
        self.changes: list[Any] = []
        self.calls: list[Any] = []
        self.document.on_change(self.changes.append)
        self.undo = guard_callbacks(self.document, self.guard)

    def guard(self, callback: Callable[..., Any], *args: Any) -> None:
        try:
            callback(*args)
        except Exception as error:
            self.errors.append(str(error))

    def remembers(self, attr: str, old: Any, new: Any) -> None:
        self.calls.append((attr, old, new))

    def fails(self, attr: str, old: Any, new: Any) -> None:
        raise ValueError("no")


def test_the_other_callbacks_run_and_the_change_is_told() -> None:
    rig = Rig()
    rig.slider.on_change("value", rig.fails, rig.remembers)
    rig.slider.value = 3
    assert rig.errors == ["no"]
    assert rig.calls == [("value", 0, 3)]
    assert [(event.attr, event.new) for event in rig.changes] == [("value", 3)]


def test_a_change_without_callbacks_is_told() -> None:
    rig = Rig()
    rig.slider.value = 3
    assert [event.new for event in rig.changes] == [3]


def test_a_callback_that_removes_itself_is_no_trouble() -> None:
    rig = Rig()

    def once(attr: str, old: Any, new: Any) -> None:
        rig.slider.remove_on_change("value", once)
        rig.calls.append("once")

    rig.slider.on_change("value", once, rig.remembers)
    rig.slider.value = 1
    rig.slider.value = 2
    assert rig.calls == ["once", ("value", 0, 1), ("value", 1, 2)]


def test_a_callback_that_changes_another_model_is_followed_by_that_models_callbacks() -> None:
    rig = Rig()
    rig.slider.on_change("value", lambda attr, old, new: rig.button.update(label=str(new)))
    rig.button.on_change("label", rig.fails, rig.remembers)
    rig.slider.value = 4
    assert rig.calls == [("label", "b", "4")] and rig.errors == ["no"]
    assert {event.attr for event in rig.changes} == {"value", "label"}


@pytest.mark.parametrize(
    "callback",
    [
        lambda calls: lambda event: calls.append(event.event_name),
        lambda calls: lambda: calls.append("button_click"),
        lambda calls: lambda event=None: calls.append("button_click"),
        lambda calls: lambda event, more=1: calls.append(event.event_name),
    ],
    ids=["event", "nothing", "default", "event and default"],
)
def test_an_event_reaches_each_kind_of_callback(callback: Any) -> None:
    rig = Rig()

    def fails() -> None:
        raise ValueError("no")

    rig.button.on_event(ButtonClick, fails, callback(rig.calls))
    rig.document.callbacks.trigger_event(ButtonClick(rig.button))
    assert rig.errors == ["no"] and rig.calls == ["button_click"]


@pytest.mark.parametrize("guarded_first", [False, True], ids=["in the app", "later"])
def test_a_callback_that_was_added_after_its_model_hears_events(guarded_first: bool) -> None:
    """Stock Bokeh forgets it: a model tells its Document of its events only when it joins it."""
    document, button, calls = Document(), Button(label="b"), []
    document.add_root(button)
    if guarded_first:
        guard_callbacks(document, lambda callback, *args: callback(*args))
    button.on_click(lambda: calls.append("clicked"))
    if not guarded_first:
        guard_callbacks(document, lambda callback, *args: callback(*args))
    document.callbacks.trigger_event(ButtonClick(button))
    assert calls == ["clicked"]


def test_an_event_of_another_model_is_not_ours() -> None:
    rig = Rig()
    other = Button()
    rig.document.add_root(other)
    rig.button.on_event(ButtonClick, lambda: rig.calls.append("wrong"))
    other.on_event(ButtonClick, lambda: rig.calls.append("right"))
    rig.document.callbacks.trigger_event(ButtonClick(other))
    assert rig.calls == ["right"]


def test_an_event_of_the_document_runs_as_before() -> None:
    rig = Rig()
    rig.document.on_event(DocumentReady, lambda event: rig.calls.append("ready"))
    rig.document.callbacks.trigger_event(DocumentReady())
    assert rig.calls == ["ready"]


def test_current_document_is_that_of_the_callback() -> None:
    from bokeh.io import curdoc

    rig = Rig()
    rig.slider.on_change("value", lambda attr, old, new: rig.calls.append(curdoc()))
    rig.button.on_event(ButtonClick, lambda: rig.calls.append(curdoc()))
    rig.slider.value = 1
    rig.document.callbacks.trigger_event(ButtonClick(rig.button))
    assert rig.calls == [rig.document, rig.document]


def test_undone_it_is_as_before() -> None:
    rig = Rig()
    rig.slider.on_change("value", rig.fails)
    rig.undo()
    with pytest.raises(ValueError, match="no"):
        rig.slider.value = 1
    assert rig.errors == []
