"""How a round trip's cost grows: with points, models, open sessions, views of one session, and kernels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from benchmarks.client import View, open_session
from benchmarks.plot import Curve
from benchmarks.results import Results
from benchmarks.routes import KernelRoute, Route
from benchmarks.variant import BASE, Variant
from benchmarks.workload import Better, Metric, Observations, Scale, Workload
from benchmarks.workloads.round_trip import moves
from benchmarks.workloads.sharing import views_of_one_session

POINTS = (200, 2_000, 20_000, 200_000)
MODELS = (57, 257, 1_057, 4_057)
SESSIONS = (1, 10, 50)
VIEWS = (1, 5, 20, 50)
KERNELS = (1, 2, 4)
VARIANTS = tuple(sorted({Variant(points=count) for count in POINTS} | {Variant(models=count) for count in MODELS}))


@dataclass(frozen=True)
class Growth:
    """One axis: a name for the metric, the positions on it, and the measurement at one position."""

    axis: str
    positions: Sequence[int]
    measure: Callable[[Route, Scale, int], Awaitable[list[float]]]
    runs_on: Callable[[Route], bool]
    short: bool = True

    def metric(self, position: int) -> str:
        return f"round_trip_{position}_{self.axis}"

    def workload(self, position: int) -> Workload:
        name = self.metric(position)

        async def measure(route: Route, scale: Scale) -> Observations:
            return {name: await self.measure(route, scale, position)}

        metrics = (Metric(name, "ms", Better.LOWER),)
        return Workload(
            name, f"round trip, {self.axis}: {position}", metrics, measure, runs_on=self.runs_on, short=self.short
        )

    def curve(self, results: Results) -> Curve:
        lines: dict[str, list[tuple[float, float]]] = {}
        for position in self.positions:
            for route in results.routes(self.metric(position)):
                if summary := results.summary(self.metric(position), route):
                    lines.setdefault(route, []).append((float(position), summary.median))
        return Curve("round trip", self.axis, "ms", lines)


async def with_variant(route: Route, scale: Scale, variant: Variant) -> list[float]:
    view = await open_session(route.endpoint(variant))
    try:
        return await moves(view, scale.moves)
    finally:
        await view.close()


async def with_points(route: Route, scale: Scale, points: int) -> list[float]:
    return await with_variant(route, scale, Variant(points=points))


async def with_models(route: Route, scale: Scale, models: int) -> list[float]:
    return await with_variant(route, scale, Variant(models=models))


async def with_sessions(route: Route, scale: Scale, sessions: int) -> list[float]:
    """Round trips of one session beside others that are open and idle."""
    views: list[View] = []
    try:
        for _ in range(sessions):
            views.append(await open_session(route.endpoint(BASE)))
        return await moves(views[0], scale.moves)
    finally:
        await asyncio.gather(*(view.close() for view in views))


async def with_views(route: Route, scale: Scale, views: int) -> list[float]:
    """Round trips of one view while the others get, and read, each patch too."""
    async with views_of_one_session(route.endpoint(BASE), views) as (first, *others):
        readers = [asyncio.create_task(_read_for_ever(view)) for view in others]
        try:
            return await moves(first, scale.moves)
        finally:
            for reader in readers:
                reader.cancel()


async def with_kernels(route: Route, scale: Scale, kernels: int) -> list[float]:
    """Round trips through one kernel while others serve the app, idle, to one view each, in the same Jupyter server."""
    assert isinstance(route, KernelRoute)
    async with AsyncExitStack() as stack:
        for _ in range(kernels - 1):
            await stack.enter_async_context(_one_more_kernel(route))
        return await with_variant(route, scale, BASE)


@asynccontextmanager
async def _one_more_kernel(route: KernelRoute) -> AsyncIterator[None]:
    async with route.another_kernel(BASE) as endpoint:
        view = await open_session(endpoint)
        try:
            yield
        finally:
            await view.close()


async def _read_for_ever(view: View) -> None:
    while True:
        await view.connection.next()


def cheap_sessions(route: Route) -> bool:
    return not route.kernel_per_session


def kernel_routes(route: Route) -> bool:
    return isinstance(route, KernelRoute)


GROWTHS = (
    Growth("points", POINTS, with_points, cheap_sessions),
    Growth("models", MODELS, with_models, cheap_sessions),
    Growth("sessions", SESSIONS, with_sessions, cheap_sessions, short=False),
    Growth("views", VIEWS, with_views, cheap_sessions),
    Growth("kernels", KERNELS, with_kernels, kernel_routes, short=False),
)
WORKLOADS = tuple(growth.workload(position) for growth in GROWTHS for position in growth.positions)
