"""When a session may be looked at, left alone and thrown away."""

from __future__ import annotations

import pytest

from bokehmount.lifecycle import TRANSITIONS, Event, IllegalTransition, Lifecycle, State

LINGER, LINGER_LOST = 15.0, 300.0


def lived(*events: Event, now: float = 0.0) -> Lifecycle:
    lifecycle = Lifecycle(now)
    for event in events:
        lifecycle.on(event, now)
    return lifecycle


def test_a_viewer_who_returns_in_time_keeps_the_session() -> None:
    session = lived(Event.READY, Event.JOINED, Event.LEFT)
    assert not session.due(LINGER - 1, LINGER, LINGER_LOST)
    session.on(Event.JOINED, LINGER - 1)
    assert not session.due(1e9, LINGER, LINGER_LOST)
    session.on(Event.LEFT, 1000.0)
    assert not session.due(1000.0 + LINGER - 1, LINGER, LINGER_LOST), "the time counts anew"
    assert session.due(1000.0 + LINGER, LINGER, LINGER_LOST)


@pytest.mark.parametrize(
    ("event", "due_at"), [(Event.LEFT, LINGER), (Event.LOST, LINGER_LOST)], ids=["goodbye", "broken connection"]
)
def test_a_broken_connection_is_given_more_time_than_a_goodbye(event: Event, due_at: float) -> None:
    session = lived(Event.READY, Event.JOINED, event)
    assert not session.due(due_at - 0.1, LINGER, LINGER_LOST)
    assert session.due(due_at, LINGER, LINGER_LOST)


def test_a_return_makes_up_for_a_broken_connection() -> None:
    session = lived(Event.READY, Event.JOINED, Event.LOST, Event.JOINED, Event.LEFT)
    assert session.due(LINGER, LINGER, LINGER_LOST)


def test_a_first_viewer_on_a_slow_line_is_waited_for_but_not_for_ever() -> None:
    session = lived(Event.READY)
    assert not session.due(LINGER_LOST - 1, LINGER, LINGER_LOST)
    assert session.due(LINGER_LOST, LINGER, LINGER_LOST)


@pytest.mark.parametrize(
    "events",
    [(), (Event.READY, Event.JOINED), (Event.RAISED,), (Event.READY, Event.EXPIRED)],
    ids=["starting", "live", "failed", "expired"],
)
def test_only_an_idle_session_is_due(events: tuple[Event, ...]) -> None:
    assert not lived(*events).due(1e9, LINGER, LINGER_LOST)


LEGAL = {
    (State.STARTING, Event.READY): State.IDLE,
    (State.STARTING, Event.RAISED): State.FAILED,
    (State.IDLE, Event.JOINED): State.LIVE,
    (State.IDLE, Event.EXPIRED): State.EXPIRED,
    (State.LIVE, Event.LEFT): State.IDLE,
    (State.LIVE, Event.LOST): State.IDLE,
    (State.LIVE, Event.EXPIRED): State.EXPIRED,
}
WAYS = {
    State.STARTING: (),
    State.IDLE: (Event.READY,),
    State.LIVE: (Event.READY, Event.JOINED),
    State.EXPIRED: (Event.READY, Event.EXPIRED),
    State.FAILED: (Event.RAISED,),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_each_event_in_each_state(state: State, event: Event) -> None:
    lifecycle = lived(*WAYS[state])
    assert lifecycle.state is state
    expected = LEGAL.get((state, event))
    if expected is None:
        with pytest.raises(IllegalTransition, match=f"{event.name} while {state.name}"):
            lifecycle.on(event, 5.0)
        assert (lifecycle.state, lifecycle.since) == (state, 0.0), "a mistake changes nothing"
    else:
        lifecycle.on(event, 5.0)
        assert (lifecycle.state, lifecycle.since) == (expected, 5.0)


def test_the_table_speaks_of_all_states() -> None:
    assert set(TRANSITIONS) == set(State)
