"""The Jupyter server extension: reads its configuration, joins the parts, and takes them apart at the end."""

from __future__ import annotations

import hashlib
import hmac
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from bokeh.application import Application
from bokeh.document import Document
from jupyter_server._tz import utcnow
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import url_path_join
from tornado.ioloop import IOLoop
from traitlets import Any as AnyValue
from traitlets import Bool, Bytes, Dict, Float, Integer, List, TraitError, Unicode, default, validate

from bokehmount.link.messages import MESSAGE_TYPE
from bokehmount.tokens import Tokens

from .door import Viewer
from .jupyter_apps import AppsHandler, HostedApps, IndexHandler, check_free
from .jupyter_base import EXTRA_ORIGINS, LIMITS
from .kernel_handlers import KernelSite, kernel_routes
from .kernels.control_carrier import LINE_LOST, RESTARTED
from .kernels.link import KernelLink, LinkListener
from .kernels.links import GONE, Links
from .kernels.socket_carrier import LocalSockets
from .paths import as_url, check_distinct, pattern_of
from .requests import TokenPolicy
from .sources import applications_of
from .util import create_hosts_allowlist
from .views import Views
from .websocket import Limits, ViewerSocket

__all__ = ("BokehMount",)

PREFIX: Final = "bokeh"
"""Where apps are served, below the server's base URL.  Not a setting: outputs in notebooks name it."""

_KERNEL_ACTIONS = "https://events.jupyter.org/jupyter_server/kernel_actions/v1"


