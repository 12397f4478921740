"""When a session may be looked at, left alone and thrown away.  No I/O, no clock: its owner passes the time in."""

from __future__ import annotations

from enum import Enum, auto

__all__ = ("Event", "IllegalTransition", "Lifecycle", "State")


class State(Enum):
    """Where a session is in its life."""

    STARTING = auto()
    IDLE = auto()
    LIVE = auto()
    EXPIRED = auto()
    FAILED = auto()


class Event(Enum):
    """What can happen to a session.  JOINED and LEFT: the first and the last viewer; LOST: LEFT without a goodbye."""

    READY = auto()
    RAISED = auto()
    JOINED = auto()
    LEFT = auto()
    LOST = auto()
    EXPIRED = auto()


class IllegalTransition(Exception):
    """We have a bug: this can't happen to a session in that state."""


# Reading across a row tells all that can happen to a session in that state.
TRANSITIONS = {
    State.STARTING: {Event.READY: State.IDLE, Event.RAISED: State.FAILED},
    State.IDLE: {Event.JOINED: State.LIVE, Event.EXPIRED: State.EXPIRED},
    State.LIVE: {Event.LEFT: State.IDLE, Event.LOST: State.IDLE, Event.EXPIRED: State.EXPIRED},
    State.EXPIRED: {},
    State.FAILED: {},
}


class Lifecycle:
    """One session's life.

    Args:
        now: seconds, of any clock that only moves forward
    """

    __slots__ = ("lost", "seen", "since", "state")

    def __init__(self, now: float) -> None:
        self.state = State.STARTING
        self.since = now
        self.seen = False
        self.lost = False

    def on(self, event: Event, now: float) -> None:
        """Something happened.

        Raises:
            IllegalTransition: it can't happen in this state
        """
        try:
            self.state = TRANSITIONS[self.state][event]
        except KeyError:
            raise IllegalTransition(f"{event.name} while {self.state.name}") from None
        self.since = now
        self.seen = self.seen or event is Event.JOINED
        self.lost = event is Event.LOST

    def due(self, now: float, linger: float, linger_lost: float) -> bool:
        """Whether nobody has looked at it for long enough.

        Args:
            now: seconds
            linger: seconds after the last viewer said goodbye (closed or reloaded the page)
            linger_lost: seconds after the last viewer's connection broke, or the session was made for a viewer who
                has not come yet, over a slow line; both may still come
        """
        is_expected = self.lost or not self.seen
        return self.state is State.IDLE and now - self.since >= (linger_lost if is_expected else linger)
