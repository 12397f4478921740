"""Jupyter's login, authorisation and origin rules on our handlers; nothing of them is taken away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.iostream import StreamClosedError

from .hosts import origin_allowed
from .websocket import AppSocket

__all__ = ("AUTH_RESOURCE", "JupyterPage", "JupyterSocket")

AUTH_RESOURCE: Final = "bokeh"

_TOKEN_IN_URL: Final = "The token in the URL was not accepted: send it in a header, as Authorization: token ..."

_HEARTBEAT: Final = b"\x8a\x00"
"""A pong that nobody asked for: "a unidirectional heartbeat", which nobody answers (RFC 6455, section 5.5.3)."""

_Method = Callable[..., Coroutine[Any, Any, None]]

# what a kernel's own WebSocket asks for: a view runs callbacks
_may_execute: Callable[[_Method], _Method] = authorized(action="execute")


class JupyterPage(JupyterHandler):
    """The base of our pages and files."""

    auth_resource = AUTH_RESOURCE

    @property
    def content_security_policy(self) -> str:
        """The server's own, where our page may stand in a page of this server.

        JupyterHub's servers forbid all frames, because users share an origin there; a notebook of the same server is
        the one place that needs one.
        """
        policy = super().content_security_policy
        if self._is_framed_by_this_server():
            return policy.replace("frame-ancestors 'none'", "frame-ancestors 'self'")
        return policy

    def _is_framed_by_this_server(self) -> bool:
        referer = urlsplit(self.request.headers.get("Referer", ""))
        return (
            referer.netloc == self.request.host
            and unquote(referer.path).startswith(unquote(self.base_url))
            and self.request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
        )

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
    _next_beat: asyncio.TimerHandle | None = None

    @property
    def ping_interval(self) -> None:
        """Nothing is to answer: JupyterHub's proxy takes a browser's answer to a ping for its user's activity."""

    @property
    def ping_timeout(self) -> None:
        """See `ping_interval`."""

    def check_origin(self, origin: str | None = None) -> bool:
        """Jupyter's check, or one of the origins that the administrator added."""
        return bool(WebSocketMixin.check_origin(self, origin)) or self._is_extra(origin)

    def _is_extra(self, origin: str | None) -> bool:
        return origin is not None and bool(self.extra_origins) and origin_allowed(origin, self.extra_origins)

    @ws_authenticated
    @_may_execute
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Upgrade to a WebSocket, until it is closed."""
        self._beat_later()
        try:
            await super().get(*args, **kwargs)
        finally:
            if self._next_beat is not None:
                self._next_beat.cancel()

    def _beat_later(self) -> None:
        if self.limits.ping:
            self._next_beat = asyncio.get_running_loop().call_later(self.limits.ping, self._beat)

    def _beat(self) -> None:
        """Keep proxies from cutting an idle connection; one that is dead is noticed by TCP."""
        self._beat_later()
        connection = self.ws_connection
        stream = getattr(connection, "stream", None)
        if connection is not None and stream is not None and not connection.is_closing():
            with suppress(StreamClosedError):
                stream.write(_HEARTBEAT)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Refuse; a script that sent its token where JupyterHub's servers take none is told where they do."""
        if status_code == 403 and "token" in self.request.query_arguments and not self._is_somebody():
            kwargs["reason"] = _TOKEN_IN_URL
        super().send_error(status_code, **kwargs)

    def _is_somebody(self) -> bool:
        return getattr(self, "_jupyter_current_user", None) is not None

    def open(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError
