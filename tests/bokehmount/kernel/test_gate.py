"""The way to the main thread, and the knowledge whether it is busy."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from bokehmount.kernel import gate
from bokehmount.kernel.gate import MainGate

from ..doubles import until


@contextmanager
def watching() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in a thread of its own, as the control channel's."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_work_is_done_in_order_on_the_main_thread_and_a_free_one_is_not_called_busy() -> None:
    async def main(watch: asyncio.AbstractEventLoop) -> None:
        told: list[bool] = []
        done: list[tuple[int, int]] = []
        entrance = MainGate(asyncio.get_running_loop(), watch, told.append)

        def hand_over() -> None:
            for number in range(20):
                entrance.run(lambda number=number: done.append((number, threading.get_ident())))  # type: ignore[misc]

        thread = threading.Thread(target=hand_over)
        thread.start()
        await until(lambda: len(done) == 20, "all work")
        thread.join()
        assert done == [(number, threading.get_ident()) for number in range(20)]
        await asyncio.sleep(0.6)
        assert told == [] and not entrance.busy

    with mock.patch.object(gate, "PATIENCE", 0.4), watching() as watch:
        asyncio.run(main(watch))


def test_a_busy_main_thread_is_told_of_once_and_so_is_its_freedom() -> None:
    async def main(watch: asyncio.AbstractEventLoop) -> None:
        told: list[bool] = []
        done: list[str] = []
        entrance = MainGate(asyncio.get_running_loop(), watch, told.append)
        for _ in range(2):
            told.clear()
            done.clear()
            for name in ("first", "second"):
                watch.call_soon_threadsafe(entrance.run, lambda name=name: done.append(name))
            end = time.monotonic() + 0.4
            while time.monotonic() < end:  # a cell that runs
                time.sleep(0.01)
            assert told == [True] and entrance.busy and done == []
            await until(lambda: done == ["first", "second"], "the work")
            assert told == [True, False] and not entrance.busy

    with mock.patch.object(gate, "PATIENCE", 0.05), watching() as watch:
        asyncio.run(main(watch))


def test_it_is_busy_until_the_last_of_what_waited_is_done() -> None:
    async def main(watch: asyncio.AbstractEventLoop) -> None:
        told: list[bool] = []
        told_before: list[list[bool]] = []
        entrance = MainGate(asyncio.get_running_loop(), watch, told.append)

        def work() -> None:
            told_before.append(list(told))
            time.sleep(0.2)
            told_before.append(list(told))
            if len(told_before) == 4:
                raise ValueError("on purpose")

        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context["exception"]))
        for _ in range(2):
            watch.call_soon_threadsafe(entrance.run, work)
        time.sleep(0.3)  # a cell that runs
        await until(lambda: len(told_before) == 4, "the work")
        await asyncio.sleep(0)
        assert told_before == [[True]] * 4
        assert told == [True, False] and not entrance.busy
        assert len(failures) == 1, "whatever becomes of it"

    with mock.patch.object(gate, "PATIENCE", 0.05), watching() as watch:
        asyncio.run(main(watch))


def test_what_is_told_last_is_so_also_where_the_other_thread_is_still_telling() -> None:
    async def main(watch: asyncio.AbstractEventLoop) -> None:
        told: list[bool] = []
        done: list[str] = []

        def tell(busy: bool) -> None:
            if busy:
                time.sleep(0.3)
            told.append(busy)

        entrance = MainGate(asyncio.get_running_loop(), watch, tell)
        watch.call_soon_threadsafe(entrance.run, lambda: done.append("work"))
        time.sleep(0.2)  # a cell that ends while the other thread tells that it runs
        await until(lambda: done == ["work"] and len(told) == 2, "all to be told")
        assert told == [True, False] and not entrance.busy

    with mock.patch.object(gate, "PATIENCE", 0.05), watching() as watch:
        asyncio.run(main(watch))


def test_a_main_thread_that_is_busy_without_work_of_ours_is_nobodys_business() -> None:
    async def main(watch: asyncio.AbstractEventLoop) -> None:
        told: list[bool] = []
        MainGate(asyncio.get_running_loop(), watch, told.append)
        time.sleep(0.15)
        await asyncio.sleep(0)
        assert told == []

    with mock.patch.object(gate, "PATIENCE", 0.05), watching() as watch:
        asyncio.run(main(watch))


def test_on_the_main_thread_work_is_done_at_once() -> None:
    async def main(watch: asyncio.AbstractEventLoop) -> None:
        done: list[str] = []
        MainGate(asyncio.get_running_loop(), watch, lambda busy: None).run(lambda: done.append("now"))
        assert done == ["now"]

    with watching() as watch:
        asyncio.run(main(watch))
