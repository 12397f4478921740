"""What surrounds the callbacks of a session, and who hears when one raises.

A server writes to its log; a kernel routes prints and tracebacks to the cell that showed the app, and to its views.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
import traceback
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

__all__ = (
    "NOT_OF_USERS",
    "USER_ERRORS",
    "BrokenOff",
    "LogStage",
    "OneProcess",
    "Stage",
    "is_bokehs",
    "user_traceback",
)

log = logging.getLogger("bokehmount")

USER_ERRORS: Final = BaseException
"""What user code raises and nobody else may suffer from: ``sys.exit()`` in an app ends no kernel and no server, and a
panic of a library written in Rust is no `Exception` either, such as one of Polars."""

NOT_OF_USERS: Final = (asyncio.CancelledError, GeneratorExit)
"""What ends code that awaits, though it did not raise it."""

_BOKEHS: Final = frozenset(("", "bokeh", "bokehmount", "bokehmount_server"))
_BEFORE_USERS: Final = ("bokehmount.", "bokehmount_server.", "bokeh.document.", "bokeh.application.", "bokeh.io.")
"""Modules whose frames stand before those of the user's code in a traceback."""

_CALLED: Final = sys.stdlib_module_names | {"numpy", "PIL"}
"""Packages that raise for whoever calls them, such as Bokeh where it decodes what was sent."""


class BrokenOff(KeyboardInterrupt):
    """A callback that held its loop up was interrupted; the loop knows of the signal and ends by itself."""


class OneProcess:
    """A context that a process which was forked in it does not leave: there it would serve our sockets, too.

    So user code may fork and forget about the child, as Panel's ``Terminal.subprocess`` does.
    """

    __slots__ = ("_process",)

    def __enter__(self) -> None:
        self._process = os.getpid()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        if os.getpid() == self._process:
            return
        if error is not None:
            traceback.print_exception(error)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(error is not None)


HELD: Final = 1.0
"""Seconds for which user code may hold its loop up, and with it all others, before the log tells of it."""


class _Watched(OneProcess):
    """User code that nobody is answered beside, in a server."""

    __slots__ = ("_began", "_stage")

    def __init__(self, stage: LogStage) -> None:
        self._stage = stage

    def __enter__(self) -> None:
        super().__enter__()
        self._began = time.monotonic()

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        if time.monotonic() - self._began >= HELD:
            self._stage.held(self._began)


class Stage(Protocol):
    """Where a session's user code runs."""

    def entered(self, *, awaits: bool = False) -> AbstractContextManager[object]:
        """A context around each run of user code, or around code that awaits it."""

    def raised(self, error: BaseException, where: str) -> None:
        """User code raised; ``where`` is what ran, in words."""


class LogStage:
    """Errors go to the log with their traceback; Ctrl-C is meant for the server, whatever it meets.

    Args:
        app: where the app is, for the log
    """

    def __init__(self, app: str | None = None) -> None:
        self._app = app
        self._told = 0.0

    def entered(self, *, awaits: bool = False) -> AbstractContextManager[object]:
        return OneProcess() if awaits else _Watched(self)

    def held(self, began: float) -> None:
        """User code that began then, on the clock of `time.monotonic`, has ended, and it took long."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # a thread's, which holds nobody up
            return
        if self._told < began:  # else it was told of code that ran within this
            self._told = time.monotonic()
            log.warning(
                "code of the app %s held this server up for %.1f s, in which nobody was answered; what takes a "
                "callback long can be left to a thread, as by `await asyncio.to_thread(...)`",
                self._app or "/",
                self._told - began,
            )

    def raised(self, error: BaseException, where: str) -> None:
        if isinstance(error, KeyboardInterrupt) and not isinstance(error, BrokenOff):
            raise error
        log.error("error in %s: %r", where, error, exc_info=error)


def is_bokehs(error: BaseException) -> bool:
    """Whether Bokeh or we raised it, as of what a browser has sent; else what it says is of the app and its server."""
    raiser = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _CALLED:
            raiser = package
    return raiser in _BOKEHS


def user_traceback(error: BaseException) -> str:
    """A traceback that begins in the user's code."""
    frames = error.__traceback__
    first = frames
    while first is not None and str(first.tb_frame.f_globals.get("__name__", "")).startswith(_BEFORE_USERS):
        first = first.tb_next
    return "".join(traceback.format_exception(type(error), error, first or frames))
