"""The kernel's own thread, and the pace at which a cell's edits leave it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from bokehmount.kernel.io_thread import FRAME, IOThread, Paced


@pytest.fixture
def thread() -> Iterator[IOThread]:
    thread = IOThread()
    thread.start()
    yield thread
    thread.stop()


def test_it_ends_when_it_is_stopped() -> None:
    thread = IOThread()
    thread.start()
    thread.stop()
    assert "bokehmount-io" not in [other.name for other in threading.enumerate()]


def test_what_is_paced_is_called_at_once_and_then_once_in_a_frame(thread: IOThread) -> None:
    paced, times, called = Paced(thread.loop), list[float](), threading.Event()

    def work() -> None:
        times.append(time.monotonic())
        called.set()

    for _ in range(20):
        called.clear()
        paced(work)
        assert called.wait(5)
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) > 0.9 * FRAME


def test_all_that_wait_are_called_together_though_one_fails(thread: IOThread) -> None:
    thread.loop.set_exception_handler(lambda loop, context: None)
    paced, called, done = Paced(thread.loop), list[int](), threading.Event()

    def fail() -> None:
        raise RuntimeError("on purpose")

    for work in (lambda: called.append(1), fail, lambda: called.append(2), done.set):
        paced(work)
    assert done.wait(5)
    assert called == [1, 2]
