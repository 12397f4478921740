"""An interrupt reaches user code of an app, and nothing else that runs between cells."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from bokehmount.kernel.interrupts import interruptible


@pytest.fixture(autouse=True)
def between_cells() -> Iterator[None]:
    """The signal is ignored, as ipykernel has it while no cell runs."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_user_code_is_interrupted_as_often_as_its_user_wants() -> None:
    caught = 0
    with pytest.raises(KeyboardInterrupt), interruptible():
        try:
            interrupt()
        except KeyboardInterrupt:
            caught += 1
        interrupt()
    assert caught == 1
    interrupt()  # ignored again
    with pytest.raises(KeyboardInterrupt), interruptible():
        interrupt()


def test_the_traceback_ends_in_the_users_code() -> None:
    with pytest.raises(KeyboardInterrupt) as raised, interruptible():
        interrupt()
    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "interrupt"


def test_an_app_inside_of_an_app_is_reached_too_and_after_it_the_outer_one() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        with pytest.raises(KeyboardInterrupt), interruptible():
            interrupt()
        interrupt()


def test_what_others_do_while_a_callback_awaits_is_not_interrupted() -> None:
    done: list[str] = []

    async def callback() -> None:
        with interruptible():
            asyncio.get_running_loop().call_soon(other)
            another = asyncio.create_task(task())
            await asyncio.sleep(0.05)
            await another
            try:
                interrupt()
            except KeyboardInterrupt:
                done.append("callback")

    def other() -> None:
        interrupt()
        done.append("other")

    async def task() -> None:
        interrupt()
        done.append("task")

    asyncio.run(callback())
    assert done == ["other", "task", "callback"]


def test_a_handler_that_is_there_stays() -> None:
    heard: list[Any] = []

    def handler(*args: Any) -> None:
        heard.append(args)

    signal.signal(signal.SIGINT, handler)
    with interruptible():
        interrupt()
    assert len(heard) == 1 and signal.getsignal(signal.SIGINT) is handler


def test_in_another_thread_nothing_is_done() -> None:
    def work() -> None:
        with interruptible():
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
