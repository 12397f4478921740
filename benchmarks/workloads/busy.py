"""What still answers while the kernel sleeps in a cell."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable

from benchmarks import http
from benchmarks.client import Endpoint, Silence, View, fetch_page, open_session
from benchmarks.jupyter import Cell
from benchmarks.routes import Route
from benchmarks.variant import BASE
from benchmarks.workload import Better, Metric, Observations, Scale, Workload, has_kernel

BOKEH_JS = re.compile(r'src="([^"]*/bokeh(?:\.min)?\.js[^"]*)"')
CLICKED_VALUE = 777.0
PAUSE = 0.1


async def busy_kernel(route: Route, scale: Scale) -> Observations:
    kernel = route.kernel
    assert kernel is not None
    endpoint = route.endpoint(BASE)
    static_url = await find_static_url(endpoint)
    view = await open_session(endpoint)
    try:
        cell = kernel.submit(f"import time; time.sleep({scale.busy_seconds})")
        await asyncio.sleep(0.2)
        view.set_value("slider", CLICKED_VALUE)
        pings, statics, pages = await asyncio.gather(
            repeat_while_running(cell, view.connection.socket.ping),
            repeat_while_running(cell, lambda: timed_get(static_url, endpoint)),
            repeat_while_running(cell, lambda: timed_get(endpoint.page_url, endpoint)),
        )
        await cell.done
        clicks, arrived = await count_clicks(view)
    finally:
        await view.close()
    return {
        "busy_ping": pings,
        "busy_static": statics,
        "busy_page": pages,
        "busy_clicks": [float(clicks)],
        "busy_click_after": [(arrived - cell.ended) * 1e3],
    }


async def find_static_url(endpoint: Endpoint) -> str:
    """Where the page takes BokehJS from."""
    match = BOKEH_JS.search(await fetch_page(endpoint))
    if match is None:
        raise LookupError(f"{endpoint.page_url} loads no bokeh.js")
    return endpoint.resolve(match[1])


async def timed_get(url: str, endpoint: Endpoint) -> float:
    """How long one GET takes, in s."""
    start = time.perf_counter()
    await http.get(url, headers=endpoint.headers)
    return time.perf_counter() - start


async def repeat_while_running(cell: Cell, ask: Callable[[], Awaitable[float]]) -> list[float]:
    """One question after the other, each begun while the cell runs; in ms."""
    times = []
    while not cell.done.done():
        times.append(await ask() * 1e3)
        await asyncio.sleep(PAUSE)
    return times


async def count_clicks(view: View) -> tuple[int, float]:
    """How often the line has been rewritten for the one click, and when (s) for the first time."""
    first = (await view.next_change("line")).arrived
    clicks, view.connection.patience = 1, 0.5
    try:
        while True:
            await view.next_change("line")
            clicks += 1
    except Silence:
        return clicks, first


BUSY_KERNEL = Workload(
    "busy_kernel",
    "the kernel sleeps in a cell (5 s in a full run); waits until it is free count with their full length",
    (
        Metric("busy_ping", "ms", Better.LOWER, "WebSocket ping"),
        Metric("busy_static", "ms", Better.LOWER, "GET of BokehJS"),
        Metric("busy_page", "ms", Better.LOWER, "GET of the page, or of a shell that says what is going on"),
        Metric("busy_clicks", "times", Better.LOWER, "one click was answered (1 is right)"),
        Metric("busy_click_after", "ms", Better.LOWER, "from the end of the cell to the click's patch"),
    ),
    busy_kernel,
    runs_on=has_kernel,
)
