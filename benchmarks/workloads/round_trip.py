"""A slider is moved; the clock stops when the patch with the rewritten line has arrived completely."""

from __future__ import annotations

import itertools
import math
import time

from benchmarks.client import View, open_session
from benchmarks.routes import Route
from benchmarks.variant import BASE, MODELS_1000, POINTS_100K, Variant
from benchmarks.workload import Better, Metric, Observations, Scale, Workload

WARM_UP_MOVES = 10
#: After this many s a slow route's turn is over, if it has made that many moves.
ENOUGH_SECONDS, ENOUGH_MOVES = 4.0, 20


async def move(view: View, value: float) -> float:
    """One round trip, in ms."""
    start = view.set_value("slider", value)
    message = await view.next_change("line")
    columns = view.columns("line")
    x, y = float(columns["x"][1]), float(columns["y"][1])
    if not math.isclose(y, math.sin(x) * value, rel_tol=1e-9):
        raise ValueError(f"the line is not the one of slider value {value}")
    return (message.arrived - start) * 1e3


async def moves(view: View, count: int) -> list[float]:
    """So many round trips, or fewer that took long, after some that aren't counted; in ms."""
    values = (2 + n / 8 for n in itertools.count())
    for _ in range(min(WARM_UP_MOVES, count)):
        await move(view, next(values))
    end = time.monotonic() + ENOUGH_SECONDS
    times: list[float] = []
    while len(times) < count and (len(times) < ENOUGH_MOVES or time.monotonic() < end):
        times.append(await move(view, next(values)))
    return times


def workload(name: str, variant: Variant) -> Workload:
    async def measure(route: Route, scale: Scale) -> Observations:
        view = await open_session(route.endpoint(variant))
        try:
            return {name: await moves(view, scale.moves)}
        finally:
            await view.close()

    about = f"a slider moves, its callback rewrites {variant.points} points, {variant.models} models in the Document"
    return Workload(name, about, (Metric(name, "ms", Better.LOWER),), measure, short=True)


WORKLOADS = (
    workload("round_trip", BASE),
    workload("round_trip_1000_models", MODELS_1000),
    workload("round_trip_100k_points", POINTS_100K),
)
