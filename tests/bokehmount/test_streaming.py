"""A source that is streamed to and patched our way does what it does by Bokeh's own, and tells the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
from bokeh.core.properties import Any as AnyValue
from bokeh.core.properties import ColumnData, Seq, String
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from hypothesis import given
from hypothesis import strategies as st

from bokehmount.guarding import guard_callbacks
from bokehmount.streaming import _Trusted

Step = Callable[[ColumnDataSource], object]


def plain(value: Any) -> Any:
    """With the type of each column, and without what can't be compared."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return type(value).__name__, repr(value)


class Told:
    """All that a source lets others know of while steps are taken."""

    def __init__(self, columns: dict[str, Any], *, in_session: bool) -> None:
        self.log: list[Any] = []
        self.source = ColumnDataSource(columns)
        document = Document()
        document.add_root(self.source)
        document.on_change(self.changed)
        self.source.on_change("data", lambda attr, old, new: self.log.append((attr, plain(old), plain(new))))
        if in_session:
            guard_callbacks(document, lambda callback, *args: callback(*args))

    def changed(self, event: Any) -> None:
        what = {name: plain(getattr(event, name, None)) for name in ("data", "cols", "rollover", "patches", "new")}
        self.log.append((event.kind, what))

    def take(self, step: Step) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                step(self.source)
            except Exception as error:
                self.log.append((type(error), str(error).replace(self.source.id, "id")))
        self.log.extend(str(warning.message) for warning in caught)
        self.log.append(plain(self.source.data))


def told(columns: dict[str, Any], steps: Sequence[Step], *, in_session: bool) -> list[Any]:
    side = Told(deepcopy(columns), in_session=in_session)
    for step in steps:
        side.take(step)
    return side.log


def stream(rows: Any, rollover: int | None = None) -> Step:
    def step(source: ColumnDataSource) -> None:
        source.stream(deepcopy(rows), rollover)

    return step


def assign(source: ColumnDataSource) -> None:
    source.data = {"x": [1, 2], "y": [3, 4]}


def set_column(source: ColumnDataSource) -> None:
    source.data["x"] = list(range(len(source.data["x"])))


def lengthen_unseen(source: ColumnDataSource) -> None:
    column = source.data["x"]
    if isinstance(column, list):
        column.append(0)


def patch(*changes: tuple[Any, Any]) -> Step:
    def step(source: ColumnDataSource) -> None:
        source.patch({"x": list(changes)})

    return step


def spoil(source: ColumnDataSource) -> None:
    """What Bokeh refuses, and keeps all the same."""
    source.data["y"] = "text"


ROWS: list[Any] = [
    {"x": [1], "y": [2]},
    {"x": [1.5, "a"], "y": [None, float("nan")]},
    {"x": (1, 2), "y": (3, 4)},
    {"x": np.array([1.0]), "y": np.array([2.0])},
    {"x": np.array([1]), "y": [2]},
    {"x": np.array(["2026-01-01"], dtype="M8[s]"), "y": [2]},
    {"x": [], "y": []},
    {"x": pd.Series([1]), "y": pd.Series([2])},
    pd.DataFrame({"x": [1, 2], "y": [3, 4]}),
    # what Bokeh refuses
    {"x": "ab", "y": "cd"},
    {"x": range(2), "y": {1, 2}},
    {"x": [1]},
    {"x": [1], "y": [2], "z": [3]},
    {"x": [1], "y": [2, 3]},
    {"x": np.zeros((2, 2)), "y": [1, 2]},
]

STEPS = st.one_of(
    st.builds(stream, st.sampled_from(ROWS), st.sampled_from([None, None, 0, 1, 3])),
    st.sampled_from([assign, set_column, lengthen_unseen, spoil]),
    st.sampled_from([patch((0, 7)), patch((0, 7), (1, 8)), patch((slice(0, 1), [1, 2, 3])), patch((99, 1)), patch()]),
)
COLUMNS: list[dict[str, Any]] = [
    {},
    {"x": [], "y": []},
    {"x": [1, 2], "y": [3, 4]},
    {"x": np.arange(2.0), "y": np.arange(2.0)},
    {"x": [1, 2], "y": np.arange(2.0)},
]


@given(st.sampled_from(COLUMNS), st.lists(STEPS, max_size=8))
def test_it_is_as_with_bokeh(columns: dict[str, Any], steps: list[Step]) -> None:
    assert told(columns, steps, in_session=True) == told(columns, steps, in_session=False)


@pytest.mark.parametrize("rows", ROWS, ids=repr)
@pytest.mark.parametrize("columns", COLUMNS[1:], ids=repr)
def test_each_kind_of_rows_after_a_first_stream(columns: dict[str, Any], rows: Any) -> None:
    steps = [stream({"x": [5], "y": [6]}), stream(rows), stream(rows, 3), lengthen_unseen, stream(rows)]
    assert told(columns, steps, in_session=True) == told(columns, steps, in_session=False)


@pytest.mark.parametrize("columns", COLUMNS[1:], ids=repr)
def test_a_new_view_is_sent_them_as_ever(columns: dict[str, Any]) -> None:
    sent = []
    for in_session in (True, False):
        side = Told(deepcopy(columns), in_session=in_session)
        for _ in range(2):
            side.take(stream({"x": [5], "y": [6]}))
        assert side.source.document is not None
        whole = Document.from_json(side.source.document.to_json())
        sent.append(plain(whole.roots[0].data))  # type: ignore[attr-defined]
    assert sent[0] == sent[1]


def test_held_changes_come_when_they_are_let_go() -> None:
    both = [Told({"x": [], "y": []}, in_session=in_session) for in_session in (True, False)]
    for side in both:
        document = side.source.document
        assert document is not None
        side.take(stream({"x": [1], "y": [1]}))
        document.hold("combine")
        side.take(stream({"x": [2], "y": [2]}))
        side.take(stream({"x": [3], "y": [3]}))
        document.unhold()
    assert both[0].log == both[1].log


@pytest.mark.parametrize("step", [stream({"x": [1], "y": [1]}), patch((0, 7))])
def test_only_what_bokeh_has_found_valid_is_trusted(step: Step) -> None:
    side = Told({"x": [], "y": []}, in_session=True)
    side.take(assign)
    side.take(set_column)
    assert type(side.source.data) is not _Trusted
    side.take(step)
    assert type(side.source.data) is _Trusted
    side.take(assign)
    assert type(side.source.data) is not _Trusted


def test_a_source_whose_columns_have_rules_of_their_own_keeps_them() -> None:
    with pytest.warns(RuntimeWarning, match="previously declared"):  # Bokeh advises against it

        class Strict(ColumnDataSource):
            data: Any = ColumnData(String, Seq(AnyValue)).asserts(lambda _, data: len(data["x"]) < 3, "too many rows")

    source = Strict(data={"x": []})
    document = Document()
    document.add_root(source)
    guard_callbacks(document, lambda callback, *args: callback(*args))
    source.stream({"x": [1]})
    source.stream({"x": [2]})
    with pytest.raises(ValueError, match="too many rows"):
        source.stream({"x": [3]})
