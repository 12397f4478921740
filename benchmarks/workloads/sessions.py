"""New sessions as a browser opens them, and pages alone."""

from __future__ import annotations

import asyncio
import time

from benchmarks import http
from benchmarks.client import Timings, open_session
from benchmarks.routes import Route
from benchmarks.variant import BASE
from benchmarks.workload import Better, Metric, Observations, Scale, Workload


async def new_session(route: Route, scale: Scale) -> Observations:
    scale = scale.for_route(route)
    await _open_and_close(route)
    one_by_one = [await _open_and_close(route) for _ in range(scale.sessions)]
    at_once = await _sessions_at_once(route, scale.at_once)
    return {
        "sessions_per_s": [1 / timings.total for timings in one_by_one],
        "sessions_at_once_per_s": [at_once],
        "session_page": [timings.page * 1e3 for timings in one_by_one],
        "session_ack": [timings.ack * 1e3 for timings in one_by_one],
        "session_pull": [timings.pull * 1e3 for timings in one_by_one],
    }


async def _open_and_close(route: Route) -> Timings:
    timings = Timings()
    view = await open_session(route.endpoint(BASE), timings)
    await view.close()
    return timings


async def _sessions_at_once(route: Route, count: int) -> float:
    """Sessions per s when so many browsers come together."""
    start = time.perf_counter()
    views = await asyncio.gather(*(open_session(route.endpoint(BASE)) for _ in range(count)))
    seconds = time.perf_counter() - start
    await asyncio.gather(*(view.close() for view in views))
    return count / seconds


async def page_idle(route: Route, scale: Scale) -> Observations:
    endpoint = route.endpoint(BASE)
    times = []
    for _ in range(scale.for_route(route).pages):
        start = time.perf_counter()
        await http.get(endpoint.page_url, headers=endpoint.headers)
        times.append((time.perf_counter() - start) * 1e3)
    return {"page_idle": times}


WORKLOADS = (
    Workload(
        "new_session",
        "GET of the page, WebSocket and PULL-DOC, one after the other and 16 browsers at once",
        (
            Metric("sessions_per_s", "sessions/s", Better.HIGHER, "one after the other"),
            Metric("sessions_at_once_per_s", "sessions/s", Better.HIGHER, "all at once"),
            Metric("session_page", "ms", Better.LOWER, "GET of the page"),
            Metric("session_ack", "ms", Better.LOWER, "WebSocket until ACK"),
            Metric("session_pull", "ms", Better.LOWER, "PULL-DOC until its reply is there and parsed"),
        ),
        new_session,
        short=True,
    ),
    Workload("page_idle", "GET of the page of an idle app", (Metric("page_idle", "ms", Better.LOWER),), page_idle),
)
