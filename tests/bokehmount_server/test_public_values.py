"""Callbacks, events and login providers, made by hand as the seeds and today's Bokeh do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Slider
from tornado.web import RequestHandler

from bokehmount_server import callbacks, events
from bokehmount_server.auth_provider import AuthModule, AuthProvider, NullAuth


def nothing() -> None:
    """Do nothing."""


def test_callbacks_take_the_constructors_of_the_seeds_and_of_today() -> None:
    doc = Document()
    for made in (
        callbacks.NextTickCallback(doc, nothing, "x"),
        callbacks.NextTickCallback(doc, nothing, id="x"),
        callbacks.NextTickCallback(document=doc, callback=nothing, id="x"),
        callbacks.NextTickCallback(nothing, callback_id="x"),
        callbacks.SessionCallback(doc, nothing, id="x"),
    ):
        assert (made.callback, made.id) == (nothing, "x")
    for periodic in (
        callbacks.PeriodicCallback(doc, nothing, 10, id="x"),
        callbacks.PeriodicCallback(nothing, 10, callback_id="x"),
        callbacks.PeriodicCallback(nothing, period=10, callback_id="x"),
    ):
        assert (periodic.callback, periodic.period, periodic.id) == (nothing, 10, "x")
    for timeout in (callbacks.TimeoutCallback(doc, nothing, 5), callbacks.TimeoutCallback(nothing, timeout=5)):
        assert (timeout.callback, timeout.timeout) == (nothing, 5)
        assert timeout.id


def test_what_a_document_makes_is_one_of_these_callbacks() -> None:
    doc = Document()
    tick = doc.add_next_tick_callback(nothing)
    assert isinstance(tick, callbacks.NextTickCallback)
    assert isinstance(tick, callbacks.SessionCallback)
    assert not isinstance(tick, callbacks.TimeoutCallback)


@pytest.mark.parametrize("args", [(), (5,), (Document(),)])
def test_a_callback_without_a_function_is_refused(args: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        callbacks.NextTickCallback(*args)


def test_a_callback_that_lacks_a_number_or_has_too_much_is_refused() -> None:
    with pytest.raises(TypeError, match="needs a period"):
        callbacks.PeriodicCallback(nothing)
    with pytest.raises(TypeError, match="does not take"):
        callbacks.TimeoutCallback(Document(), nothing, 5, "x", 6)
    with pytest.raises(TypeError, match="does not take"):
        callbacks.NextTickCallback(nothing, period=5)
    with pytest.raises(TypeError, match="needs a function, not 5"):
        callbacks.SessionCallback(Document(), callback=5)


def test_events_take_the_constructors_of_the_seeds_and_of_today() -> None:
    doc, source, slider = Document(), ColumnDataSource(), Slider(value=1)
    doc.add_root(slider)
    doc.add_root(source)
    data = {"x": [1]}
    for streamed in (
        events.ColumnsStreamedEvent(doc, source, data, 5),
        events.ColumnsStreamedEvent(doc, column_source=source, data=data, rollover=5),
        events.ColumnsStreamedEvent(doc, source, "data", data, 5),
    ):
        assert (streamed.model, streamed.attr, streamed.data, streamed.rollover) == (source, "data", data, 5)
    for patched in (
        events.ColumnsPatchedEvent(doc, source, {"x": []}),
        events.ColumnsPatchedEvent(doc, source, "data", {"x": []}, setter=None),
    ):
        assert (patched.model, patched.patches) == (source, {"x": []})
    for changed in (
        events.ModelChangedEvent(doc, slider, "value", 1, 2, 2),
        events.ModelChangedEvent(doc, slider, "value", 1, 2, 2, None, "me"),
        events.ModelChangedEvent(doc, slider, "value", old=1, new=2, serializable_new=2, hint=None),
        events.ModelChangedEvent(doc, slider, "value", 2),
        events.ModelChangedEvent(doc, slider, "value", new=2, setter=None),
    ):
        assert (changed.model, changed.attr, changed.new) == (slider, "value", 2)
    mine = events.ModelChangedEvent(doc, slider, "value", 1, 2, 2, None, "me")
    assert mine.setter == "me"  # type: ignore[comparison-overlap]  # it may be any object
    assert events.RootAddedEvent(doc, slider).model is slider
    assert events.RootRemovedEvent(doc, slider).model is slider
    assert events.TitleChangedEvent(doc, "t").title == "t"
    tick = callbacks.NextTickCallback(nothing)
    assert events.SessionCallbackAdded(doc, tick).callback is tick
    assert events.SessionCallbackRemoved(doc, tick).callback is tick


def test_what_a_document_tells_is_one_of_these_events() -> None:
    doc, seen = Document(), list[object]()
    doc.on_change(seen.append)
    slider = Slider(value=1)
    doc.add_root(slider)
    slider.value = 2
    doc.title = "t"
    kinds = [events.RootAddedEvent, events.ModelChangedEvent, events.TitleChangedEvent]
    assert [isinstance(event, kind) for event, kind in zip(seen, kinds, strict=True)] == [True, True, True]
    assert all(isinstance(event, events.DocumentPatchedEvent) for event in seen)

    class Mine(events.ModelChangedEvent):
        pass

    class Others(callbacks.NextTickCallback):
        pass

    class Yours(callbacks.NextTickCallback):
        pass

    assert not any(isinstance(event, Mine) for event in seen), "what is below one of these is a class like any other"
    assert isinstance(Yours(nothing), Yours) and not isinstance(Others(nothing), Yours)


def test_nobody_is_asked_to_log_in_by_default() -> None:
    auth = NullAuth()
    assert auth.endpoints == []
    assert not auth.knows_users
    logins = (auth.get_user, auth.get_user_async, auth.login_url, auth.get_login_url, auth.login_handler)
    assert all(value is None for value in (*logins, auth.logout_url, auth.logout_handler))


def provider(**values: Any) -> type[AuthProvider]:
    return type("Provider", (AuthProvider,), values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"get_user": nothing, "get_user_async": nothing, "login_url": "/l"}, "not both"),
        ({"get_user": nothing}, "login_url or get_login_url"),
        ({"get_user": nothing, "login_url": "/l", "get_login_url": nothing}, "not both"),
        ({"login_handler": RequestHandler}, "login_handler needs"),
        ({"login_handler": int, "login_url": "/l"}, "login_handler must be a class"),
        ({"logout_handler": int, "logout_url": "/l"}, "logout_handler must be a class"),
        ({"login_url": "https://elsewhere.example/l"}, "login_url must be a path"),
        ({"logout_url": "//elsewhere.example/l"}, "logout_url must be a path"),
    ],
)
def test_a_provider_that_contradicts_itself_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        provider(**values)()


def test_a_login_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "auth.py"
    file.write_text("def get_user(handler): return 'ali'\nlogin_url = '/in'\n")
    auth = AuthModule(file)
    assert auth.get_user is not None
    assert auth.get_user(None) == "ali"
    assert (auth.login_url, auth.logout_url, auth.endpoints, auth.knows_users) == ("/in", None, [], True)
    with pytest.raises(ValueError, match="nowhere"):
        AuthModule(tmp_path / "nowhere.py")
