"""What an app and its hooks know of their server and session, by the names of ``bokeh.server.contexts``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bokeh.application.application import Application

from bokehmount import contexts as core
from bokehmount.contexts import BokehServerContext, BokehSessionContext
from bokehmount.stage import Stage

from .session import ServerSession

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

__all__ = ("ApplicationContext", "BokehServerContext", "BokehSessionContext")


class ApplicationContext(core.ApplicationContext):
    """One application and its sessions, which are this package's; see `bokehmount.contexts.ApplicationContext`."""

    def __init__(
        self,
        application: Application | Callable[[], Application],
        io_loop: IOLoop | None = None,
        url: str | None = None,
        logout_url: str | None = None,
        *,
        stage: Stage | None = None,
    ) -> None:
        super().__init__(application, io_loop, url, logout_url, stage=stage, make_session=ServerSession)

    def run_on(self, io_loop: IOLoop) -> None:
        """Have the sessions live on this loop."""
        self._loop = io_loop
