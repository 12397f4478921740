"""What a browser is sent: in order, no more than needed, and always enough to have what the Document has."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pytest
from bokeh.core.serialization import SerializationError, Serializer
from bokeh.document import Document
from bokeh.document.events import DocumentPatchedEvent, MessageSentEvent
from bokeh.layouts import column
from bokeh.models import Column, ColumnDataSource
from bokeh.models.widgets import Div, Slider
from bokeh.plotting import figure
from bokeh.util.warnings import BokehUserWarning
from hypothesis import given, settings
from hypothesis import strategies as st

from bokehmount import wire
from bokehmount.frames import SentFrames
from bokehmount.outbox import Outbox

from ..kinds import the
from .doubles import arrived, state


class Rig:
    """A Document whose changes go to an outbox, and what the outbox gives."""

    def __init__(self, *roots: Any) -> None:
        self.document = Document()
        for root in roots:
            self.document.add_root(root)
        self.document.models.flush_synced()
        self.outbox = Outbox(self.document)
        self.exclude: Hashable | None = None
        self.document.on_change(self._changed)

    def _changed(self, event: Any) -> None:
        if isinstance(event, DocumentPatchedEvent):
            self.outbox.add(event, self.exclude)

    def message(self) -> wire.Message:
        patch = self.outbox.take()
        assert patch is not None and patch.everyone is not None
        return wire.decode(arrived(patch.everyone))

    def events(self) -> list[Any]:
        """What everyone is sent."""
        events: list[Any] = self.message().content["events"]
        return events


def events_of(frames: SentFrames | None) -> list[Any]:
    return wire.decode(arrived(frames)).content["events"] if frames is not None else []


def values(events: list[Any], attr: str) -> list[Any]:
    return [event["new"] for event in events if event.get("attr") == attr]


def source(**data: Any) -> ColumnDataSource:
    return ColumnDataSource(data=data or {"x": [0.0], "y": [0.0]}, name="source")


def streamed(event: Any) -> dict[str, Any]:
    assert event["kind"] == "ColumnsStreamed"
    return dict(event["data"]["entries"])


# What is sent ---------------------------------------------------------------------------------------------------------


def test_nothing_changed_means_nothing_to_send() -> None:
    rig = Rig(Slider(start=0, end=1, value=0))
    assert rig.outbox.take() is None


def test_changes_come_in_the_order_in_which_they_were_made() -> None:
    slider, div = Slider(start=0, end=9, value=0), Div(text="")
    rig = Rig(slider, div)
    slider.value, div.text, slider.title, rig.document.title = 3, "b", "c", "d"
    assert [event.get("new", event.get("title")) for event in rig.events()] == [3, "b", "c", "d"]
    assert rig.outbox.take() is None, "what was taken is not sent again"


def test_of_many_values_only_the_last_is_sent() -> None:
    slider = Slider(start=0, end=100, value=0)
    rig = Rig(slider)
    for value in range(1, 100):
        slider.value = value
        slider.title = f"at {value}"
    assert [event["new"] for event in rig.events()] == [99, "at 99"]


def test_a_value_that_was_sent_before_is_sent_again_when_it_changes() -> None:
    slider = Slider(start=0, end=9, value=0)
    rig = Rig(slider)
    slider.value = 1
    assert values(rig.events(), "value") == [1]
    slider.value = 2
    assert values(rig.events(), "value") == [2]


def test_an_array_travels_as_a_buffer_and_holds_what_it_held_when_it_was_set() -> None:
    data = source(x=np.arange(3.0))
    rig = Rig(data)
    fresh = np.arange(4.0)
    data.data = {"x": fresh}
    fresh[:] = -1
    message = rig.message()
    (buffer,) = message.buffers
    assert np.frombuffer(buffer.to_bytes(), "<f8").tolist() == [0, 1, 2, 3]


def test_a_dropped_event_takes_its_buffers_along() -> None:
    data = source(x=np.arange(3.0))
    rig = Rig(data)
    for start in range(5):
        data.data = {"x": np.arange(start, start + 3.0)}
    message = rig.message()
    assert len(message.content["events"]) == len(message.buffers) == 1
    assert np.frombuffer(message.buffers[0].to_bytes(), "<f8").tolist() == [4, 5, 6]


def test_a_value_that_cannot_be_sent_is_an_error_where_it_is_set() -> None:
    div = Div()
    rig = Rig(div)
    with pytest.raises(SerializationError):
        div.tags = [object()]
    assert rig.outbox.take() is None


# Streams --------------------------------------------------------------------------------------------------------------


def test_streams_of_one_source_join() -> None:
    data = source()
    rig = Rig(data)
    for step in range(50):
        data.stream({"x": [step], "y": [step / 2]})
    (event,) = rig.events()
    assert streamed(event) == {"x": list(range(50)), "y": [step / 2 for step in range(50)]}


def stream_and_patch(data: ColumnDataSource) -> None:
    data.stream({"x": [1], "y": [1]})
    data.patch({"x": [(0, 7.0)]})


def stream_and_set_a_column(data: ColumnDataSource) -> None:
    data.stream({"x": [1], "y": [1]})
    data.data.update({"x": [5, 5]})


STREAMS: dict[str, tuple[Callable[[ColumnDataSource], Any], Callable[[ColumnDataSource], Any], int]] = {
    "of the same rollover join": (
        lambda s: s.stream({"x": [1], "y": [1]}, 5),
        lambda s: s.stream({"x": [2], "y": [2]}, 5),
        1,
    ),
    "of other rollovers do not": (
        lambda s: s.stream({"x": [1], "y": [1]}, 5),
        lambda s: s.stream({"x": [2], "y": [2]}, 6),
        2,
    ),
    "of arrays do not": (
        lambda s: s.stream({"x": np.array([1.0]), "y": np.array([1.0])}),
        lambda s: s.stream({"x": np.array([2.0]), "y": np.array([2.0])}),
        2,
    ),
    "of lists and arrays do not": (
        lambda s: s.stream({"x": [1], "y": [1]}),
        lambda s: s.stream({"x": np.array([2.0]), "y": np.array([2.0])}),
        2,
    ),
    "with a patch between them do not": (
        stream_and_patch,
        lambda s: s.stream({"x": [2], "y": [2]}),
        3,
    ),
    "with a column between them do not": (
        stream_and_set_a_column,
        lambda s: s.stream({"x": [2], "y": [2]}),
        3,
    ),
    "with text and numbers that JSON lacks join": (
        lambda s: s.stream({"x": ["a"], "y": [float("nan")]}),
        lambda s: s.stream({"x": ["b"], "y": [2**60 / 1.0]}),
        1,
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_two_streams(name: str) -> None:
    first, second, count = STREAMS[name]
    data = source()
    rig = Rig(data)
    first(data)
    second(data)
    assert len(rig.events()) == count


def test_new_data_makes_what_was_streamed_before_it_needless() -> None:
    data = source()
    rig = Rig(data)
    data.stream({"x": [1], "y": [1]})
    data.data = {"x": [9], "y": [9]}
    data.stream({"x": [2], "y": [2]})
    kinds = [event["kind"] for event in rig.events()]
    assert kinds in (["ColumnDataChanged", "ColumnsStreamed"], ["ModelChanged", "ColumnsStreamed"])


def test_arrays_within_streams_that_join_all_travel() -> None:
    data = source(x=[np.zeros(2)])
    rig = Rig(data)
    for number in range(3):
        data.stream({"x": [np.full(2, float(number))]})
    browser = Document.from_json(rig.document.to_json())
    message = rig.message()
    assert len(message.content["events"]) == 1 and len(message.buffers) == 3
    the(ColumnDataSource, browser.roots[0]).data = {"x": [np.zeros(2)]}
    browser.apply_json_patch(message.payload)
    assert [list(xs) for xs in the(ColumnDataSource, browser.roots[0]).data["x"]] == [[0, 0], [0, 0], [1, 1], [2, 2]]


def test_what_the_user_streamed_is_left_as_it_was() -> None:
    data = source()
    Rig(data)
    mine: dict[str, Any] = {"x": [1], "y": [1]}
    data.stream(mine)
    data.stream({"x": [2], "y": [2]})
    assert mine == {"x": [1], "y": [1]}


# Models ---------------------------------------------------------------------------------------------------------------


def defined(event: Any) -> set[str]:
    """The ids of the models that an event defines."""
    found, todo = set(), [event]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            if node.get("type") == "object" and "id" in node:
                found.add(node["id"])
            todo += node.values()
        elif isinstance(node, list):
            todo += node
    return found


def test_a_new_model_is_defined_once_and_then_only_named() -> None:
    box, new = column(Div(text="old")), Div(text="new")
    rig = Rig(box)
    box.children = [*box.children, new]
    box.tags = [new]
    first, second = rig.events()
    assert defined(first) == {new.id}
    assert defined(second) == set() and second["new"] == [{"id": new.id}]
    box.children = [new]
    assert [defined(event) for event in rig.events()] == [set()]


def test_the_definition_of_a_model_is_sent_even_if_its_place_is_taken_again() -> None:
    box, new = column(Div(text="old")), Div(text="new")
    rig = Rig(box)
    box.children = [new]
    box.tags = [new]
    box.children = []
    events = rig.events()
    assert new.id in defined(events[0]), "else the browser does not know what tags speak of"
    assert [event["new"] for event in events if event["attr"] == "children"][-1] == []


def test_a_new_models_own_changes_come_after_its_definition() -> None:
    box, new = column(Div(text="old")), Div(text="first")
    rig = Rig(box)
    box.children = [new]
    new.text = "second"
    first, second = rig.events()
    assert defined(first) == {new.id} and second["model"] == {"id": new.id}


def test_a_message_to_the_browser_finds_the_values_that_were_set_before_it() -> None:
    slider = Slider(start=0, end=9, value=0)
    rig = Rig(slider)
    slider.value = 1
    rig.document.callbacks.trigger_on_change(MessageSentEvent(rig.document, "look", {"now": True}))
    slider.value = 2
    events = rig.events()
    assert [event.get("new", event["kind"]) for event in events] == [1, "MessageSent", 2]


def test_a_removed_and_an_added_root_are_told_in_order() -> None:
    first, second = Div(text="1"), Div(text="2")
    rig = Rig(first)
    rig.document.remove_root(first)
    rig.document.add_root(second)
    assert [event["kind"] for event in rig.events()] == ["RootRemoved", "RootAdded"]


# Who is sent what -----------------------------------------------------------------------------------------------------


def test_who_changed_something_is_not_told_of_it() -> None:
    slider, div = Slider(start=0, end=9, value=0), Div(text="")
    rig = Rig(slider, div)
    sender, other = object(), object()
    rig.exclude = sender
    slider.value = 5
    rig.exclude = None
    div.text = "five"
    patch = rig.outbox.take()
    assert patch is not None
    assert [event["new"] for event in events_of(patch.of(other))] == [5, "five"]
    assert [event["new"] for event in events_of(patch.of(sender))] == ["five"]
    assert patch.of(other) is patch.everyone, "it is encoded once for all"


def test_who_changed_all_of_it_is_told_nothing() -> None:
    slider = Slider(start=0, end=9, value=0)
    rig = Rig(slider)
    rig.exclude = sender = object()
    slider.value = 5
    patch = rig.outbox.take()
    assert patch is not None
    assert patch.of(sender) is None and patch.of(object()) is not None


def test_two_who_change_one_value_each_hear_what_they_lack() -> None:
    slider = Slider(start=0, end=9, value=0)
    rig = Rig(slider)
    first, second = object(), object()
    for rig.exclude, value in ((first, 1), (second, 2)):
        slider.value = value
    patch = rig.outbox.take()
    assert patch is not None
    assert values(events_of(patch.of(first)), "value") == [2]
    assert values(events_of(patch.of(object())), "value") == [2]
    assert values(events_of(patch.of(second)), "value") in ([], [1]), "never 2, which is its own"


def test_streams_of_two_senders_stay_apart() -> None:
    data = source()
    rig = Rig(data)
    first, second = object(), object()
    for rig.exclude, value in ((first, 1), (second, 2), (second, 3)):
        data.stream({"x": [value], "y": [value]})
    patch = rig.outbox.take()
    assert patch is not None
    told = {
        name: [streamed(event)["x"] for event in events_of(patch.of(who))]
        for name, who in (("first", first), ("second", second), ("other", object()))
    }
    assert told == {"first": [[2, 3]], "second": [[1]], "other": [[1], [2, 3]]}


def test_a_buffer_goes_only_to_those_who_are_sent_its_event() -> None:
    data = source(x=np.arange(3.0))
    rig = Rig(data)
    rig.exclude = sender = object()
    data.data = {"x": np.arange(4.0)}
    rig.exclude = None
    rig.document.title = "new"
    patch = rig.outbox.take()
    assert patch is not None
    everyone, instead = patch.of(object()), patch.of(sender)
    assert everyone is not None and instead is not None
    assert (len(wire.decode(arrived(everyone)).buffers), len(wire.decode(arrived(instead)).buffers)) == (1, 0)


def test_what_is_forgotten_is_not_sent() -> None:
    slider = Slider(start=0, end=9, value=0)
    rig = Rig(slider)
    slider.value = 1
    rig.outbox.clear()
    assert rig.outbox.take() is None
    slider.value = 2
    assert values(rig.events(), "value") == [2]


def test_another_thread_may_take_while_the_document_changes() -> None:
    slider, data = Slider(start=0, end=100_000, value=0), source()
    rig = Rig(slider, data)
    taken: list[Any] = []
    done = threading.Event()

    def take() -> None:
        while not done.is_set():
            patch = rig.outbox.take()
            if patch is not None:
                taken.append(patch.everyone)

    taker = threading.Thread(target=take)
    taker.start()
    try:
        for value in range(1, 400):
            slider.value = value
            data.stream({"x": [value], "y": [0]})
    finally:
        done.set()
        taker.join()
    rest = rig.outbox.take()
    events = [event for frames in [*taken, rest and rest.everyone] for event in events_of(frames)]
    assert values(events, "value")[-1] == 399
    xs = [x for event in events if event["kind"] == "ColumnsStreamed" for x in streamed(event)["x"]]
    assert xs == list(range(1, 400))


# Agreement with Bokeh -------------------------------------------------------------------------------------------------


def in_stock_bokeh(document: Document, event: DocumentPatchedEvent) -> Any:
    serializer = Serializer(references=document.models.synced_references)
    return serializer.encode(event)


def test_each_event_reads_as_in_bokehs_own_patch() -> None:
    plot = figure(name="plot")
    line = plot.line([1, 2], [3, 4])
    points = the(ColumnDataSource, line.data_source)
    box = column(plot, Slider(start=0, end=1, value=0))
    document = Document()
    document.add_root(box)
    document.models.flush_synced()
    outbox = Outbox(document)
    compared = []

    def changed(event: Any) -> None:
        theirs = json.loads(json.dumps(in_stock_bokeh(document, event)))
        outbox.add(event)
        patch = outbox.take()
        assert patch is not None
        (ours,) = events_of(patch.everyone)
        assert ours == theirs
        compared.append(ours["kind"])

    document.on_change(changed)
    other = figure()
    other.scatter([1], [2])
    box.children = [*box.children, other]
    box.children = [other, plot]
    points.data = {"x": [1], "y": [2]}
    points.stream({"x": [2], "y": [3]})
    points.patch({"x": [(0, 5)]})
    other.title = "new"
    plot.renderers = [*plot.renderers, *other.renderers]
    document.add_root(Div(text="x", tags=[line]))
    document.remove_root(document.roots[0])
    document.title = "t"
    assert len(compared) >= 10


number = st.integers(-5, 5).map(float)
stream = st.lists(number, min_size=1, max_size=3)
step = st.one_of(
    st.tuples(st.just("value"), st.integers(0, 3), number),
    st.tuples(st.just("text"), st.integers(0, 3), st.text(max_size=3)),
    st.tuples(st.just("tag"), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("stream"), stream, st.sampled_from([None, 4])),
    st.tuples(st.just("array"), stream, st.sampled_from([None, 4])),
    st.tuples(st.just("lines"), st.lists(stream, min_size=1, max_size=2), st.sampled_from([None, 4])),
    st.tuples(st.just("patch"), number),
    st.tuples(st.just("data"), stream),
    st.tuples(st.just("array data"), stream),
    st.tuples(st.just("more"), st.text(max_size=3)),
    st.tuples(st.just("less"), st.integers(0, 3)),
    st.tuples(st.just("turn")),
    st.tuples(st.just("root"), st.text(max_size=3)),
    st.tuples(st.just("no root"), st.integers(1, 3)),
    st.tuples(st.just("title"), st.text(max_size=3)),
    st.tuples(st.just("send")),
)


def perform(rig: Rig, box: Column, data: ColumnDataSource, what: tuple[Any, ...]) -> None:
    children: list[Any] = list(box.children)
    match what:
        case ("value", which, value) if children:
            children[which % len(children)].margin = int(value)
        case ("text", which, text) if children:
            children[which % len(children)].name = text
        case ("tag", which, whom) if children:
            children[which % len(children)].tags = [children[whom % len(children)].styles, box]
        case ("stream", xs, rollover):
            data.stream({"x": list(xs), "y": list(xs)}, rollover)
        case ("array", xs, rollover):
            data.stream({"x": np.array(xs), "y": np.array(xs)}, rollover)
        case ("lines", more, rollover):  # as MultiLine has them
            the(ColumnDataSource, data.tags[0]).stream({"xs": [np.array(xs) for xs in more]}, rollover)
        case ("patch", value) if len(data.data["x"]):
            data.patch({"x": [(0, value)], "y": [(slice(0, 1), [value])]})
        case ("data", xs):
            data.data = {"x": list(xs), "y": list(xs)}
        case ("array data", xs):
            data.data = {"x": np.array(xs), "y": np.array(xs)}
        case ("more", text):
            box.children = [*children, column(Div(text=text, tags=[data]))]
        case ("less", which) if children:
            del children[which % len(children)]
            box.children = children
        case ("turn",):
            box.children = children[::-1]
        case ("root", text):
            rig.document.add_root(column(Div(text=text)))
        case ("no root", which) if which < len(rig.document.roots):
            rig.document.remove_root(rig.document.roots[which])
        case ("title", text):
            rig.document.title = text


@settings(max_examples=80)
@given(st.lists(step, max_size=25))
def test_whatever_is_done_a_browser_ends_with_what_the_document_holds(steps: list[tuple[Any, ...]]) -> None:
    data = source(x=[0.0], y=[0.0])
    data.tags = [source(xs=[])]
    box = column(Div(text="1"), Slider(start=0, end=1, value=0), tags=[data])
    rig = Rig(box)
    browser = Document.from_json(rig.document.to_json())
    browser.models.flush_synced()

    def send() -> None:
        patch = rig.outbox.take()
        if patch is not None and patch.everyone is not None:
            browser.apply_json_patch(wire.decode(arrived(patch.everyone)).payload)

    with warnings.catch_warnings():
        # a model that left and came back in one patch is defined again; BokehJS takes that as an update
        warnings.filterwarnings("ignore", "reference already known", BokehUserWarning)
        for what in steps:
            if what == ("send",):
                send()
            else:
                perform(rig, box, data, what)
        send()
    assert state(browser) == state(rig.document)
