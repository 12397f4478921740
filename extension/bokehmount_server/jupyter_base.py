"""Jupyter's login, authorisation and origin rules on our handlers.

Nothing of them is taken away, but for one: modules and fonts of installed packages need no XSRF token (`JupyterFile`).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from hmac import compare_digest
from typing import Any, Final

from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin

from .hosts import origin_allowed
from .websocket import AppSocket, Limits

__all__ = (
    "AUTH_RESOURCE",
    "EXTRA_ORIGINS",
    "LIMITS",
    "JupyterAppPage",
    "JupyterFile",
    "JupyterPage",
    "JupyterSocket",
    "is_extra",
)

AUTH_RESOURCE: Final = "bokeh"

# what a server's handlers find in its settings
EXTRA_ORIGINS: Final = "bokehmount_extra_origins"
LIMITS: Final = "bokehmount_limits"

_TOKEN_IN_URL: Final = "The token in the URL was not accepted: send it in a header, as Authorization: token ..."

_Method = Callable[..., Coroutine[Any, Any, None]]

# what a kernel's own WebSocket asks for: a view runs callbacks
_may_execute: Callable[[_Method], _Method] = authorized(action="execute")


def is_extra(handler: JupyterHandler, origin: str | None) -> bool:
    """Whether a page is of one of the origins that the administrator added."""
    extra: Sequence[str] = handler.settings[EXTRA_ORIGINS]
    return origin is not None and bool(extra) and origin_allowed(origin, extra)


class JupyterPage(JupyterHandler):
    """The base of our pages."""

    auth_resource = AUTH_RESOURCE


class JupyterFile(JupyterPage):
    """The base of our files, most of which packages publish for browsers."""

    @property
    def is_published(self) -> bool:
        """Whether it is a front-end file of an installed package: Jupyter itself sends the like without any login."""
        raise NotImplementedError

    def check_xsrf_cookie(self) -> None:
        """Let pages of this origin load a package's modules and fonts, for whoever is logged in.

        For those a browser asks as it does for what a script wants to read (``Sec-Fetch-Mode: cors``), and JupyterHub
        (since 4.1) wants an XSRF token with that.  But no page can send one along with what a module imports, or a
        style sheet.  JupyterHub leaves this check to handlers that have their own.
        """
        is_reading = self.request.method in ("GET", "HEAD")
        if not (is_reading and self.request.headers.get("Sec-Fetch-Site") == "same-origin" and self.is_published):
            super().check_xsrf_cookie()

    def write_error(self, status_code: int, **_: Any) -> None:
        """Say what is wrong in a line of text.

        Jupyter's page names the server's own token to whoever is logged in, behind JupyterHub the one that opens all of
        the server.  Without an XSRF token a page of another user on the same origin could read it there.
        """
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(f"{status_code}: {self._reason}")


class JupyterAppPage(JupyterPage):
    """The base of the pages of apps, which stand in frames in notebooks."""

    async def prepare(self, **options: Any) -> None:
        """Find out who asks, and let pages of this server show the answer in a frame.

        JupyterHub's servers forbid all frames, because users share an origin there.  So a page has to know the XSRF
        token: only those below this server's base URL can read it.  Where a page says that it is, it may lie.
        """
        await super().prepare(**options)
        if self.current_user and self._brings_xsrf_token():
            policy = self.content_security_policy.replace("frame-ancestors 'none'", "frame-ancestors 'self'")
            self.set_header("Content-Security-Policy", policy)

    def _brings_xsrf_token(self) -> bool:
        # check_xsrf_cookie lets each navigation pass, and each request with an API token
        sent = self._unmasked(self.get_query_argument("_xsrf", ""))
        return bool(sent) and compare_digest(sent, self._unmasked(self.xsrf_token.decode()))

    def _unmasked(self, xsrf_token: str) -> bytes:
        """Tornado's own looks different each time; JupyterHub's is signed, and belongs to a login."""
        return self._decode_xsrf_token(xsrf_token)[1] or b""


class JupyterSocket(AppSocket, WebSocketMixin, JupyterHandler):
    """The base of our WebSockets: authenticated and authorised before the upgrade, origin checked by Jupyter's rule."""

    auth_resource = AUTH_RESOURCE
    # nobody is to answer: JupyterHub's proxy takes a browser's answer to a ping for its user's activity
    heartbeat = b"\x8a\x00"
    """A pong that nobody asked for: "a unidirectional heartbeat" (RFC 6455, section 5.5.3)."""

    @property
    def limits(self) -> Limits:  # type: ignore[override]  # each server has its own
        """What one connection may use."""
        limits: Limits = self.settings[LIMITS]
        return limits

    def check_origin(self, origin: str | None = None) -> bool:
        """Jupyter's check, or one of the origins that the administrator added."""
        return bool(WebSocketMixin.check_origin(self, origin)) or is_extra(self, origin)

    @ws_authenticated
    @_may_execute
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Upgrade to a WebSocket, until it is closed."""
        await super().get(*args, **kwargs)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Refuse; a script that sent its token where JupyterHub's servers take none is told where they do."""
        if status_code == 403 and "token" in self.request.query_arguments and not self._is_somebody():
            kwargs["reason"] = _TOKEN_IN_URL
        super().send_error(status_code, **kwargs)

    def _is_somebody(self) -> bool:
        return getattr(self, "_jupyter_current_user", None) is not None

    def open(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError
