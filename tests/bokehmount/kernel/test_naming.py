"""Which app belongs to which cell."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bokehmount.kernel.naming import CellRun, Slot, Slots, checked_path, slug


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("sliders", "/sliders"),
        ("/sliders/", "/sliders"),
        ("a/b-c_d.e~f", "/a/b-c_d.e~f"),
        ("..x", "/..x"),
        ("wsx", "/wsx"),
    ],
)
def test_a_good_name_becomes_a_path(name: str, path: str) -> None:
    assert checked_path(name) == path


@pytest.mark.parametrize(
    "name",
    ["", "/", "a b", "a//b", ".", "..", "a/../b", "a/.", "ä", "a?b", "a#b", "a%2fb", "<b>", "a\n", "a\\b", "ws", "a/ws",
     "autoload.js", "x/metadata", "static", "static/x", "a/static/x", "/static/js/bokeh.js", 5, b"a", True, ["a"]],
)  # fmt: skip
def test_a_name_that_cannot_stand_in_a_url_is_refused_in_words(name: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"name={name!r}: ")):
        checked_path(name)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("My Sliders", "my-sliders"),
        ("Ünïcode  &  more!", "unicode-more"),
        ("数", "app"),
        ("", "app"),
        ("x" * 99, "x" * 40),
    ],
)
def test_what_of_a_title_can_stand_in_a_url(title: str, expected: str) -> None:
    assert slug(title) == expected


@given(st.text(max_size=50), st.text(), st.integers(0, 5))
def test_any_title_in_any_cell_makes_a_path_that_is_a_good_name(title: str, cell: str, index: int) -> None:
    cell = cell.encode("utf-8", "replace").decode()
    path = Slot(cell, index).path(title)
    assert checked_path(path) == path


def test_a_cell_has_the_same_paths_in_each_run_and_others_than_other_cells() -> None:
    assert Slot("c1", 0).path("App") == Slot("c1", 0).path("App")
    paths = {Slot(cell, index).path("App") for cell in ("c1", "c2") for index in range(3)}
    assert len(paths) == 6


def test_apps_of_one_run_have_places_of_their_own_and_a_new_run_begins_anew() -> None:
    slots = Slots()
    first, again, other = CellRun("c1", "1"), CellRun("c1", "2"), CellRun("c2", "1")
    assert [slots.take(run) for run in (first, first, again, other, first)] == [
        Slot("c1", 0),
        Slot("c1", 1),
        Slot("c1", 0),
        Slot("c2", 0),
        Slot("c1", 0),
    ]


def test_what_a_run_did_not_show_again_is_left_over() -> None:
    slots = Slots()
    for _ in range(3):
        slots.take(CellRun("c1", "1"))
    filled = [Slot("c1", 0), Slot("c1", 1), Slot("c1", 2), Slot("c2", 0)]
    assert slots.left_over(CellRun("c1", "1"), filled) == []
    slots.take(CellRun("c1", "2"))
    assert slots.left_over(CellRun("c1", "2"), filled) == [Slot("c1", 1), Slot("c1", 2)]


def test_a_run_that_showed_nothing_leaves_all_over() -> None:
    slots = Slots()
    slots.take(CellRun("c1", "1"))
    assert slots.left_over(CellRun("c1", "2"), [Slot("c1", 0)]) == [Slot("c1", 0)]
    assert slots.left_over(CellRun("other", "9"), [Slot("c1", 0)]) == []
