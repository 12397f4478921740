"""Sends what an app's callbacks print, and their tracebacks, to the cell that showed the app and to its views.

ipykernel sends output to the cell whose request is the current parent; around each run of user code that is the cell
which called ``show``.  A copy of the text goes to the views.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, TextIO

from ..stage import OneProcess, user_traceback
from .cell import cell_of, set_cell
from .interrupts import interruptible

__all__ = ("CellStage", "OutputTap")

Listener = Callable[[str, bool], None]

_listener: ContextVar[Listener | None] = ContextVar("bokehmount_listener", default=None)


class OutputTap:
    """Passes on what is printed while a listener is set; the streams themselves are left as they are.

    ipykernel's streams copy what they are given to their ``echo``, in the writer's own thread and context.
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def open(self) -> None:
        """Begin to listen."""
        for stream, error in ((sys.stdout, False), (sys.stderr, True)):
            if hasattr(stream, "echo"):
                echo = _Echo(stream.echo, error)
                self._undo.append(_restore(stream, stream.echo))
                stream.echo = echo

    def close(self) -> None:
        """Stop to listen."""
        for undo in self._undo:
            undo()
        self._undo.clear()


def _restore(stream: Any, before: TextIO | None) -> Callable[[], None]:
    def undo() -> None:
        stream.echo = before

    return undo


class _Echo:
    def __init__(self, before: TextIO | None, error: bool) -> None:
        self._before = before
        self._error = error
        self._process = os.getpid()
        self._descriptor = 2 if error else 1
        self._has_terminal = os.isatty(self._descriptor)

    def write(self, text: str) -> int:
        if os.getpid() != self._process:
            self._write_in_worker(text)
        elif (listener := _listener.get()) is not None:
            listener(text, self._error)
        if self._before is not None:
            self._before.write(text)
        return len(text)

    def _write_in_worker(self, text: str) -> None:
        """One that a callback has forked: with a terminal of its own (`pty.fork`), as Panel's has, it is heard there.

        No listener hears of it: it would write into the middle of what the kernel's process sends.
        """
        if not self._has_terminal and os.isatty(self._descriptor):
            os.write(self._descriptor, text.encode())

    def flush(self) -> None:
        if self._before is not None:
            self._before.flush()


_LIVE: Final = 0.05
"""Seconds after which a callback that goes on for long has its lines passed on before it ends."""


class _Joined:
    """Joins what is written in pieces: ``print("a", "b")`` writes four."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._mutex = threading.Lock()
        self._pieces: list[tuple[str, bool]] = []
        self._passed = 0.0

    def write(self, text: str, error: bool) -> None:
        """Keep a piece until this turn of the loop ends, or a line does that comes late."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # another thread, to which the context was taken along
            loop = None
        with self._mutex:
            is_first = not self._pieces
            self._pieces.append((text, error))
        if loop is None or (text.endswith("\n") and time.monotonic() - self._passed >= _LIVE):
            self.flush()
        elif is_first:
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Pass on what was kept."""
        with self._mutex:
            pieces, self._pieces = self._pieces, []
            self._passed = time.monotonic()
        for error, group in groupby(pieces, itemgetter(1)):
            self._listener("".join(text for text, _ in group), error)


class CellStage:
    """Where the callbacks of one app run.

    Args:
        shell: the interactive shell
        cell: the request of the cell that showed the app, as `cell.cell_of` gives it
        listener: called with what is printed, and whether it is an error
    """

    def __init__(self, shell: Any, cell: dict[str, Any], listener: Listener) -> None:
        self._shell = shell
        self._cell = cell
        self._joined = _Joined(listener)

    @contextmanager
    def entered(self, *, awaits: bool = False) -> Iterator[None]:
        """User code runs: its output is the app's, and the user can interrupt it."""
        with self._printing(), interruptible(), OneProcess():
            yield

    @contextmanager
    def _printing(self) -> Iterator[None]:
        before = cell_of(self._shell)
        heard = _listener.get()
        _listener.set(self._joined.write)
        if self._cell:
            # also where the shell says that this is the cell: in work that came by the control thread, the streams have
            # a context of their own, in which there is no cell at all
            set_cell(self._shell, self._cell)
        try:
            yield
        finally:
            self._joined.flush()
            _listener.set(heard)
            if self._cell and before:
                set_cell(self._shell, before)

    def raised(self, error: BaseException, where: str) -> None:
        """Print a traceback, without our own frames, where the user looks: what it broke may be ``sys.stderr``."""
        text = f"{where} raised:\n{user_traceback(error)}"
        with self._printing():
            for stream in (sys.stderr, sys.stdout):
                try:
                    print(text, file=stream, flush=True)
                    break
                except Exception as broken:  # else it would end the main thread's loop, and the kernel
                    text = f"{text}\n(it can't be printed to {stream!r}: {broken})"
