"""Much data towards one view: rows from a callback, rows from a running cell, and arrays."""

from __future__ import annotations

import time

from benchmarks.app import FLOATS_PER_MB
from benchmarks.client import Disconnected, Silence, View, open_session
from benchmarks.routes import Route
from benchmarks.variant import BASE
from benchmarks.workload import Better, Metric, Observations, Scale, Workload, has_kernel

ARRAY_MB = FLOATS_PER_MB * 8 / 1e6
ROWS_BESIDE_A_SLEEP = 100


async def receive_rows(view: View, rows: int, start: float) -> Observations:
    """Rows per s until all are there, how many never came, and how many aren't where they belong."""
    arrived, patches = start, 0
    try:
        while len(view.columns("rows")["t"]) < rows:
            arrived = (await view.next_change("rows")).arrived
            patches += 1
    except (Silence, Disconnected, ValueError) as broken:
        print(f"    the stream broke: {broken}")  # the rows that are missing are what is reported
    numbers = [int(number) for number in view.columns("rows")["t"]]
    misplaced = sum(position != number for position, number in enumerate(numbers))
    rate = len(numbers) / (arrived - start) if numbers else 0.0
    return {
        "rows_per_s": [rate],
        "rows_lost": [float(rows - len(numbers))],
        "rows_misplaced": [float(misplaced)],
        "rows_per_patch": [len(numbers) / max(patches, 1)],
    }


async def stream_rows(route: Route, scale: Scale) -> Observations:
    view = await open_session(route.endpoint(BASE))
    try:
        start = time.perf_counter()
        view.order("stream", rows=scale.rows)
        seen = await receive_rows(view, scale.rows, start)
    finally:
        await view.close()
    return {f"stream_{name}": values for name, values in seen.items()}


async def stream_from_cell(route: Route, scale: Scale) -> Observations:
    kernel = route.kernel
    assert kernel is not None
    locked = not route.cell_may_edit
    await kernel.execute("from benchmarks import app; import time")
    view = await open_session(route.endpoint(BASE))
    try:
        start = time.perf_counter()
        cell = kernel.submit(f"app.stream_from_cell({scale.rows}, locked={locked})")
        seen = await receive_rows(view, scale.rows, start)
        await cell.done
    finally:
        await view.close()
    share = await _share_seen_before_cell_ended(route)
    return {**{f"cell_{name}": values for name, values in seen.items()}, "cell_rows_seen_early": [share]}


async def _share_seen_before_cell_ended(route: Route) -> float:
    """Which part (%) of the rows of a cell, that then sleeps half a second, is in the browser when the cell ends."""
    kernel, rows = route.kernel, ROWS_BESIDE_A_SLEEP
    assert kernel is not None
    view = await open_session(route.endpoint(BASE))
    early = 0

    def count_rows(_: object) -> None:
        nonlocal early
        early = len(view.columns("rows")["t"])

    try:
        cell = kernel.submit(f"app.stream_from_cell({rows}, locked={not route.cell_may_edit}); time.sleep(0.5)")
        cell.done.add_done_callback(count_rows)
        await view.changes_until("rows", lambda columns: len(columns["t"]) >= rows)
        await cell.done
    finally:
        await view.close()
    return 100.0 * early / rows


async def arrays_1mb(route: Route, scale: Scale) -> Observations:
    view = await open_session(route.endpoint(BASE))
    try:
        start = time.perf_counter()
        view.order("send_arrays", count=scale.arrays)
        received, last = await view.changes_until("array", lambda columns: columns["a"][0] == scale.arrays - 1)
    finally:
        await view.close()
    seconds = last.arrived - start
    return {"arrays_mb_per_s": [received * ARRAY_MB / seconds], "arrays_received": [100.0 * received / scale.arrays]}


def _rows_metrics(prefix: str) -> tuple[Metric, ...]:
    return (
        Metric(f"{prefix}_rows_per_s", "rows/s", Better.HIGHER, "until the client has them all"),
        Metric(f"{prefix}_rows_lost", "rows", Better.LOWER, "never came"),
        Metric(f"{prefix}_rows_misplaced", "rows", Better.LOWER, "out of order"),
        Metric(f"{prefix}_rows_per_patch", "rows", Better.HIGHER, "joined in one PATCH-DOC"),
    )


WORKLOADS = (
    Workload(
        "stream_rows",
        "one callback streams one-row updates (10,000 in a full run)",
        _rows_metrics("stream"),
        stream_rows,
    ),
    Workload(
        "stream_from_cell",
        "a running cell streams one-row updates; on stock routes, which refuse that, one next-tick callback does",
        (
            *_rows_metrics("cell"),
            Metric("cell_rows_seen_early", "%", Better.HIGHER, "of rows in the browser before their cell ended"),
        ),
        stream_from_cell,
        runs_on=has_kernel,
    ),
    Workload(
        "arrays_1mb",
        "the server replaces a 1 MB float64 array again and again, each time in a callback of its own",
        (
            Metric("arrays_mb_per_s", "MB/s", Better.HIGHER, "of arrays that arrived"),
            Metric("arrays_received", "%", Better.HIGHER, "of arrays that arrived, not replaced by a later one"),
        ),
        arrays_1mb,
        short=True,
    ),
)
