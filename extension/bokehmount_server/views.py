"""Tells views in words what is happening to them, over a WebSocket of their own that the server alone answers.

A view's page listens here whether its app is there, still to come, or gone; so it is never blank and never wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from tornado.websocket import WebSocketClosedError

from bokehmount.errors import AppError, BokehMountError, KernelLost, SessionEnded

__all__ = ("StatusSocket", "View", "Views")

log = logging.getLogger(__name__)

BUSY = "The kernel is busy. This opens by itself when it is free."
SILENT = "The kernel has not answered for a while. All goes on when it does; if it does not, restart it."
STARTING = "Starting the app …"

USED = "used"
"""What a view says while its user points, types or scrolls.  All else that it says promises that it would."""


class StatusSocket(Protocol):
    """What sends text to a view."""

    def say(self, text: str) -> None:
        """Send a message; raises `tornado.websocket.WebSocketClosedError` where it is closed."""


@dataclass(eq=False)
class View:
    """One page that shows an app.

    Args:
        kernel_id: the app's kernel
        app: the app's path
        session_id: what it looks at
        socket: reaches it
    """

    kernel_id: str
    app: str
    session_id: str
    socket: StatusSocket
    waits: bool = False  # for an app to be shown at this path again
    run: str | None = None  # the cell's run that showed the app which it has seen fail
    watches: bool = False  # and so says when its user does something

    def tell(self, state: str, text: str = "", **more: Any) -> None:
        """Send what is happening."""
        words = orjson.dumps({"state": state, "text": text, **more}).decode()
        with suppress(WebSocketClosedError):  # its on_close follows
            self.socket.say(words)

    def tell_busy(self, silent: bool = False) -> None:
        """Say that what is done here has to wait for the kernel, which may not even answer."""
        self.tell("busy", SILENT, silent=True) if silent else self.tell("busy", BUSY)


class Views:
    """The views of all kernels' apps, and the pages that kernels still owe them."""

    def __init__(self) -> None:
        self._views: set[View] = set()
        self._owed: dict[tuple[str, str], asyncio.Future[str]] = {}
        self._runs: dict[str, dict[str, str]] = {}
        self._broken: dict[str, str] = {}  # kernels that can't be reached for now, and why

    def add(self, view: View, *, busy: bool, silent: bool = False) -> None:
        """A view listens from now on, and is told at once how things stand.

        Args:
            view: the view
            busy: whether its kernel is
            silent: and does not answer at all
        """
        self._views.add(view)
        owed = self._owed.get((view.kernel_id, view.session_id))
        if view.kernel_id in self._broken:
            view.tell("lost", self._broken[view.kernel_id])
        elif owed is None:
            view.tell("ready")  # a page that was cut off comes back on this
            if busy:
                view.tell_busy(silent)
        elif owed.done():
            self._tell_outcome(view, owed)
        else:
            view.tell_busy(silent) if busy else view.tell("starting", STARTING)

    def add_failed(self, view: View, run: str) -> None:
        """A view listens that shows why there is no app; it is told when there is one again.

        Args:
            run: what `run_of` said when that page was written
        """
        self._views.add(view)
        view.waits, view.run = True, run
        self._tell_if_there_again(view)

    def apps_are(self, kernel_id: str, runs: dict[str, str]) -> None:
        """A kernel has these apps now: by their paths, the runs of the cells that showed them."""
        self._runs[kernel_id] = runs
        for view in self.of(lambda view: view.kernel_id == kernel_id):
            self._tell_if_there_again(view)

    def run_of(self, kernel_id: str, app: str) -> str:
        """The run of the cell that showed an app; nothing where there is no such app."""
        return self._runs.get(kernel_id, {}).get(app, "")

    def _tell_if_there_again(self, view: View) -> None:
        run = self._runs.get(view.kernel_id, {}).get(view.app)
        if view.waits and run is not None and run != view.run:
            view.tell("moved", "The app is there again.")

    def kernel_lost(self, kernel_id: str, state: str, text: str) -> None:
        """A kernel's apps are gone; tell their views."""
        self._runs.pop(kernel_id, None)
        self._broken.pop(kernel_id, None)
        for view in self.of(lambda view: view.kernel_id == kernel_id):
            view.waits, view.run = True, None
            view.tell(state, text)

    def ended(self, view: View, text: str) -> None:
        """What a view shows has ended; it is told when there is another app in its place."""
        view.waits, view.run = True, self.run_of(view.kernel_id, view.app)
        view.tell("ended", text)

    def line_broken(self, kernel_id: str, text: str) -> None:
        """A kernel can't be reached for now; its sessions may live on."""
        self._broken[kernel_id] = text
        for view in self.of(lambda view: view.kernel_id == kernel_id and not view.waits):
            view.tell("lost", text)

    def line_back(self, kernel_id: str) -> None:
        """It can be reached again: pages find their sessions, or are told that these have ended."""
        self._broken.pop(kernel_id, None)
        for view in self.of(lambda view: view.kernel_id == kernel_id and not view.waits):
            view.tell("ready")

    def remove(self, view: View) -> None:
        """A view is gone."""
        self._views.discard(view)

    def hear(self, view: View, message: str | bytes) -> bool:
        """A view said something.

        Returns:
            whether its user did something
        """
        view.watches = True
        return message == USED

    def watched(self, kernel_id: str, session_id: str) -> bool:
        """Whether a session's pages say themselves when somebody uses them.

        Else each change that comes from a browser has to count, and BokehJS sends some by itself: the ends of a range
        that follows a stream.
        """
        return any(
            view.watches and (view.kernel_id, view.session_id) == (kernel_id, session_id) for view in self._views
        )

    def of(self, wanted: Callable[[View], bool]) -> Iterable[View]:
        """The views for which this holds."""
        return [view for view in self._views if wanted(view)]

    def owe(self, kernel_id: str, session_id: str, page: asyncio.Future[str], keep: float) -> None:
        """A page will come; its view is told when it is there.

        Args:
            kernel_id: the kernel that renders it
            session_id: its session
            page: the page
            keep: seconds for which its outcome is remembered, for a view that has not begun to listen yet
        """
        key = (kernel_id, session_id)
        self._owed[key] = page

        def forget() -> None:
            if self._owed.get(key) is page:
                del self._owed[key]

        def done(_: object) -> None:
            error = None if page.cancelled() else page.exception()
            if error is not None and not isinstance(error, BokehMountError):
                log.error("bokehmount: a page could not be had", exc_info=error)
            for view in self._views_of(*key):
                self._tell_outcome(view, page)
            asyncio.get_running_loop().call_later(keep, forget)

        page.add_done_callback(done)

    def collect(self, kernel_id: str, session_id: str) -> str | None:
        """The page that was owed, if it is there: its view comes for it, once."""
        page = self._owed.get((kernel_id, session_id))
        if page is None or not page.done() or page.cancelled() or page.exception() is not None:
            return None
        del self._owed[kernel_id, session_id]
        return page.result()

    def _tell_outcome(self, view: View, page: asyncio.Future[str]) -> None:
        if page.cancelled():
            view.tell("gone", "The server stopped waiting for the kernel: reload the page.")
            return
        error = page.exception()
        if error is None:
            view.tell("ready")
        else:
            self._tell_error(view, error)

    def refused(self, kernel_id: str, session_id: str, error: Exception) -> None:
        """A page that comes back does not find its session any more, of which only BokehJS would hear."""
        if kernel_id in self._broken and isinstance(error, KernelLost):
            return
        for view in self._views_of(kernel_id, session_id):
            if not view.waits:  # else it knows already
                self._tell_error(view, error)

    def unsent(self, kernel_id: str, session_id: str, why: str) -> None:
        """A message from a session's page was dropped."""
        for view in self._views_of(kernel_id, session_id):
            view.tell("unsent", _sentence(why))

    def _views_of(self, kernel_id: str, session_id: str) -> Iterable[View]:
        return self.of(lambda view: (view.kernel_id, view.session_id) == (kernel_id, session_id))

    def _tell_error(self, view: View, error: BaseException) -> None:
        view.waits, view.run = True, self.run_of(view.kernel_id, view.app)
        match error:
            case AppError():
                view.tell("raised", f"The app raised {error}", detail=error.traceback)
            case SessionEnded():
                view.tell("ended", _sentence(error))
            case BokehMountError():
                view.tell("gone", _sentence(error))
            case _:
                view.tell("gone", "The server failed; its log says why.")


def _sentence(error: BaseException | str) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
