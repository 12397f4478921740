"""A Document's callbacks run when they should, and not when they were taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from bokeh.core.types import ID
from bokeh.server.callbacks import NextTickCallback, PeriodicCallback, SessionCallback, TimeoutCallback

from bokehmount.scheduling import SessionCallbacks

from .doubles import turns, until


def scheduled(test: Callable[[SessionCallbacks], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        callbacks = SessionCallbacks(asyncio.get_running_loop(), lambda callback: callback())
        await test(callbacks)
        callbacks.remove_all()
        await turns()

    asyncio.run(main())


def next_tick(function: Callable[[], Any]) -> NextTickCallback:
    return NextTickCallback(function, callback_id=ID("n"))


def timeout(function: Callable[[], Any], milliseconds: int) -> TimeoutCallback:
    return TimeoutCallback(function, milliseconds, callback_id=ID("t"))


def periodic(function: Callable[[], Any], milliseconds: int) -> PeriodicCallback:
    return PeriodicCallback(function, milliseconds, callback_id=ID("p"))


def test_a_next_tick_callback_runs_once_and_soon_but_not_at_once() -> None:
    async def test(callbacks: SessionCallbacks) -> None:
        ran: list[int] = []
        callbacks.add(next_tick(lambda: ran.append(1)))
        assert ran == []
        await turns()
        assert ran == [1]

    scheduled(test)


def test_a_timeout_callback_runs_once_after_its_time() -> None:
    async def test(callbacks: SessionCallbacks) -> None:
        loop = asyncio.get_running_loop()
        ran: list[float] = []
        started = loop.time()
        callbacks.add(timeout(lambda: ran.append(loop.time() - started), 30))
        await until(lambda: ran, "the timeout")
        assert ran[0] >= 0.029
        await asyncio.sleep(0.05)
        assert len(ran) == 1

    scheduled(test)


def test_a_periodic_callback_runs_again_and_again_and_first_after_its_period() -> None:
    async def test(callbacks: SessionCallbacks) -> None:
        ran: list[int] = []
        callbacks.add(periodic(lambda: ran.append(1), 20))
        await turns()
        assert ran == [], "not before the first period is over"
        await until(lambda: len(ran) >= 3, "three rounds")

    scheduled(test)


@pytest.mark.parametrize("make", [next_tick, lambda f: timeout(f, 10), lambda f: periodic(f, 10)])
def test_a_callback_that_was_taken_back_does_not_run(make: Callable[[Callable[[], Any]], SessionCallback]) -> None:
    async def test(callbacks: SessionCallbacks) -> None:
        ran: list[int] = []
        callback = make(lambda: ran.append(1))
        callbacks.add(callback)
        callbacks.remove(callback)
        await asyncio.sleep(0.04)
        assert ran == []
        callbacks.remove(callback)  # again: nothing happens

    scheduled(test)


def test_taking_back_a_callback_that_ran_does_nothing() -> None:
    async def test(callbacks: SessionCallbacks) -> None:
        ran: list[int] = []
        callback = next_tick(lambda: ran.append(1))
        callbacks.add(callback)
        await turns()
        callbacks.remove(callback)
        assert ran == [1]

    scheduled(test)


def test_a_periodic_callback_may_end_itself() -> None:
    async def test(callbacks: SessionCallbacks) -> None:
        ran: list[int] = []

        def tick() -> None:
            ran.append(1)
            callbacks.remove(callback)

        callback = periodic(tick, 5)
        callbacks.add(callback)
        await until(lambda: ran, "the first round")
        await asyncio.sleep(0.03)
        assert ran == [1]

    scheduled(test)


def test_a_slow_periodic_callback_never_overlaps_itself_and_goes_on() -> None:
    async def test(callbacks: SessionCallbacks) -> None:
        running, most, rounds = 0, 0, 0

        async def slow() -> None:
            nonlocal running, most, rounds
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.03)
            running -= 1
            rounds += 1

        callbacks.add(periodic(slow, 5))
        await until(lambda: rounds >= 3, "three rounds")
        assert most == 1

    scheduled(test)


def test_a_slow_periodic_callback_that_is_taken_back_while_it_runs_does_not_run_again() -> None:
    async def test(callbacks: SessionCallbacks) -> None:
        started: list[int] = []
        ended: list[int] = []

        async def slow() -> None:
            started.append(1)
            await asyncio.sleep(0.02)
            ended.append(1)

        callback = periodic(slow, 5)
        callbacks.add(callback)
        await until(lambda: started, "the first round")
        callbacks.remove(callback)
        await until(lambda: ended, "its end")
        await asyncio.sleep(0.03)
        assert started == ended == [1]

    scheduled(test)


def test_a_blocked_loop_is_not_followed_by_a_burst() -> None:
    async def test(callbacks: SessionCallbacks) -> None:
        ran: list[float] = []
        loop = asyncio.get_running_loop()
        callbacks.add(periodic(lambda: ran.append(loop.time()), 20))
        end = loop.time() + 0.15
        while loop.time() < end:
            pass
        await turns(20)
        assert len(ran) <= 2

    scheduled(test)


def test_forgetting_all_cancels_what_waits() -> None:
    async def main() -> None:
        callbacks = SessionCallbacks(asyncio.get_running_loop(), lambda callback: callback())
        went_on: list[str] = []

        async def long() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                went_on.append("cancelled")
                raise

        callbacks.add(next_tick(long))
        callbacks.add(timeout(lambda: went_on.append("timeout"), 5))
        callbacks.add(periodic(lambda: went_on.append("periodic"), 5))
        await turns()
        callbacks.remove_all()
        await asyncio.sleep(0.03)
        assert went_on == ["cancelled"]

    asyncio.run(main())


def test_something_else_is_refused() -> None:
    async def test(callbacks: SessionCallbacks) -> None:
        with pytest.raises(ValueError, match="expected a next-tick, timeout or periodic callback"):
            callbacks.add(object())  # type: ignore[arg-type]

    scheduled(test)


def test_it_is_run_by_what_the_session_gives() -> None:
    async def main() -> None:
        seen: list[Callable[[], Any]] = []

        def run(callback: Callable[[], Any]) -> Awaitable[Any] | None:
            seen.append(callback)
            return None

        callbacks = SessionCallbacks(asyncio.get_running_loop(), run)
        callback = next_tick(lambda: None)
        callbacks.add(callback)
        await turns()
        assert seen == [callback.callback]

    asyncio.run(main())


def test_what_comes_after_the_end_never_runs() -> None:
    async def test(callbacks: SessionCallbacks) -> None:
        ran: list[int] = []
        callbacks.remove_all()
        for callback in (next_tick(lambda: ran.append(1)), periodic(lambda: ran.append(2), 1)):
            callbacks.add(callback)
        await asyncio.sleep(0.02)
        assert ran == []

    scheduled(test)
