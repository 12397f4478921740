"""Documents as the wire's JSON, and what a patch speaks of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.document.events import ModelChangedEvent, RootRemovedEvent, TitleChangedEvent
from bokeh.models import ColumnDataSource
from bokeh.models.annotations import Title
from bokeh.models.widgets import Slider
from bokeh.plotting import figure

from bokehmount import documents, wire
from bokehmount.errors import ProtocolError
from bokehmount.wire import Message, MessageType

from ..kinds import the
from .doubles import patch_of, state


def made() -> Document:
    document = Document()
    plot = figure(title="half \ud83d", width=300)
    y = np.array([1, 2, 3, 4, 5], dtype=np.int32)
    plot.line(np.arange(5.0), y)  # type: ignore[arg-type]  # declared for arrays of floats only
    document.add_root(plot)
    document.add_root(ColumnDataSource(data={"t": [1704067200000.0], "n": [np.float64("nan")], "s": ["ü"]}))
    document.title = "a <title>"
    return document


def test_a_whole_document_comes_back_as_it_was() -> None:
    document = made()
    message = wire.decode(wire.encode(wire.pull_doc_reply(wire.pull_doc(), documents.to_json(document))))
    assert message.buffers == ()
    assert state(Document.from_json(message.content["doc"])) == state(document)


def test_it_is_the_json_that_bokeh_makes_but_for_the_packing_of_arrays() -> None:
    document = Document()
    document.add_root(Slider(start=0, end=1, value=0.5))
    ours = wire.decode(wire.encode(wire.pull_doc_reply(wire.pull_doc(), documents.to_json(document)))).content["doc"]
    theirs = document.to_json(deferred=False)
    for part in (ours, theirs):
        part.pop("defs", None)  # of the classes that other tests made
    assert ours == theirs


def test_models_that_were_pulled_count_as_known() -> None:
    document = made()
    documents.to_json(document)
    assert document.models.synced_references == set(document.models)


def test_a_pushed_document_takes_the_place_of_the_old_one() -> None:
    document, new = Document(), made()
    document.add_root(Slider(start=0, end=1))
    expected = state(new)
    pushed = wire.decode(wire.encode(wire.push_doc(new.to_json())))
    documents.replace(document, pushed)
    assert state(document) == expected


def test_a_push_without_a_document_is_refused() -> None:
    with pytest.raises(ProtocolError, match="without a 'doc'"):
        documents.replace(Document(), Message(MessageType.PUSH_DOC, {}))


def test_all_objects_in_a_patch_are_found_however_deep() -> None:
    content = {
        "events": [
            {"model": {"id": "a"}, "new": [1, {"x": [[{"id": "b"}]]}, {"id": "c", "attributes": {"y": {"id": "d"}}}]}
        ]
    }
    assert {node["id"] for node in documents.nodes(content) if "id" in node} == {"a", "b", "c", "d"}


def test_a_deep_patch_is_no_trouble() -> None:
    deep: Any = {"id": "bottom"}
    for _ in range(5000):
        deep = [deep]
    assert list(documents.nodes({"events": deep}))[1:] == [{"id": "bottom"}]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"events": None},
        {"events": {}},
        {"events": [None, 5, "x", [], {}, {"kind": "ModelChanged"}]},
        {
            "events": [
                {"model": None, "attr": "x"},
                {"model": {"id": 5}, "attr": "x"},
                {"model": {"id": "a"}, "attr": 5},
            ]
        },
    ],
)
def test_a_malformed_patch_touches_nothing(content: Any) -> None:
    assert documents.touched(content) == []


def test_a_patch_says_which_properties_it_touches() -> None:
    document = made()
    source = the(ColumnDataSource, document.roots[1])
    events: list[Any] = []
    document.on_change(events.append)
    source.data = {"s": ["a"]}
    source.stream({"s": ["b"]})
    source.patch({"s": [(0, "c")]})
    the(figure, document.roots[0]).width = 400
    document.title = "other"
    touched = documents.touched(patch_of(document, events).content)
    assert touched == [(source.id, "data")] * 3 + [(document.roots[0].id, "width"), documents.TITLE]
    assert [documents.key_of(event) for event in events] == touched


def test_an_event_of_neither_a_property_nor_the_title_has_no_key() -> None:
    document = made()
    assert documents.key_of(RootRemovedEvent(document, document.roots[0])) is None
    assert documents.key_of(TitleChangedEvent(document, "x")) == documents.TITLE
    assert documents.key_of(ModelChangedEvent(document, document.roots[0], "width", 1)) == (
        document.roots[0].id,
        "width",
    )


def test_a_released_document_gives_its_models_back_but_not_those_that_another_one_has_by_now() -> None:
    first, second = Document(), Document()
    plot, slider = figure(title="of the user"), Slider()
    first.add_root(plot)
    first.add_root(slider)
    for model in plot.references():  # as Panel moves a figure on to the next Document that shows it
        model.document = None  # type: ignore[assignment]  # declared as read, set to None by Bokeh itself
    second.add_root(plot)
    documents.release(first)
    assert not first.roots and the(Title, plot.title).text == "of the user"
    assert slider.document is None and all(model.document is second for model in plot.references())
    third = Document()
    third.add_root(slider)
