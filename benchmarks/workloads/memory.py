"""What a session costs in memory."""

from __future__ import annotations

import asyncio

from benchmarks.client import open_session
from benchmarks.routes import Route
from benchmarks.variant import BASE
from benchmarks.workload import Better, Metric, Observations, Scale, Workload

SETTLING_SECONDS = 1.0
KB_PER_MB = 1_000.0


async def memory_per_session(route: Route, scale: Scale) -> Observations:
    count = scale.for_route(route).kept_sessions
    views = [await open_session(route.endpoint(BASE))]  # what is loaded once is paid by this one
    try:
        await asyncio.sleep(SETTLING_SECONDS)
        before = route.memory()
        for _ in range(count):
            views.append(await open_session(route.endpoint(BASE)))
        await asyncio.sleep(SETTLING_SECONDS)
        after = route.memory()
    finally:
        await asyncio.gather(*(view.close() for view in views))
    return {
        "memory_per_session": [KB_PER_MB * (after.total - before.total) / count],
        "memory_per_session_server": [KB_PER_MB * (after.server - before.server) / count],
    }


MEMORY_PER_SESSION = Workload(
    "memory_per_session",
    "growth of resident memory, server and kernel, over sessions that stay open",
    (
        Metric("memory_per_session", "kB", Better.LOWER, "of all processes"),
        Metric("memory_per_session_server", "kB", Better.LOWER, "of the server process alone"),
    ),
    memory_per_session,
    fresh=True,
)
