"""One session with several views: patches to all of them, and one of them that doesn't read."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from benchmarks.client import Disconnected, Endpoint, PatchCounter, Silence, View, join, open_session
from benchmarks.protocol import Columns
from benchmarks.routes import Memory, Route
from benchmarks.variant import BASE
from benchmarks.workload import Better, Metric, Observations, Scale, Workload

HERTZ = 60.0
READERS = 2
CATCH_UP_PATIENCE = 20.0
#: The numbers of the last frames of the two pulses; the frames between have positive ones.
END_OF_FIRST, END_OF_SECOND = -1.0, -2.0


@asynccontextmanager
async def views_of_one_session(endpoint: Endpoint, count: int) -> AsyncIterator[list[View]]:
    first = await open_session(endpoint)
    views = [first]
    try:
        for _ in range(count - 1):
            views.append(await join(endpoint, first.token))
        yield views
    finally:
        await asyncio.gather(*(view.close() for view in views))


async def fan_out(route: Route, scale: Scale) -> Observations:
    async with views_of_one_session(route.endpoint(BASE), scale.views) as views:
        counters = [PatchCounter() for _ in views]
        for view, counter in zip(views, counters, strict=True):
            view.connection.socket.listener = counter
        start = time.perf_counter()
        views[0].order("send_lines", count=scale.changes)
        end = max(await asyncio.gather(*(counter.ended for counter in counters)))
    told_of_the_order = len(views) - 1  # all but the one that gave it
    patches = sum(counter.patches - 1 for counter in counters) - told_of_the_order
    return {
        "fan_out_patches_per_s": [patches / (end - start)],
        "fan_out_received": [100.0 * patches / (scale.changes * scale.views)],
    }


def is_frame(columns: Columns, number: float) -> bool:
    return bool(columns["a"][0] == number)


class Readers:
    """Views that read until a pulse's last frame, and how many patches each of them has got."""

    def __init__(self, views: list[View], final: float) -> None:
        self._views = views
        self._final = final
        self._patches = [0] * len(views)
        self._tasks = [asyncio.create_task(self._read(position)) for position in range(len(views))]

    async def rate_over(self, seconds: float) -> float:
        """Patches per s of the one that got the fewest."""
        before = list(self._patches)
        await asyncio.sleep(seconds)
        return min(now - then for now, then in zip(self._patches, before, strict=True)) / seconds

    async def finish(self) -> None:
        """Returns when all have the final frame."""
        await asyncio.gather(*self._tasks)

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _read(self, position: int) -> None:
        view = self._views[position]
        while True:
            await view.next_change("array")
            self._patches[position] += 1
            if is_frame(view.columns("array"), self._final):
                return


class MemoryWatch:
    """The highest memory of a route's processes while it is watched."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._start = self._highest = route.memory()
        self._task = asyncio.create_task(self._watch())

    def stop(self) -> Memory:
        """By how much each grew at most, in MB."""
        self._task.cancel()
        return Memory(self._highest.server - self._start.server, self._highest.kernel - self._start.kernel)

    async def _watch(self) -> None:
        while True:
            now = self._route.memory()
            self._highest = Memory(max(now.server, self._highest.server), max(now.kernel, self._highest.kernel))
            await asyncio.sleep(0.05)


async def slow_reader(route: Route, scale: Scale) -> Observations:
    seconds = scale.pulse_seconds
    endpoint = route.endpoint(BASE)
    async with views_of_one_session(endpoint, READERS + 1) as (slow, *others):
        rate_without = await _pulse(others, [slow], seconds)
        slow.connection.socket.stop_reading()
        watch = MemoryWatch(route)
        readers = Readers(others, END_OF_SECOND)
        others[0].order("pulse", seconds=seconds, hertz=HERTZ, final=END_OF_SECOND)
        rate_with = await readers.rate_over(seconds)
        growth = watch.stop()
        resumed = time.perf_counter()
        slow.connection.socket.read_again()
        caught_up = await _catch_up(endpoint, slow)
        catch_up_seconds = time.perf_counter() - resumed
        try:
            await asyncio.wait_for(readers.finish(), CATCH_UP_PATIENCE)
            equal = caught_up is not None and np.array_equal(caught_up["a"], others[0].columns("array")["a"])
        except (TimeoutError, ConnectionError):
            equal = False
        finally:
            readers.cancel()
    return {
        "slow_reader_others_hz": [rate_with],
        "slow_reader_others_kept": [100.0 * rate_with / rate_without if rate_without else 0.0],
        "slow_reader_server_growth": [growth.server],
        "slow_reader_kernel_growth": [growth.kernel],
        "slow_reader_equal": [100.0 * equal],
        "slow_reader_catch_up": [catch_up_seconds],
    }


async def _pulse(readers: list[View], also: list[View], seconds: float) -> float:
    """The rate (Hz) at which each of the readers gets the stream while everybody reads."""
    everybody = Readers([*readers, *also], END_OF_FIRST)
    try:
        readers[0].order("pulse", seconds=seconds, hertz=HERTZ, final=END_OF_FIRST)
        rate = await everybody.rate_over(seconds)
        await everybody.finish()
    finally:
        everybody.cancel()
    return rate


async def _catch_up(endpoint: Endpoint, view: View) -> Columns | None:
    """The columns of a view that reads again, at the final frame; it joins anew if it has been dropped."""
    deadline = time.monotonic() + CATCH_UP_PATIENCE
    rejoined: View | None = None
    try:
        while time.monotonic() < deadline:
            current = rejoined or view
            if is_frame(current.columns("array"), END_OF_SECOND):
                return current.columns("array")
            try:
                await current.next_change("array")
            except Disconnected:
                rejoined = await join(endpoint, view.token)
            except Silence:
                return None
        return None
    finally:
        if rejoined is not None:
            with contextlib.suppress(ConnectionError):
                await rejoined.close()


FAN_OUT = Workload(
    "fan_out_20",
    "20 views of one session; the line is rewritten again and again, each time in a callback of its own",
    (
        Metric("fan_out_patches_per_s", "patches/s", Better.HIGHER, "to all views together"),
        Metric("fan_out_received", "%", Better.HIGHER, "of changes that came as a patch of their own"),
    ),
    fan_out,
    short=True,
)
SLOW_READER = Workload(
    "slow_reader",
    f"one view of three doesn't read while a 1 MB array is replaced at {HERTZ:.0f} Hz",
    (
        Metric("slow_reader_others_hz", "patches/s", Better.HIGHER, "to each view that reads"),
        Metric("slow_reader_others_kept", "%", Better.HIGHER, "of their rate while everybody reads"),
        Metric("slow_reader_server_growth", "MB", Better.LOWER, "of the server's resident memory meanwhile"),
        Metric("slow_reader_kernel_growth", "MB", Better.LOWER, "of the kernel's resident memory meanwhile"),
        Metric("slow_reader_equal", "%", Better.HIGHER, "of runs after which the slow view equals the others"),
        Metric("slow_reader_catch_up", "s", Better.LOWER, "from reading again to the final frame"),
    ),
    slow_reader,
    fresh=True,
)