class BokehMount(ExtensionApp):
    """Serves live Bokeh apps from the Jupyter server."""

    name = "bokehmount"
    description = "Serve live Bokeh apps from the Jupyter server."
    load_other_extensions = True
    aliases = {"linger": "BokehMount.linger"}  # noqa: RUF012 - a plain attribute in the base class too

    apps = Dict(
        key_trait=Unicode(),
        value_trait=AnyValue(),
        help="""Apps that live in the server itself, by their path below bokeh/: each is the path of a .py script,
        of an .ipynb or of a folder with a main.py, a Bokeh Application, or a function app(doc).  As in
        c.BokehMount.apps = {"/sliders": "apps/sliders.py"}; relative paths begin where the server was started.""",
    ).tag(config=True)
    linger = Float(15.0, min=0, help="Seconds that a session outlives a view that was closed or reloaded.").tag(
        config=True
    )
    linger_lost = Float(
        300.0, min=0, help="Seconds that a session waits for a view whose connection broke, or has not come yet."
    ).tag(config=True)
    token_lifetime = Integer(300, min=1, help="Seconds for which a session token opens a new session.").tag(config=True)
    max_message_size = Integer(20 * 2**20, min=1, help="Bytes of the largest message from a browser.").tag(config=True)
    max_queue_size = Integer(64 * 2**20, min=1, help="Bytes that may wait for a view that reads slowly.").tag(
        config=True
    )
    ping_interval = Float(
        25.0,
        min=0,
        help="Seconds between heartbeats on WebSockets; keep it below your proxies' idle limit. 0 sends none.",
    ).tag(config=True)
    extra_websocket_origins = List(
        Unicode(),
        help="Hosts whose pages may open WebSockets, beside Jupyter's own rule: as in ['portal.example.org'].",
    ).tag(config=True)
    local_sockets = Bool(True, help="Whether links to kernels of this machine use a local socket, which is fast.").tag(
        config=True
    )
    secret_key = Bytes(b"", help="Signs session tokens; made from the server's cookie secret where empty.").tag(
        config=True
    )

    _is_joined = False

    @classmethod
    def get_extension_package(cls) -> str:
        """The package by whose name servers enable this extension."""
        return "bokehmount"

    @default("default_url")
    def _default_url(self) -> str:
        """What a browser opens when the extension is run by itself: the only app, or the index."""
        only = next(iter(self.apps)) if len(self.apps) == 1 else "/"
        return as_url(url_path_join("/", PREFIX, only))

    @validate("extra_websocket_origins")
    def _hosts(self, proposal: Any) -> Any:
        """A wrong one would match no page, and nobody would know why."""
        try:
            create_hosts_allowlist(proposal.value, None)
        except ValueError as error:
            raise TraitError(f"c.BokehMount.extra_websocket_origins: {error}") from error
        return proposal.value

    def initialize_settings(self) -> None:
        """Join the parts."""
        server = self.serverapp
        assert server is not None, "an extension is initialised by its server"
        self.kernels = server.kernel_manager
        base = url_path_join(server.base_url, PREFIX) + "/"
        secret = self.secret_key or hmac.digest(server.cookie_secret, b"bokehmount session tokens", hashlib.sha256)
        tokens = Tokens(secret.hex(), signed=True, lifetime=self.token_lifetime)
        policy = TokenPolicy(tokens, server=token_hex(4))
        self.views = Views()
        hello = {"linger": self.linger, "linger_lost": self.linger_lost}
        self.settings[LIMITS] = Limits(
            self.max_message_size, self.max_queue_size, self.ping_interval, "c.BokehMount.max_message_size"
        )
        self.settings[EXTRA_ORIGINS] = tuple(self.extra_websocket_origins)
        untracked = list(self.kernels.untracked_message_types)
        if MESSAGE_TYPE not in untracked:  # what we say to a kernel is not its user's activity
            self.kernels.untracked_message_types = [*untracked, MESSAGE_TYPE]
        sockets = LocalSockets(server.runtime_dir) if self.local_sockets and hasattr(socket, "AF_UNIX") else None
        self.links = Links(self.kernels, _Teller(self.views, base), hello, sockets, patience=self.linger_lost)
        self.site = KernelSite(self.links, self.views, policy, base, self._user_was_active)
        self.hosted = HostedApps(
            self._applications(),
            base,
            self.site.view_script,
            policy,
            self.views,
            lambda: self._user_was_active(None),
            self.linger,
            self.linger_lost,
        )
        assert server.event_logger is not None, "the server makes it before its extensions"
        server.event_logger.add_listener(schema_id=_KERNEL_ACTIONS, listener=self._on_kernel_action)
        self._is_joined = True

    def _applications(self) -> dict[str, Application]:
        """The configured apps.  A wrong one costs nobody the others, and says what is wrong where it would be."""
        applications: dict[str, Application] = {}
        paths: list[str] = []
        for path, app in self.apps.items():
            try:
                check_free(path)
                check_distinct([*paths, path])
                paths.append(path)
                try:
                    applications |= applications_of({path: app}, Path.cwd())
                except Exception as error:
                    applications |= applications_of({path: _raising(error)}, Path.cwd())
                    raise
            except Exception as error:
                self.log.error("bokehmount: c.BokehMount.apps has no app for %r: %s", path, error)
        return applications

    def initialize_handlers(self) -> None:
        """Say where things are."""
        assert self.serverapp is not None, "an extension is initialised by its server"
        # not through self.handlers: those are joined to a base URL that is not escaped, as in /user/a+b(c)/
        base = self.site.base
        below = pattern_of(base)
        index = (rf"{below}?", IndexHandler, {"base": base, "paths": self._running})
        listed = (rf"{below}api/apps", AppsHandler, {"describe": self._describe})
        routes = [*kernel_routes(self.site), *self.hosted.routes(), index, listed]
        self.serverapp.web_app.add_handlers(".*$", routes)  # type: ignore[no-untyped-call]

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """The server's loop runs.  A server calls it also where our settings were wrong, as its log says then."""
        if not self._is_joined:
            return
        self.hosted.start(IOLoop.current())

    def _running(self) -> list[str]:
        """The paths of all apps that run now, below our own."""
        kernels = [f"/kernels/{link.kernel_id}{app['app']}" for link in self.links for app in link.apps]
        return [*self.hosted.paths, *kernels]

    def _describe(self) -> list[dict[str, Any]]:
        return [*self.hosted.describe(), *self.site.describe()]

    async def _on_kernel_action(self, logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        kernel_id, action = data.get("kernel_id"), data.get("action")
        if kernel_id is not None and action in ("restart", "shutdown"):
            self.links.kernel_lost(kernel_id, RESTARTED if action == "restart" else GONE)

    def _user_was_active(self, kernel_id: str | None) -> None:
        """Cullers are told what users do, never what apps or pings do."""
        now = utcnow()
        self.settings["bokehmount_last_activity"] = now
        if self.serverapp is not None:
            self.serverapp.web_app.settings["bokehmount_last_activity"] = now
        if kernel_id is not None and kernel_id in self.kernels:
            kernel: Any = self.kernels.get_kernel(kernel_id)
            kernel.last_activity = now

    async def stop_extension(self) -> None:
        """Leave nothing behind.  A server calls it also where loading has failed, and does not end if it raises."""
        if not self._is_joined:
            return
        if self.serverapp is not None and self.serverapp.event_logger is not None:
            self.serverapp.event_logger.remove_listener(schema_id=_KERNEL_ACTIONS, listener=self._on_kernel_action)
        try:
            await self.hosted.close()
        finally:
            await self.links.close()


def _raising(error: Exception) -> Callable[[Document], None]:
    frames = error.__traceback__

    def app(doc: Document) -> None:
        raise error.with_traceback(frames)  # without those of the last time, which hold its Document

    return app


class _Teller(LinkListener):
    """Passes what happens on links on to the views concerned."""

    def __init__(self, views: Views, base: str) -> None:
        self._views = views
        self._base = base

    def load_changed(self, link: KernelLink, busy: bool) -> None:
        for view in self._views.of(lambda view: view.kernel_id == link.kernel_id and not view.waits):
            view.tell_busy() if busy else self._views.add(view, busy=False)

    def fell_silent(self, kernel_id: str) -> None:
        for view in self._views.of(lambda view: view.kernel_id == kernel_id and not view.waits):
            view.tell_busy(silent=True)

    def apps_changed(self, link: KernelLink) -> None:
        self._views.apps_are(link.kernel_id, {app["app"]: str(app.get("run")) for app in link.apps})

    def viewers_closed(self, link: KernelLink, viewers: Sequence[Viewer], reason: str, moved: str | None) -> None:
        for view in self._looking(link, viewers):
            if moved is not None:
                view.tell("moved", reason, url=f"{self._base}kernels/{link.kernel_id}{moved}")
            else:
                self._views.ended(view, reason)

    def output(self, link: KernelLink, viewers: Sequence[Viewer], text: str, error: bool) -> None:
        for view in self._looking(link, viewers):
            view.tell("output", text, error=error)

    def is_awaited(self, link: KernelLink) -> bool:
        return any(self._views.of(lambda view: view.kernel_id == link.kernel_id))

    def broken(self, link: KernelLink, why: str) -> None:
        self._views.line_broken(link.kernel_id, why[0].upper() + why[1:] + ".")

    def back(self, link: KernelLink) -> None:
        self._views.line_back(link.kernel_id)

    def lost(self, link: KernelLink, why: str) -> None:
        if why == LINE_LOST:
            self.broken(link, why)
            return
        state = "restarted" if why == RESTARTED else "gone"
        self._views.kernel_lost(link.kernel_id, state, why[0].upper() + why[1:] + ".")

    def _looking(self, link: KernelLink, viewers: Sequence[Viewer]) -> list[Any]:
        sessions = {(viewer.path, viewer.session_id) for viewer in viewers if isinstance(viewer, ViewerSocket)}
        return [
            view
            for view in self._views.of(lambda view: view.kernel_id == link.kernel_id)
            if (view.app, view.session_id) in sessions
        ]
