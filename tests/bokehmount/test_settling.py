"""Who is right when both sides change the same thing at once."""

from __future__ import annotations

from bokehmount.settling import QUIET, WINDOW, Settling

VALUE = ("p1", "value")
OTHER = ("p1", "title")
ALICE, BOB = object(), object()


def test_a_change_of_one_side_needs_no_settling() -> None:
    settling = Settling()
    settling.received(VALUE, ALICE, 0.0)
    settling.sent(VALUE, ALICE, 0.0)
    settling.received(VALUE, ALICE, 0.1)
    assert settling.next_due is None and settling.due(1e9) == []


def test_python_and_a_browser_at_once_are_settled_when_it_is_quiet() -> None:
    settling = Settling()
    settling.sent(VALUE, None, 10.0)
    settling.received(VALUE, ALICE, 10.05)
    assert settling.next_due == 10.05 + QUIET
    assert settling.due(10.05 + QUIET - 0.01) == []
    assert settling.due(10.05 + QUIET) == [VALUE]
    assert settling.next_due is None and settling.due(99.0) == [], "it is settled once"


def test_a_slider_that_is_still_dragged_is_left_alone() -> None:
    settling = Settling()
    settling.sent(VALUE, None, 0.0)
    for step in range(1, 20):
        now = step * 0.1
        settling.received(VALUE, ALICE, now)
        assert settling.due(now + 0.09) == []
    assert settling.due(3.0) == [VALUE]


def test_what_python_goes_on_to_change_is_left_alone_too() -> None:
    settling = Settling()
    settling.sent(VALUE, None, 0.0)
    settling.received(VALUE, ALICE, 0.1)
    settling.sent(VALUE, None, 0.3)
    assert settling.due(0.1 + QUIET) == []
    assert settling.due(0.3 + QUIET) == [VALUE]


def test_two_browsers_at_once_are_settled() -> None:
    settling = Settling()
    settling.received(VALUE, ALICE, 0.0)
    settling.sent(VALUE, ALICE, 0.0)
    settling.received(VALUE, BOB, 0.1)
    assert settling.due(1.0) == [VALUE]


def test_an_answer_long_after_is_no_conflict() -> None:
    settling = Settling()
    settling.sent(VALUE, None, 0.0)
    settling.received(VALUE, ALICE, WINDOW)
    assert settling.next_due is None


def test_one_property_does_not_stand_for_another() -> None:
    settling = Settling()
    settling.sent(VALUE, None, 0.0)
    settling.received(OTHER, ALICE, 0.1)
    assert settling.next_due is None


def test_alices_own_change_does_not_hide_what_python_sent_before() -> None:
    settling = Settling()
    settling.sent(VALUE, None, 0.0)  # python's, still under way to alice
    settling.sent(VALUE, ALICE, 0.1)  # her own, passed on to the others
    settling.received(VALUE, ALICE, 0.2)
    assert settling.due(1.0) == [VALUE]


def test_a_refused_value_is_settled() -> None:
    settling = Settling()
    settling.doubt(VALUE, 5.0)
    assert settling.next_due == 5.0 + QUIET and settling.due(6.0) == [VALUE]


def test_what_crosses_with_the_settled_value_is_settled_too() -> None:
    settling = Settling()
    settling.doubt(VALUE, 5.0)
    assert settling.due(6.0) == [VALUE]
    settling.received(VALUE, ALICE, 6.1)  # she had not seen the settled value, which replaces hers now
    assert settling.due(7.0) == [VALUE]


def test_memory_stays_bounded() -> None:
    settling = Settling()
    for number in range(30_000):
        settling.sent((f"p{number}", "value"), None, number / 100)
    assert len(settling._sent) <= 10_001
    settling.received(("p29999", "value"), ALICE, 300.0)
    assert settling.next_due is not None, "what is recent is remembered"
