"""Rounds: every route once, then every route again.  A route or a measurement that fails is noted and passed over.

A measurement during which the host gave much of the cores' time to others is made again.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from operator import itemgetter

from benchmarks import machine
from benchmarks.results import Results
from benchmarks.routes import Route
from benchmarks.variant import Variant
from benchmarks.workload import Observations, Scale, Workload

#: Of the cores' time, the part that a host may take away from a measurement that is not made again; and how often it is
#: made at most, the quietest of which counts.
STOLEN_MOST, TRIES = 0.03, 4
#: How long one measurement on one route may take, in s.
MEASUREMENT_LIMIT = 180.0


def in_one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:800]


class Runner:
    """Starts routes, measures workloads on those that live, ends them all.

    ``restarts`` tells whether workloads that ask for fresh processes, and routes that failed, get them.
    """

    def __init__(
        self, routes: Sequence[Route], variants: Sequence[Variant], results: Results, *, restarts: bool
    ) -> None:
        self._restarts = restarts
        self._variants = variants
        self._results = results
        self._routes = list(routes)
        self.alive: list[Route] = []

    async def start(self) -> None:
        for route in self._routes:
            await self._start(route)

    async def stop(self) -> None:
        for route in self._routes:
            await route.stop()

    async def measure(self, workload: Workload, rounds: int, scale: Scale) -> None:
        """Interleaved turns of one workload on each living route that it runs on."""
        for number in range(rounds * (scale.turns if workload.short else 1)):
            for route in list(self.alive):
                if workload.runs_on(route) and workload.name not in route.cannot:
                    await self._measure_once(workload, route, scale, f"{workload.name}, turn {number + 1}")

    async def _measure_once(self, workload: Workload, route: Route, scale: Scale, what: str) -> None:
        if workload.fresh and self._restarts and not await self._restart(route):
            return
        started = time.monotonic()
        try:
            seen, stolen = await self._quietest(workload, route, scale)
        except Exception as error:  # whatever a route does wrong, the others are still to be measured
            self._note(route, what, error)
            if self._restarts:
                await self._restart(route)
            return
        for metric, values in seen.items():
            self._results.add(route.name, metric, values)
        self._results.stolen.append(stolen)
        print(f"  {what}: {route.name}: {time.monotonic() - started:.1f} s, {stolen:.0%} stolen", flush=True)

    async def _quietest(self, workload: Workload, route: Route, scale: Scale) -> tuple[Observations, float]:
        """What one measurement saw, and the part of the cores' time that the host took away from it."""
        tried = []
        for _ in range(TRIES if scale.again and not workload.fresh else 1):
            started, before = time.monotonic(), machine.stolen_seconds()
            seen = await asyncio.wait_for(workload.measure(route, scale), MEASUREMENT_LIMIT)
            seconds = (os.cpu_count() or 1) * (time.monotonic() - started)
            # what is shorter than a tick may be counted as one
            stolen = max(0.0, machine.stolen_seconds() - before - machine.TICK) / seconds
            tried.append((seen, stolen))
            if stolen <= STOLEN_MOST:
                break
        return min(tried, key=itemgetter(1))

    async def _start(self, route: Route) -> bool:
        started = time.monotonic()
        try:
            await route.start(self._variants)
        except Exception as error:  # as above
            self._note(route, "start", error)
            await route.stop()
            return False
        self.alive.append(route)
        print(f"started {route.name} in {time.monotonic() - started:.1f} s", flush=True)
        return True

    async def _restart(self, route: Route) -> bool:
        position = self.alive.index(route)
        self.alive.remove(route)
        await route.stop()
        if not await self._start(route):
            return False
        self.alive.remove(route)
        self.alive.insert(position, route)
        return True

    def _note(self, route: Route, what: str, error: Exception) -> None:
        self._results.fail(route.name, what, in_one_line(error))
        print(f"  DID NOT RUN  {route.name}: {what}: {in_one_line(error)}", flush=True)
