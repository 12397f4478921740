"""Lets the user interrupt what runs between cells: a callback that hangs, an app that builds its Document for ever.

ipykernel ignores the signal while no cell runs.  Instead, a handler now ignores it unless user code of an app is what
runs right now: elsewhere `KeyboardInterrupt` would end the kernel's loop.  A cell still has ipykernel's own handler,
which is put in place before the cell and taken back after it.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ("interruptible",)

# A process has one handler of the signal, and so one list.  None is a callback of the loop that is no task.
_reached: list[asyncio.Task[Any] | None] = []


@contextmanager
def interruptible() -> Iterator[None]:
    """An interrupt raises in this block; while the block awaits, not in what others do meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupted)
    task = _current_task()
    _reached.append(task)
    try:
        yield
    except KeyboardInterrupt as error:
        _forget_handler(error)
        raise
    finally:
        _reached.remove(task)


def _interrupted(_number: int, frame: FrameType | None) -> None:
    is_ours = frame is not None and frame.f_code.co_filename == __file__  # a block just begins or ends
    if not is_ours and _current_task() in _reached:
        raise KeyboardInterrupt


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs
        return None


def _forget_handler(error: BaseException) -> None:
    """The handler's own frame is no part of what the user is to read."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        if place.tb_next.tb_frame.f_code is _interrupted.__code__:
            place.tb_next = None
        place = place.tb_next
