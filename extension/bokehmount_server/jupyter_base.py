"""Jupyter's login, authorisation and origin rules on our handlers; nothing of them is taken away."""

from __future__ import annotations

from typing import Any, Final

from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin

from .hosts import origin_allowed
from .websocket import AppSocket

__all__ = ("AUTH_RESOURCE", "JupyterPage", "JupyterSocket")

AUTH_RESOURCE: Final = "bokeh"


class JupyterPage(JupyterHandler):
    """The base of our pages and files."""

    auth_resource = AUTH_RESOURCE

    def write_words(self, status: int, page: str) -> None:
        """Answer with a page of our own."""
        self.set_status(status)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.finish(page)


class JupyterSocket(AppSocket, WebSocketMixin, JupyterHandler):
    """The base of our WebSockets: authenticated and authorised before the upgrade, origin checked by Jupyter's rule."""

    auth_resource = AUTH_RESOURCE
    extra_origins: tuple[str, ...] = ()

    # WebSocketMixin counts milliseconds under a name that Tornado reads in seconds, and pings by itself
    ping_interval = AppSocket.ping_interval
    ping_timeout = AppSocket.ping_timeout

    def check_origin(self, origin: str | None = None) -> bool:
        """Jupyter's check, or one of the origins that the administrator added."""
        return bool(WebSocketMixin.check_origin(self, origin)) or self._is_extra(origin)

    def _is_extra(self, origin: str | None) -> bool:
        return origin is not None and bool(self.extra_origins) and origin_allowed(origin, self.extra_origins)

    @ws_authenticated
    @authorized
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Upgrade to a WebSocket."""
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError
