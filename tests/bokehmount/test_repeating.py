"""Work that is done again and again."""

from __future__ import annotations

import asyncio

from bokehmount.repeating import forever

from .doubles import turns


def test_something_done_again_and_again_may_be_async() -> None:
    async def main() -> None:
        done: list[str] = []

        async def work() -> None:
            done.append("async")

        tasks = [asyncio.create_task(forever(function, 0.001)) for function in (work, lambda: done.append("plain"))]
        while done.count("async") < 2 or done.count("plain") < 2:
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await turns()
        assert all(task.cancelled() for task in tasks)

    asyncio.run(main())
