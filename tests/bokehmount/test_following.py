"""A new view computes where its ranges begin and end, unless the user has chosen it."""

from __future__ import annotations

import json
from typing import Any

from bokeh.document import Document
from bokeh.models import DataRange1d, Range1d
from bokeh.plotting import figure

from bokehmount import documents
from bokehmount.following import FollowingRanges
from bokehmount.wire import dumps

from ..kinds import the


def ends(document: Document) -> dict[str, dict[str, Any]]:
    """What of each range is in the Document's JSON."""
    found: dict[str, dict[str, Any]] = {}

    def look(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("name") in ("DataRange1d", "Range1d"):
                found[part["id"]] = part.get("attributes", {})
            for value in part.values():
                look(value)
        elif isinstance(part, list):
            for value in part:
                look(value)

    look(json.loads(dumps(documents.to_json(document))))
    return found


def test_ends_that_a_browser_computed_are_left_out_and_those_that_were_chosen_are_not() -> None:
    document, plot = Document(), figure(x_range=Range1d(start=1, end=2))
    x, y = the(Range1d, plot.x_range), the(DataRange1d, plot.y_range)
    y.end = 9
    document.add_root(plot)
    ranges = FollowingRanges(document)
    keys = [(model.id, attr) for model in (x, y) for attr in ("start", "end")]
    ranges.told([*keys, ("nobody", "start"), (y.id, "follow")])
    y.start, y.end, x.start = -5, 6, 0
    ranges.told(keys)
    with ranges.left_out():
        assert ends(document) == {y.id: {"end": 6}, x.id: {"start": 0, "end": 2}}
    assert ends(document)[y.id] == {"start": -5, "end": 6}, "Python still knows them"

    ranges.chosen((y.id, "start"))
    ranges.chosen(None)
    with ranges.left_out():
        assert ends(document)[y.id] == {"start": -5, "end": 6}


def test_other_models_of_the_same_ids_are_another_matter() -> None:
    document, plot = Document(), figure()
    document.add_root(plot)
    ranges = FollowingRanges(document)
    ranges.told([(plot.y_range.id, "start")])
    the(DataRange1d, plot.y_range).start = 3
    ranges.forget()
    with ranges.left_out():
        assert ends(document)[plot.y_range.id] == {"start": 3}


def test_a_range_that_left_the_document_is_no_trouble() -> None:
    document, plot = Document(), figure()
    document.add_root(plot)
    ranges = FollowingRanges(document)
    ranges.told([(plot.y_range.id, "start")])
    the(DataRange1d, plot.y_range).start = 3
    document.clear()
    with ranges.left_out():
        assert the(DataRange1d, plot.y_range).start == 3
