"""What was measured, round by round, and the few statistics that are reported.  No I/O."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Summary:
    """Of all observations of one metric on one route, in the metric's unit."""

    median: float
    p10: float
    p90: float
    count: int

    @classmethod
    def of(cls, values: list[float]) -> Summary:
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        deciles = statistics.quantiles(values, n=10, method="inclusive")
        return cls(statistics.median(values), deciles[0], deciles[-1], len(values))


@dataclass(frozen=True)
class Failure:
    """What didn't run on which route, and what was said about it."""

    route: str
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.route}: {self.what}: {self.why}"


@dataclass
class Results:
    """Observations by metric and route, one list per round, and what could not be measured."""

    rounds: dict[str, dict[str, list[list[float]]]] = field(default_factory=lambda: defaultdict(dict))
    failures: list[Failure] = field(default_factory=list)
    #: Of each measurement, the part of the cores' time that the machine's host gave to others.
    stolen: list[float] = field(default_factory=list)

    def add(self, route: str, metric: str, values: list[float]) -> None:
        self.rounds[metric].setdefault(route, []).append(values)

    def fail(self, route: str, what: str, why: str) -> None:
        self.failures.append(Failure(route, what, why))

    def routes(self, metric: str) -> list[str]:
        return list(self.rounds.get(metric, {}))

    def summary(self, metric: str, route: str) -> Summary | None:
        """None where there is nothing to sum up."""
        values = [value for values in self.rounds.get(metric, {}).get(route, []) for value in values]
        return Summary.of(values) if values else None

    def ratio(self, metric: str, ours: str, rival: str) -> float | None:
        """Our median over the rival's."""
        mine, theirs = self.summary(metric, ours), self.summary(metric, rival)
        return mine.median / theirs.median if mine and theirs and theirs.median else None

    def as_json(self) -> dict[str, Any]:
        summaries = {
            metric: {route: vars(summary) for route in routes if (summary := self.summary(metric, route))}
            for metric, routes in self.rounds.items()
        }
        return {
            "summaries": summaries,
            "rounds": self.rounds,
            "stolen": self.stolen,
            "failures": [vars(failure) for failure in self.failures],
        }
