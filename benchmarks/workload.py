"""What a workload is: a measurement of one route that yields numbers with names and units."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum

from benchmarks.routes import Route

#: What one measurement saw, by the metric's name.
Observations = dict[str, list[float]]


class Better(Enum):
    """Which way a metric should go."""

    LOWER = "lower"
    HIGHER = "higher"


@dataclass(frozen=True)
class Metric:
    """One number of a workload; ``about`` says what it is where the name doesn't."""

    name: str
    unit: str
    better: Better
    about: str = ""


@dataclass(frozen=True)
class Scale:
    """How much of everything a measurement does."""

    turns: int = 10
    again: bool = True  # whether what was disturbed is measured again
    moves: int = 20
    rows: int = 10_000
    arrays: int = 20
    changes: int = 50
    views: int = 20
    sessions: int = 2
    at_once: int = 16
    pages: int = 20
    busy_seconds: float = 5.0
    pulse_seconds: float = 4.0
    kept_sessions: int = 30
    fresh_kernels: int = 3

    def for_route(self, route: Route) -> Scale:
        """Fewer sessions where each starts a kernel."""
        if not route.kernel_per_session:
            return self
        few = {"sessions": 1, "at_once": 4, "pages": 1, "kept_sessions": 3}
        return replace(self, **{name: min(count, getattr(self, name)) for name, count in few.items()})


FULL = Scale()
SMOKE = Scale(
    turns=1,
    again=False,
    moves=5,
    rows=200,
    arrays=3,
    changes=5,
    views=4,
    sessions=2,
    at_once=3,
    pages=3,
    busy_seconds=1.0,
    pulse_seconds=0.5,
    kept_sessions=3,
    fresh_kernels=1,
)


@dataclass(frozen=True)
class Workload:
    """``measure`` opens what it needs on a started route, measures, closes, and returns what it saw."""

    name: str
    about: str
    metrics: tuple[Metric, ...]
    measure: Callable[[Route, Scale], Awaitable[Observations]]
    #: Whether it runs on that route at all.
    runs_on: Callable[[Route], bool] = lambda route: True
    #: Whether the route is started anew before each measurement, because memory is what is measured.
    fresh: bool = False
    #: Whether each round has several short turns (`Scale.turns`): a machine's moods last longer than one, so that they
    #: meet all routes alike.
    short: bool = False


def has_kernel(route: Route) -> bool:
    return route.kernel is not None


def is_our_kernel(route: Route) -> bool:
    return route.name == "ours-kernel"
