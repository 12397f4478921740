"""One Document, several browsers: what each hears, and that all agree in the end."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import bokeh
import pytest
from bokeh.core.properties import Int
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.events import ButtonClick, ConnectionLost, DocumentReady, Event
from bokeh.io import curdoc
from bokeh.io.doc import _PATCHED_CURDOCS
from bokeh.layouts import column
from bokeh.model import DataModel
from bokeh.models import Column, ColumnDataSource
from bokeh.models.widgets import Button, Div, Slider
from bokeh.util.token import get_session_id
from hypothesis import given, settings
from hypothesis import strategies as st

from bokehmount import __version__, settling, wire
from bokehmount.errors import CloseCode, ProtocolError
from bokehmount.frames import SentFrames
from bokehmount.outbox import Outbox
from bokehmount.session import ServerSession
from bokehmount.wire import Message, MessageType

from ..kinds import the
from .doubles import SETTLED, Browser, Remembering, Wire, patch_of, state, turns, until


class Rig:
    """A session with a slider, a text, a column source and a box of children."""

    def __init__(self, **more: Any) -> None:
        self.document = Document()
        self.slider = Slider(start=0, end=100, value=0, name="slider")
        self.div = Div(text="", name="div")
        self.button = Button(label="b", name="button")
        self.source = ColumnDataSource(data={"x": [0.0]}, name="source")
        self.box = Column(children=[self.slider, self.div, self.button], name="box", tags=[self.source])
        self.document.add_root(self.box)
        self.stage = Remembering()
        self.session = ServerSession(ID("s1"), self.document, stage=self.stage, **more)

    def browser(self, outlet: Wire | None = None) -> Browser:
        browser = Browser(self.session, outlet)
        browser.pull()
        return browser


Test = Callable[[Rig], Coroutine[Any, Any, None]]


def lived(test: Test) -> Callable[[], None]:
    """Run a test with a session, and end that."""

    def run() -> None:
        async def main() -> None:
            rig = Rig()
            try:
                await test(rig)
            finally:
                rig.session.destroy()
                await turns()

        asyncio.run(main())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def value_of(browser: Browser, name: str = "slider", attr: str = "value") -> Any:
    return getattr(browser.document.get_model_by_name(name), attr)


# Questions ------------------------------------------------------------------------------------------------------------


@lived
async def test_a_browser_pulls_the_whole_document(rig: Rig) -> None:
    browser = rig.browser()
    assert state(browser.document) == state(rig.document)
    assert browser.answers == ["PULL-DOC-REPLY"]


@lived
async def test_a_later_browser_pulls_what_is_there_by_then(rig: Rig) -> None:
    rig.browser()
    rig.slider.value = 7
    rig.box.children = [rig.div, Slider(start=0, end=1, value=0)]
    assert state(rig.browser().document) == state(rig.document)


@lived
async def test_rows_that_are_held_back_come_once_to_whom_and_whenever(rig: Rig) -> None:
    before = rig.browser()
    rig.document.hold("collect")
    rig.source.stream({"x": [1.0]})
    during = rig.browser()
    assert value_of(during, "source", "data")["x"] == [0.0, 1.0]
    rig.source.stream({"x": [2.0]})
    await turns()
    assert value_of(during, "source", "data")["x"] == [0.0, 1.0], "it is still held back"
    rig.document.unhold()
    await turns()
    for browser in (before, during):
        browser.outlet.pass_on()
        assert list(value_of(browser, "source", "data")["x"]) == [0.0, 1.0, 2.0]


@lived
async def test_who_has_pulled_nothing_hears_of_no_change(rig: Rig) -> None:
    silent = Browser(rig.session)
    rig.browser()
    rig.slider.value = 7
    await turns()
    assert silent.outlet.calls == []
    silent.pull()
    assert value_of(silent) == 7


@lived
async def test_versions_are_told(rig: Rig) -> None:
    browser = Browser(rig.session)
    request = wire.server_info()
    browser.send(request)
    browser.outlet.pass_on()
    (answer,) = browser.heard
    assert answer.content == {"version_info": {"bokeh": bokeh.__version__, "server": __version__}}
    assert answer.reqid == request.msgid


@lived
async def test_what_only_a_server_sends_is_refused_of_a_client(rig: Rig) -> None:
    browser = Browser(rig.session)
    for message in (wire.ack(), wire.pull_doc_reply(wire.pull_doc(), {}), wire.server_info_reply(wire.ack(), "", "")):
        with pytest.raises(ProtocolError, match="a client does not send") as refused:
            browser.send(message)
        assert refused.value.close_code is CloseCode.PROTOCOL
    browser.send(wire.ok(wire.ack()))
    browser.send(wire.error(wire.ack(), "text"))
    assert browser.outlet.calls == []


# Changes of a browser -------------------------------------------------------------------------------------------------


@lived
async def test_a_browsers_change_is_made_and_confirmed_and_passed_on(rig: Rig) -> None:
    sender, other = rig.browser(), rig.browser()
    message = sender.change("slider", "value", 5)
    assert rig.slider.value == 5
    sender.outlet.pass_on()
    other.outlet.pass_on()
    assert sender.answers == ["PULL-DOC-REPLY", "OK"], "it is not told of its own change"
    assert sender.heard[-1].reqid == message.msgid
    assert value_of(other) == 5


@lived
async def test_the_answer_and_what_the_change_caused_leave_together(rig: Rig) -> None:
    rig.slider.on_change("value", lambda attr, old, new: rig.div.update(text=f"at {new}"))
    sender = rig.browser()
    sender.outlet.calls.clear()
    sender.change("slider", "value", 5)
    assert sender.outlet.calls == [([sender], ["OK", "PATCH-DOC"])]
    sender.outlet.pass_on()
    assert value_of(sender, "div", "text") == "at 5"


@lived
async def test_a_value_that_python_corrects_reaches_its_sender(rig: Rig) -> None:
    def at_most_50(attr: str, old: Any, new: Any) -> None:
        rig.slider.value = min(new, 50)

    rig.slider.on_change("value", at_most_50)
    sender, other = rig.browser(), rig.browser()
    sender.change("slider", "value", 80)
    for browser in (sender, other):
        browser.outlet.pass_on()
        assert value_of(browser) == 50


@lived
async def test_one_outlet_carries_one_message_for_all_its_browsers(rig: Rig) -> None:
    outlet = Wire()
    browsers = [rig.browser(outlet) for _ in range(3)]
    outlet.calls.clear()
    rig.slider.value = 9
    await turns()
    ((connections, types),) = outlet.calls
    assert set(connections) == set(browsers) and types == ["PATCH-DOC"]


@lived
async def test_two_outlets_are_each_told_once(rig: Rig) -> None:
    first, second = rig.browser(), rig.browser()
    for browser in (first, second):
        browser.outlet.calls.clear()
    rig.slider.value = 9
    await turns()
    assert (len(first.outlet.calls), len(second.outlet.calls)) == (1, 1)


@lived
async def test_a_model_that_a_browser_makes_is_shared(rig: Rig) -> None:
    sender, other = rig.browser(), rig.browser()
    box = the(Column, sender.document.get_model_by_name("box"))
    box.children = [*box.children, Div(text="made in a browser", name="new")]
    sender.say()
    for browser in (sender, other):
        browser.outlet.pass_on()
        assert state(browser.document) == state(rig.document)
    rig.document.get_model_by_name("new").text = "changed in Python"  # type: ignore[union-attr]
    await turns()
    for browser in (sender, other):
        browser.outlet.pass_on()
        assert value_of(browser, "new", "text") == "changed in Python"


@lived
async def test_a_click_reaches_python(rig: Rig) -> None:
    clicks: list[Any] = []
    rig.button.on_event(ButtonClick, lambda event: clicks.append((event.model, curdoc())))
    browser = rig.browser()
    click = {"type": "event", "name": "button_click", "values": {"type": "map", "entries": [["model", rig.button.ref]]}}
    event = {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": click}
    browser.send(Message(MessageType.PATCH_DOC, {"events": [event]}))
    browser.outlet.pass_on()
    assert clicks == [(rig.button, rig.document)] and browser.answers[-1] == "OK"


def patch(*events: Any) -> Message:
    return Message(MessageType.PATCH_DOC, {"events": list(events)})


def set_value(rig: Rig, new: Any, attr: str = "value") -> dict[str, Any]:
    return {"kind": "ModelChanged", "model": rig.slider.ref, "attr": attr, "new": new}


@lived
async def test_a_bad_value_is_refused_in_words_and_its_sender_gets_the_true_one(rig: Rig) -> None:
    rig.slider.value = 3
    sender = rig.browser()
    sender.document.get_model_by_name("slider").value = 99  # type: ignore[union-attr]
    sender.send(patch(set_value(rig, "ninety-nine")))
    sender.outlet.pass_on()
    answer = sender.heard[-1]
    assert answer.msgtype is MessageType.ERROR
    assert answer.content["text"].startswith("ValueError: failed to validate Slider")
    assert rig.slider.value == 3
    await until(lambda: sender.outlet.under_way, "the true value")
    sender.outlet.pass_on()
    assert value_of(sender) == 3


def looks_up(model: Any, value: int) -> bool:
    raise FileNotFoundError(2, "No such file", "/srv/limits.csv")


class Limited(DataModel):
    n = Int(default=1).asserts(looks_up, "n is over its limit")
    even = Int(default=0).asserts(lambda model, value: value % 2 == 0, "n is odd")


@lived
async def test_what_can_not_be_decoded_is_told_to_its_sender_and_not_the_app(rig: Rig) -> None:
    sender = rig.browser()
    for data in ("AAAA", "A"):  # no gzip, no base64: the standard library raises
        new = {"type": "bytes", "data": data}
        sender.send(patch({"kind": "ModelChanged", "model": rig.slider.ref, "attr": "tags", "new": [new]}))
    sender.outlet.pass_on()
    assert sender.answers[-2:] == ["ERROR", "ERROR"] and rig.stage.errors == []
    assert all("the app" not in message.content["text"] for message in sender.heard[-2:])


@lived
async def test_what_an_apps_own_check_raises_is_for_the_app_and_not_for_whoever_sent_the_value(rig: Rig) -> None:
    limited = Limited(name="limited")
    rig.document.add_root(limited)
    sender = rig.browser()
    for attr in ("n", "even"):
        sender.send(patch({"kind": "ModelChanged", "model": limited.ref, "attr": attr, "new": 3}))
    sender.outlet.pass_on()
    raised, refused = [message.content["text"] for message in sender.heard if message.msgtype is MessageType.ERROR]
    assert raised == "the app raised while it carried this out"
    assert refused == "ValueError: n is odd"
    ((error, where),) = rig.stage.errors
    assert "No such file" in error
    assert where == "code of the app's that PATCH-DOC ran"


@lived
async def test_one_bad_value_does_not_stop_the_others_of_a_patch(rig: Rig) -> None:
    sender = rig.browser()
    sender.send(patch(set_value(rig, 4), set_value(rig, "x"), set_value(rig, "title", "title")))
    sender.outlet.pass_on()
    assert sender.answers[-1] == "ERROR"
    assert (rig.slider.value, rig.slider.title) == (4, "title")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"events": None},
        {"events": {"type": "map"}},
        {"events": ["x"]},
        {"events": [{}]},
        {"events": [{"kind": "Nonsense"}]},
        {"events": [{"kind": "ModelChanged"}]},
        {"events": [{"kind": "ModelChanged", "model": {"id": "unknown"}, "attr": "value", "new": 1}]},
        {"events": [{"kind": "ModelChanged", "model": {"id": ["a"]}, "attr": "value", "new": 1}]},
        {"events": [{"kind": "RootAdded", "model": {"type": "object", "name": "NoSuchModel", "id": "x"}}]},
        {"events": [{"type": "nonsense"}]},
    ],
    ids=json.dumps,
)
def test_a_patch_that_makes_no_sense_is_answered_and_harms_nobody(content: Any) -> None:
    @lived
    async def test(rig: Rig) -> None:
        sender = rig.browser()
        before = state(rig.document)
        sender.send(Message(MessageType.PATCH_DOC, content))
        sender.outlet.pass_on()
        assert sender.answers[-1] == "ERROR" and sender.heard[-1].content["text"]
        assert state(rig.document) == before
        sender.change("slider", "value", 5)
        assert rig.slider.value == 5, "it goes on"

    test()


@lived
async def test_a_change_of_a_model_that_was_just_removed_is_dropped_in_silence(rig: Rig) -> None:
    sender = rig.browser()
    sender.document.get_model_by_name("div").text = "late"  # type: ignore[union-attr]
    rig.box.children = [rig.slider]
    sender.say()
    sender.outlet.pass_on()
    assert sender.answers == ["PULL-DOC-REPLY", "OK", "PATCH-DOC"]
    assert state(sender.document) == state(rig.document)


@lived
async def test_what_is_dropped_along_with_it_is_settled(rig: Rig) -> None:
    sender = rig.browser()
    sender.document.get_model_by_name("div").text = "late"  # type: ignore[union-attr]
    sender.document.get_model_by_name("slider").value = 7  # type: ignore[union-attr]
    rig.box.children = [rig.slider]
    sender.say()
    sender.outlet.pass_on()
    assert (rig.slider.value, value_of(sender)) == (0, 7), "one message is taken or dropped as a whole"
    await until(lambda: sender.outlet.under_way, "the settled value")
    sender.outlet.pass_on()
    assert state(sender.document) == state(rig.document)


# Pushes ---------------------------------------------------------------------------------------------------------------


@lived
async def test_a_pushed_document_is_everybodys(rig: Rig) -> None:
    pusher, other = Browser(rig.session), rig.browser()
    new = Document()
    new.title = "pushed"
    new.add_root(column(Slider(start=0, end=1, value=0.5, name="slider")))
    pusher.send(wire.push_doc(new.to_json()))
    for browser in (pusher, other):
        browser.outlet.pass_on()
    assert pusher.answers == ["OK"]
    assert state(other.document) == state(rig.document) == state(new)
    rig.document.get_model_by_name("slider").value = 0.25  # type: ignore[union-attr]
    await turns()
    pusher.outlet.pass_on()
    assert pusher.answers == ["OK", "PATCH-DOC"], "who pushed has the Document, and hears of its changes"


@lived
async def test_a_push_without_a_document_is_an_error(rig: Rig) -> None:
    pusher = Browser(rig.session)
    pusher.send(Message(MessageType.PUSH_DOC, {}))
    pusher.send(Message(MessageType.PUSH_DOC, {"doc": {"roots": 5}}))
    pusher.outlet.pass_on()
    assert pusher.answers == ["ERROR", "ERROR"]


# Both sides at once ---------------------------------------------------------------------------------------------------


@lived
async def test_a_browser_and_python_at_once_end_with_pythons_document(rig: Rig) -> None:
    browser = rig.browser()
    rig.slider.value = 5
    await turns()  # on its way to the browser
    browser.change("slider", "value", 9)
    browser.outlet.pass_on()
    assert value_of(browser) != rig.slider.value, "each has the other's value"
    await until(lambda: browser.outlet.under_way, "the settled value")
    browser.outlet.pass_on()
    assert value_of(browser) == rig.slider.value


@lived
async def test_a_browser_alone_is_not_corrected(rig: Rig) -> None:
    browser = rig.browser()
    for value in range(1, 6):
        browser.change("slider", "value", value)
    await asyncio.sleep(SETTLED)
    browser.outlet.pass_on()
    assert browser.answers == ["PULL-DOC-REPLY", *["OK"] * 5]


@lived
async def test_a_change_that_crosses_with_a_settled_value_is_settled_too(rig: Rig) -> None:
    browser = rig.browser()
    with browser.in_silence():
        browser.document.get_model_by_name("slider").title = "refused"  # type: ignore[union-attr]
    browser.send(patch(set_value(rig, {"type": "map"}, "title")))
    browser.outlet.pass_on()
    await until(lambda: browser.outlet.under_way, "the settled title")
    browser.change("slider", "title", "hers")
    browser.outlet.pass_on()
    assert value_of(browser, attr="title") != rig.slider.title, "each has the other's value"
    await until(lambda: browser.outlet.under_way, "the title that is settled again")
    browser.outlet.pass_on()
    assert value_of(browser, attr="title") == rig.slider.title == "hers"


side = st.integers(0, 1)
step = st.one_of(
    st.tuples(st.just("python"), st.integers(0, 3)),
    st.tuples(st.just("stream"), st.integers(0, 3)),
    st.tuples(st.just("locked"), st.integers(0, 3)),
    st.tuples(st.just("type"), side, st.integers(0, 3)),
    st.tuples(st.just("data"), side, st.integers(0, 3)),
    st.tuples(st.just("bad"), side, st.integers(0, 3)),
    st.tuples(st.just("say"), side),
    st.tuples(st.just("hear"), side),
    st.tuples(st.just("turn")),
)


@settings(max_examples=25)
@given(st.lists(step, max_size=15))
def test_however_changes_cross_all_agree_in_the_end(steps: list[tuple[Any, ...]]) -> None:
    async def main() -> None:
        rig = Rig()
        browsers = [rig.browser(), rig.browser()]
        for what in steps:
            match what:
                case ("python", value):
                    rig.slider.value = value
                case ("stream", value):
                    rig.source.stream({"x": [float(value)]})
                case ("locked", value):
                    await rig.session.with_document_locked(rig.slider.update, value=value, title=str(value))
                case ("type", who, value):
                    browsers[who].document.get_model_by_name("slider").value = value
                case ("data", who, value):
                    browsers[who].document.get_model_by_name("source").data = {"x": [float(value)]}
                case ("bad", who, value):
                    with browsers[who].in_silence():
                        browsers[who].document.get_model_by_name("slider").title = str(value)
                    browsers[who].send(patch(set_value(rig, {"type": "map"}, "title")))
                case ("say", who):
                    browsers[who].say()
                case ("hear", who):
                    browsers[who].outlet.pass_on()
                case ("turn",):
                    await turns(2)
        for browser in browsers:
            browser.say()
        await turns()
        for _ in range(3):  # what is settled may cross with what is under way
            await asyncio.sleep(0.02)
            for browser in browsers:
                browser.outlet.pass_on()
        for browser in browsers:
            assert state(browser.document) == state(rig.document)
        rig.session.destroy()

    with mock.patch.object(settling, "QUIET", 0.0):
        asyncio.run(main())


# The lock -------------------------------------------------------------------------------------------------------------


@lived
async def test_changes_under_the_lock_leave_together(rig: Rig) -> None:
    browser = rig.browser()
    browser.outlet.calls.clear()

    def work() -> str:
        rig.slider.value = 1
        rig.div.text = "one"
        rig.slider.value = 2
        assert browser.outlet.calls == [], "not before it is done"
        return "done"

    assert await rig.session.with_document_locked(work) == "done"
    assert browser.outlet.calls == [([browser], ["PATCH-DOC"])]
    browser.outlet.pass_on()
    assert [event["new"] for event in browser.heard[-1].content["events"]] == ["one", 2]


@lived
async def test_an_async_functions_changes_leave_as_they_come(rig: Rig) -> None:
    browser = rig.browser()

    async def work(first: int, *, second: int) -> int:
        rig.slider.value = first
        await until(lambda: browser.outlet.under_way, "the first change")
        browser.outlet.pass_on()
        assert value_of(browser) == first
        rig.slider.value = second
        return first + second

    assert await rig.session.with_document_locked(work, 1, second=2) == 3
    await turns()
    browser.outlet.pass_on()
    assert value_of(browser) == 2


@lived
async def test_nobody_else_works_on_the_document_meanwhile(rig: Rig) -> None:
    browser = rig.browser()
    release = asyncio.Event()
    holder = asyncio.create_task(rig.session.with_document_locked(release.wait))
    await turns()
    browser.change("slider", "value", 9)
    await turns()
    assert rig.slider.value == 0 and browser.answers == ["PULL-DOC-REPLY"]
    release.set()
    await holder
    await until(lambda: rig.slider.value == 9, "the patch")
    browser.outlet.pass_on()
    assert browser.answers[-1] == "OK"


@lived
async def test_messages_are_carried_out_in_the_order_in_which_they_came(rig: Rig) -> None:
    browser = rig.browser()
    release = asyncio.Event()
    holder = asyncio.create_task(rig.session.with_document_locked(release.wait))
    await turns()
    seen: list[int] = []
    rig.slider.on_change("value", lambda attr, old, new: seen.append(new))
    for value in (1, 2, 3):
        browser.change("slider", "value", value)
    browser.send(wire.server_info())
    release.set()
    await holder
    await until(lambda: len(browser.outlet.under_way) >= 4, "the answers")
    browser.outlet.pass_on()
    assert seen == [1, 2, 3]
    assert browser.answers[1:] == ["OK", "OK", "OK", "SERVER-INFO-REPLY"]


@lived
async def test_a_function_that_raises_frees_the_lock_and_its_changes_are_sent(rig: Rig) -> None:
    browser = rig.browser()

    def work() -> None:
        rig.slider.value = 5
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await rig.session.with_document_locked(work)
    browser.outlet.pass_on()
    assert value_of(browser) == 5
    assert await rig.session.with_document_locked(lambda: "free") == "free"
    assert not rig.session.expiration_blocked


@lived
async def test_a_callback_that_asks_a_cancelled_task_is_told_so_and_stops_nothing(rig: Rig) -> None:
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    rig.slider.on_change("value", lambda attr, old, new: cancelled.result())
    browser = rig.browser()
    browser.change("slider", "value", 7)
    beats: list[int] = []

    def beat() -> None:
        beats.append(1)
        cancelled.result()

    rig.document.add_periodic_callback(beat, 1)
    await until(lambda: len(beats) > 2, "the third beat")
    browser.outlet.pass_on()
    assert rig.slider.value == 7 and browser.answers[-1] == "OK"
    assert {error for error, _ in rig.stage.errors} == {"CancelledError()"}


@lived
async def test_an_async_function_that_raises_or_is_cancelled_frees_the_lock(rig: Rig) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await rig.session.with_document_locked(fails)
    long = asyncio.create_task(rig.session.with_document_locked(asyncio.sleep, 60))
    waiting = asyncio.create_task(rig.session.with_document_locked(lambda: None))
    await turns()
    waiting.cancel()
    long.cancel()
    await asyncio.gather(long, waiting, return_exceptions=True)
    assert await asyncio.wait_for(rig.session.with_document_locked(lambda: "free"), 1) == "free"
    assert rig.session.expiration_blocked_count == 0


# Edits in cells -------------------------------------------------------------------------------------------------------


def test_an_edit_outside_of_the_lock_is_sent_at_once_once() -> None:
    async def main() -> None:
        later: list[Callable[[], None]] = []
        rig = Rig(flush_later=later.append)
        browser = rig.browser()
        browser.outlet.calls.clear()
        rig.slider.value = 1
        rig.slider.value = 2
        assert len(later) == 1, "one call for all that waits"
        thread = threading.Thread(target=later.pop())  # as the control thread does while a cell runs
        thread.start()
        thread.join()
        assert browser.outlet.calls == [([browser], ["PATCH-DOC"])]
        rig.slider.value = 3
        assert len(later) == 1, "the next edit asks anew"
        later.pop()()
        browser.outlet.pass_on()
        assert value_of(browser) == 3
        rig.session.destroy()

    asyncio.run(main())


@lived
async def test_a_pull_between_two_edits_is_followed_only_by_the_later_one(rig: Rig) -> None:
    rig.browser()
    rig.source.stream({"x": [1.0]})
    late = Browser(rig.session)
    late.send(wire.pull_doc())
    rig.source.stream({"x": [2.0]})
    await turns()
    late.outlet.pass_on()
    assert late.document.get_model_by_name("source").data == {"x": [0.0, 1.0, 2.0]}  # type: ignore[union-attr]


def test_another_thread_never_waits_for_the_owner_that_sends() -> None:
    """The owner may wait for room on a link, which only that thread can make."""

    class Slow(Wire):
        def deliver(self, connections: Sequence[Browser], messages: Sequence[SentFrames]) -> None:
            super().deliver(connections, messages)
            if later:
                thread = threading.Thread(target=later.pop())
                thread.start()
                thread.join(5)
                waited.append(thread.is_alive())

    later: list[Callable[[], None]] = []
    waited: list[bool] = []

    async def main() -> None:
        rig = Rig(flush_later=later.append)
        browser = rig.browser(Slow())
        rig.slider.value = 1
        assert len(later) == 1
        rig.session.flush()
        assert waited == [False] and len(later) == 1, "it tries again"
        rig.slider.value = 2
        later.pop()()
        browser.outlet.pass_on()
        assert value_of(browser) == 2
        rig.session.destroy()

    asyncio.run(main())


def test_an_edit_waits_where_it_is_made_for_an_outlet_that_is_full() -> None:
    async def main() -> None:
        later: list[Callable[[], None]] = []
        rig = Rig(flush_later=later.append)
        browser = rig.browser()
        browser.outlet.is_full = True
        rig.slider.value = 1
        assert later == []
        browser.outlet.pass_on()
        assert value_of(browser) == 1
        rig.session.destroy()

    asyncio.run(main())


def test_an_interrupted_edit_silences_no_later_one() -> None:
    async def main() -> None:
        later: list[Callable[[], None]] = []

        def interrupted(flush: Callable[[], None]) -> None:
            if rig.slider.value == 1:
                raise KeyboardInterrupt
            later.append(flush)

        rig = Rig(flush_later=interrupted)
        browser = rig.browser()
        with pytest.raises(KeyboardInterrupt):
            rig.slider.value = 1
        rig.slider.value = 2
        later.pop()()
        browser.outlet.pass_on()
        assert value_of(browser) == 2
        rig.session.destroy()

    asyncio.run(main())


@lived
async def test_an_edit_of_another_thread_is_refused_with_advice_and_still_shown(rig: Rig) -> None:
    browser = rig.browser()
    raised: list[BaseException] = []

    def edit() -> None:
        with pytest.raises(RuntimeError):
            rig.document.add_root(Div(text="of the thread"))
        try:
            rig.slider.value = 5
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=edit, name="worker")
    thread.start()
    thread.join()
    (error,) = raised
    assert "'worker'" in str(error) and "add_next_tick_callback" in str(error)
    for what in ("the root", "the value"):  # which is sent when it is clear that nobody else changes it
        await until(lambda: browser.outlet.under_way, what)
        browser.outlet.pass_on()
    assert value_of(browser) == rig.slider.value == 5
    assert state(browser.document) == state(rig.document), "the root has come too"


@lived
async def test_another_thread_may_ask_for_a_callback_and_take_it_back(rig: Rig) -> None:
    browser = rig.browser()
    ran: list[str] = []

    def work() -> None:
        ran.append(threading.current_thread().name)
        rig.slider.value = 5

    def thread() -> None:
        rig.document.add_next_tick_callback(work)
        forgotten = rig.document.add_timeout_callback(lambda: ran.append("forgotten"), 20)
        rig.document.remove_timeout_callback(forgotten)

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    await until(lambda: ran, "the callback")
    await asyncio.sleep(0.05)
    browser.outlet.pass_on()
    assert ran == [threading.current_thread().name] and value_of(browser) == 5


@lived
async def test_a_held_document_sends_all_at_once_when_it_is_let_go(rig: Rig) -> None:
    browser = rig.browser()
    browser.outlet.calls.clear()
    rig.document.hold("combine")
    for value in range(1, 5):
        rig.slider.value = value
    rig.div.text = "held"
    await turns()
    assert browser.outlet.calls == []
    rig.document.unhold()
    await turns()
    assert browser.outlet.calls == [([browser], ["PATCH-DOC"])]
    browser.outlet.pass_on()
    assert state(browser.document) == state(rig.document)


@lived
async def test_an_error_of_a_callback_in_a_cells_own_edit_is_the_cells(rig: Rig) -> None:
    def fails(attr: str, old: Any, new: Any) -> None:
        raise ValueError("no")

    seen: list[int] = []
    rig.slider.on_change("value", fails, lambda attr, old, new: seen.append(new))
    browser = rig.browser()
    with pytest.raises(ValueError, match="no"):
        rig.slider.value = 5
    assert rig.stage.errors == [] and seen == [5]
    await turns()
    browser.outlet.pass_on()
    assert value_of(browser, "slider", "value") == 5, "the change is made, so views have it too"


@lived
async def test_an_error_of_a_callback_whose_change_was_held_is_the_cells_that_lets_go(rig: Rig) -> None:
    def fails(attr: str, old: Any, new: Any) -> None:
        raise ValueError(f"no {new}")

    rig.slider.on_change("value", fails)
    browser = rig.browser()
    rig.document.hold()
    rig.slider.value = 5
    rig.div.text = "held"
    with pytest.raises(ValueError, match="no 5"):
        rig.document.unhold()
    rig.document.unhold()
    await turns()
    browser.outlet.pass_on()
    assert state(browser.document) == state(rig.document), "and no change is lost"
    with pytest.raises(ValueError, match="no 6"):
        rig.slider.value = 6


@lived
async def test_a_callback_that_a_thread_adds_and_a_cell_removes_at_once_does_not_run(rig: Rig) -> None:
    ran: list[str] = []
    document = rig.document

    def add() -> tuple[Any, ...]:
        return (
            document.add_next_tick_callback(lambda: ran.append("next tick")),
            document.add_timeout_callback(lambda: ran.append("timeout"), 1),
            document.add_periodic_callback(lambda: ran.append("periodic"), 1),
            document.add_next_tick_callback(lambda: ran.append("kept")),
        )

    with ThreadPoolExecutor() as threads:
        next_tick, timeout, periodic, _ = threads.submit(add).result()
    document.remove_next_tick_callback(next_tick)
    document.remove_timeout_callback(timeout)
    document.remove_periodic_callback(periodic)
    await asyncio.sleep(0.05)
    assert ran == ["kept"]


@lived
async def test_a_change_that_is_interrupted_while_it_is_encoded_is_sent_when_the_cell_is_over(rig: Rig) -> None:
    browser = rig.browser()
    with mock.patch.object(Outbox, "add", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        rig.source.data = {"x": [1.0, 2.0]}
    await until(lambda: browser.outlet.under_way, "the value that stands")
    browser.outlet.pass_on()
    assert value_of(browser, "source", "data") == {"x": [1.0, 2.0]}


@lived
async def test_an_interrupt_while_one_outlet_takes_its_time_loses_nothing_for_the_others(rig: Rig) -> None:
    class Slow(Wire):
        def deliver(self, connections: Any, messages: Any) -> None:
            super().deliver(connections, messages)
            if self.is_full:
                raise KeyboardInterrupt

    outlets = [Slow(), Slow(), Slow()]
    browsers = [rig.browser(outlet) for outlet in outlets]
    for outlet in outlets:
        outlet.is_full = True
    with pytest.raises(KeyboardInterrupt):
        rig.slider.value = 5
    for browser in browsers:
        browser.outlet.pass_on()
        assert value_of(browser, "slider", "value") == 5


@lived
async def test_an_interrupt_of_a_callback_in_a_cells_own_edit_stops_the_others_and_loses_no_change(rig: Rig) -> None:
    def interrupted(attr: str, old: Any, new: Any) -> None:
        raise KeyboardInterrupt

    seen: list[int] = []
    rig.slider.on_change("value", interrupted, lambda attr, old, new: seen.append(new))
    browser = rig.browser()
    with pytest.raises(KeyboardInterrupt):
        rig.slider.value = 5
    assert seen == []
    await turns()
    browser.outlet.pass_on()
    assert value_of(browser, "slider", "value") == 5


@lived
async def test_an_async_callback_runs_for_a_cells_own_edit_too(rig: Rig) -> None:
    async def moved(attr: str, old: Any, new: Any) -> None:
        await asyncio.sleep(0)
        rig.div.text = f"at {new}"
        raise ValueError("later")

    rig.slider.on_change("value", moved)  # type: ignore[arg-type]  # it may be async
    rig.slider.value = 5
    await until(lambda: rig.stage.errors, "its error")
    assert rig.div.text == "at 5"


@lived
async def test_an_error_of_a_documents_own_callback_is_told_and_stops_no_other(rig: Rig) -> None:
    def fails(event: Event) -> None:
        raise ValueError("no")

    seen: list[Event] = []
    rig.document.on_event(DocumentReady, fails, seen.append)
    browser = rig.browser()
    ready = {"type": "event", "name": "document_ready", "values": {"type": "map"}}
    event = {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": ready}
    browser.send(Message(MessageType.PATCH_DOC, {"events": [event]}))
    ((error, where),) = rig.stage.errors
    assert error == "ValueError('no')" and "fails" in where and len(seen) == 1


# Callbacks ------------------------------------------------------------------------------------------------------------


@lived
async def test_a_callback_that_raises_stops_no_other_and_loses_no_change(rig: Rig) -> None:
    seen: list[int] = []

    def fails(attr: str, old: Any, new: Any) -> None:
        rig.div.text = "before it failed"
        raise ValueError("no")

    rig.slider.on_change("value", fails, lambda attr, old, new: seen.append(new))
    sender, other = rig.browser(), rig.browser()
    sender.change("slider", "value", 5)
    for browser in (sender, other):
        browser.outlet.pass_on()
        assert state(browser.document) == state(rig.document)
    assert seen == [5] and sender.answers[1] == "OK", "the value was taken"
    ((error, where),) = rig.stage.errors
    assert error == "ValueError('no')" and "fails" in where


@lived
async def test_an_async_change_callback_runs(rig: Rig) -> None:
    async def moved(attr: str, old: Any, new: Any) -> None:
        await asyncio.sleep(0)
        rig.div.text = f"at {new}"
        raise ValueError("later")

    rig.slider.on_change("value", moved)  # type: ignore[arg-type]  # it may be async
    browser = rig.browser()
    browser.change("slider", "value", 5)
    await until(lambda: rig.stage.errors, "its error")
    await turns()
    browser.outlet.pass_on()
    assert value_of(browser, "div", "text") == "at 5"


@lived
async def test_scheduled_callbacks_run_under_the_lock_on_the_stage(rig: Rig) -> None:
    browser = rig.browser()
    browser.outlet.calls.clear()
    before = rig.stage.entries

    def tick() -> None:
        rig.slider.value = 1
        rig.div.text = "ticked"

    rig.document.add_next_tick_callback(tick)
    await until(lambda: browser.outlet.calls, "the changes")
    assert browser.outlet.calls == [([browser], ["PATCH-DOC"])]
    assert rig.stage.entries > before


@lived
async def test_a_callback_without_a_lock_runs_while_somebody_holds_it(rig: Rig) -> None:
    from bokeh.document import without_document_lock

    release = asyncio.Event()
    holder = asyncio.create_task(rig.session.with_document_locked(release.wait))
    await turns()
    ran: list[str] = []

    @without_document_lock
    def free() -> None:
        ran.append("free")

    rig.document.add_next_tick_callback(lambda: ran.append("locked"))
    rig.document.add_next_tick_callback(free)
    await turns(10)
    assert ran == ["free"]
    release.set()
    await holder
    await until(lambda: ran == ["free", "locked"], "the other")


def curdocs() -> int:
    """How many Documents are ``curdoc()`` one within the other; since Bokeh 3.10 in a context."""
    patched: Any = _PATCHED_CURDOCS
    return len(patched if isinstance(patched, list) else patched.get())


class Panic(BaseException):
    """What libraries that are written in Rust raise is like this one."""


@pytest.mark.parametrize("error", [ValueError, Panic])
@pytest.mark.parametrize("kind", ["next tick", "timeout", "periodic", "async"])
def test_a_scheduled_callback_that_raises_is_told_and_stops_nothing(kind: str, error: type[BaseException]) -> None:
    @lived
    async def test(rig: Rig) -> None:
        def fails() -> None:
            raise error("no")

        async def fails_later() -> None:
            await asyncio.sleep(0)
            raise error("no")

        before = curdocs()
        match kind:
            case "next tick":
                rig.document.add_next_tick_callback(fails)
            case "timeout":
                rig.document.add_timeout_callback(fails, 5)
            case "periodic":
                rig.document.add_periodic_callback(fails, 5)
            case "async":
                rig.document.add_next_tick_callback(cast(Any, fails_later))  # it may be async
        await until(lambda: rig.stage.errors, "the error")
        if kind == "periodic":
            await until(lambda: len(rig.stage.errors) >= 2, "the next round")
        assert rig.stage.errors[0][0] == f"{error.__name__}('no')" and "fails" in rig.stage.errors[0][1]
        assert await asyncio.wait_for(rig.session.with_document_locked(lambda: 1), 1) == 1
        assert curdocs() == before, "cells have their curdoc() again"

    test()


def test_callbacks_that_the_app_added_while_it_was_built_run_too() -> None:
    async def main() -> None:
        document, ran = Document(), list[int]()
        document.add_next_tick_callback(lambda: ran.append(1))
        session = ServerSession(ID("s1"), document)
        await until(lambda: ran, "the callback")
        session.destroy()

    asyncio.run(main())


@lived
async def test_an_app_hears_that_a_connection_is_lost(rig: Rig) -> None:
    heard: list[Any] = []
    rig.document.on_event(ConnectionLost, lambda event: heard.append(event.event_name))
    browser = rig.browser()
    rig.session.unsubscribe(browser)
    rig.session.notify_connection_lost()
    await turns()
    assert heard == ["connection_lost"]


@lived
async def test_who_left_is_sent_nothing_more(rig: Rig) -> None:
    browser, other = rig.browser(), rig.browser()
    rig.session.unsubscribe(browser)
    browser.outlet.calls.clear()
    rig.slider.value = 5
    await turns()
    assert browser.outlet.calls == [] and other.outlet.under_way


# A session's end ------------------------------------------------------------------------------------------------------


def test_a_destroyed_session_does_nothing_any_more() -> None:
    async def main() -> None:
        rig = Rig()
        browser = rig.browser()
        ran: list[str] = []
        rig.document.add_periodic_callback(lambda: ran.append("periodic"), 1)
        rig.document.add_next_tick_callback(lambda: ran.append("tick"))
        rig.slider.value = 5
        rig.session.destroy()
        rig.session.destroy()
        browser.outlet.calls.clear()
        browser.send(wire.pull_doc())
        rig.session.notify_connection_lost()
        await asyncio.sleep(0.02)
        assert ran == [] and browser.outlet.calls == [] and rig.session.destroyed
        assert await rig.session.with_document_locked(lambda: ran.append("locked")) is None
        assert ran == []
        with pytest.raises(RuntimeError, match=r"s1.*destroyed"):
            _ = rig.session.document

    asyncio.run(main())


def test_who_waits_for_the_lock_of_a_session_that_ends_waits_no_longer() -> None:
    async def main() -> None:
        rig = Rig()
        release = asyncio.Event()
        holder = asyncio.create_task(rig.session.with_document_locked(release.wait))
        await turns()
        waiting = asyncio.create_task(rig.session.with_document_locked(lambda: "ran"))
        rig.browser_task = rig.document.add_next_tick_callback(lambda: None)  # type: ignore[attr-defined]
        await turns()
        rig.session.destroy()
        release.set()
        await holder
        assert await asyncio.wait_for(waiting, 1) is None

    asyncio.run(main())


def test_a_document_of_the_users_outlives_its_session() -> None:
    async def main() -> None:
        rig = Rig(owns_document=False)
        rig.browser()
        rig.session.destroy()
        rig.slider.value = 5
        assert rig.document.roots == [rig.box]
        again = ServerSession(ID("s2"), rig.document)
        browser = Browser(again)
        browser.pull()
        assert value_of(browser) == 5
        again.destroy()

    asyncio.run(main())


@lived
async def test_work_on_the_document_keeps_the_session(rig: Rig) -> None:
    assert not rig.session.expiration_blocked
    await rig.session.with_document_locked(lambda: rig.session.expiration_blocked or pytest.fail("not blocked"))
    rig.session.block_expiration()
    rig.session.block_expiration()
    rig.session.unblock_expiration()
    assert rig.session.expiration_blocked and rig.session.expiration_blocked_count == 1
    rig.session.unblock_expiration()
    with pytest.raises(RuntimeError, match="more often"):
        rig.session.unblock_expiration()


@lived
async def test_a_session_tells_of_itself(rig: Rig) -> None:
    browser = rig.browser()
    assert rig.session.id == "s1" and get_session_id(rig.session.token) == "s1"
    assert (rig.session.connection_count, rig.session.connections) == (1, (browser,))
    rig.session.unsubscribe(browser)
    assert rig.session.connection_count == 0
    assert 0 <= rig.session.milliseconds_since_last_unsubscribe < 5000
    assert not rig.session.expiration_requested
    rig.session.request_expiration()
    assert rig.session.expiration_requested


def test_a_session_needs_an_id_and_a_document() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="id"):
            ServerSession(ID(""), Document())
        with pytest.raises(ValueError, match="Document"):
            ServerSession(ID("s1"), None)  # type: ignore[arg-type]

    asyncio.run(main())


def test_a_tornado_loop_will_do_too() -> None:
    async def main() -> None:
        loop = SimpleNamespace(asyncio_loop=asyncio.get_running_loop())
        document, ran = Document(), list[int]()
        session = ServerSession(ID("s1"), document, io_loop=loop)  # type: ignore[arg-type]  # no more of it is used
        document.add_next_tick_callback(lambda: ran.append(1))
        await until(lambda: ran, "the callback")
        session.destroy()

    asyncio.run(main())


def test_the_doubles_speak_as_bokeh_does() -> None:
    """The browsers of these tests would agree with anything if they sent nothing."""
    document, events = Document(), list[Any]()
    slider = Slider(start=0, end=1, value=0)
    document.add_root(slider)
    document.on_change(events.append)
    slider.value = 1
    (event,) = patch_of(document, events).content["events"]
    assert event == {"kind": "ModelChanged", "model": {"id": slider.id}, "attr": "value", "new": 1}
