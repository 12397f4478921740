"""The lock of a Document is fair, and nobody who gives up keeps it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bokehmount.lock import DocumentLock

from .doubles import turns


def test_a_free_lock_is_taken_at_once_and_only_once() -> None:
    lock = DocumentLock()
    assert lock.try_acquire() and lock.held
    assert not lock.try_acquire()
    lock.release()
    assert not lock.held and lock.try_acquire()


def test_who_asks_first_is_served_first() -> None:
    async def main() -> list[int]:
        lock, served = DocumentLock(), []
        assert lock.try_acquire()

        async def work(number: int) -> None:
            await lock.acquire()
            served.append(number)
            await turns(2)
            lock.release()

        tasks = []
        for number in range(5):
            tasks.append(asyncio.create_task(work(number)))
            await turns(1)
        lock.release()
        await asyncio.gather(*tasks)
        assert not lock.held
        return served

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


def test_nobody_jumps_the_queue() -> None:
    async def main() -> None:
        lock = DocumentLock()
        await lock.acquire()
        waiting = asyncio.create_task(lock.acquire())
        await turns(1)
        lock.release()
        assert not lock.try_acquire(), "it was handed to the one who waits"
        await waiting
        assert lock.held

    asyncio.run(main())


def test_who_gives_up_waiting_is_forgotten() -> None:
    async def main() -> None:
        lock = DocumentLock()
        await lock.acquire()
        first, second = asyncio.create_task(lock.acquire()), asyncio.create_task(lock.acquire())
        await turns(1)
        first.cancel()
        await turns(2)
        lock.release()
        await asyncio.wait_for(second, 1)
        lock.release()
        assert not lock.held

    asyncio.run(main())


def test_who_is_cancelled_in_the_moment_of_its_release_is_only_cancelled() -> None:
    async def main() -> None:
        lock = DocumentLock()
        await lock.acquire()
        waiting = asyncio.create_task(lock.acquire())
        await turns(1)
        waiting.cancel()
        lock.release()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert lock.try_acquire()

    asyncio.run(main())


def test_who_is_cancelled_in_the_moment_of_getting_it_passes_it_on() -> None:
    async def main() -> None:
        lock = DocumentLock()
        await lock.acquire()
        first, second = asyncio.create_task(lock.acquire()), asyncio.create_task(lock.acquire())
        await turns(1)
        lock.release()  # it is first's now
        first.cancel()
        await asyncio.wait_for(second, 1)
        with pytest.raises(asyncio.CancelledError):
            await first
        lock.release()
        assert not lock.held and lock.try_acquire()

    asyncio.run(main())


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=8))
def test_however_many_give_up_it_is_never_held_twice_and_free_in_the_end(plans: list[tuple[bool, int]]) -> None:
    async def main() -> None:
        lock, inside = DocumentLock(), 0

        async def work(rounds: int) -> None:
            nonlocal inside
            await lock.acquire()
            inside += 1
            assert inside == 1
            try:
                await turns(rounds)
            finally:
                inside -= 1
                lock.release()

        tasks = [asyncio.create_task(work(rounds)) for _, rounds in plans]
        await turns(2)
        for task, (gives_up, rounds) in zip(tasks, plans, strict=True):
            if gives_up:
                await turns(rounds)
                task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert not lock.held

    asyncio.run(main())
