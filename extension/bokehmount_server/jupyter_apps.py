"""Apps whose Documents live in the Jupyter server itself, behind Jupyter's login and origin rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

from bokeh.application import Application
from jupyter_server.auth.decorator import authorized
from tornado import web
from tornado.ioloop import IOLoop

from bokehmount.apphost import App, AppHost
from bokehmount.errors import CloseCode
from bokehmount.page import Place

from .answers import send_page
from .app_handlers import (
    AppSite,
    AutoloadAnswer,
    FilesAnswer,
    MetadataAnswer,
    PageAnswer,
    SessionAnswer,
    SocketAnswer,
    index_page,
)
from .contexts import ApplicationContext
from .embedding import JupyterScript
from .jobs import Job
from .jupyter_base import JupyterFile, JupyterPage, JupyterSocket
from .local_door import LocalDoor
from .paths import COMPONENT, as_url, is_of_component, pattern_of
from .requests import NOTHING_MORE, TokenPolicy
from .views import Views

__all__ = ("AppsHandler", "HostedApps", "IndexHandler", "check_free")

_RESERVED: Final = ("/", "/api", "/kernels", "/static", "/view")

_CHECK: Final = 5.0
"""Seconds between looks for sessions that nobody looks at."""

_PATIENCE: Final = 5.0
"""Seconds that a server which stops waits for sessions that are at work."""


def check_free(path: str) -> None:
    """Check that an app may be at a path.

    Raises:
        ValueError: it is taken by the server itself
    """
    url = unquote(path)
    if url == "/" or any(url == taken or url.startswith(f"{taken}/") for taken in _RESERVED[1:]):
        raise ValueError(f"no app can be at {path!r}: these paths are the server's own: {', '.join(_RESERVED)}")


class HostedApps:
    """The apps of this Jupyter server.  `start` it on the server's loop, and `close` it when the server stops.

    Args:
        applications: the apps by their paths
        base: ``{base_url}{prefix}/``
        view_script: the URL of the view script
        policy: how session tokens are treated
        views: the views that listen
        active: called when a user did something
        linger: seconds that a session outlives a view that said goodbye
        linger_lost: seconds that it waits for one whose connection broke, or has not come yet

    Raises:
        ValueError: a path is taken by the server itself
    """

    def __init__(
        self,
        applications: dict[str, Application],
        base: str,
        view_script: str,
        policy: TokenPolicy,
        views: Views,
        active: Callable[[], None],
        linger: float,
        linger_lost: float,
    ) -> None:
        self._base = base
        self._lingers = (linger, linger_lost)
        self._host = AppHost()
        for path, application in applications.items():
            check_free(path)
            self._host.add(App(path, ApplicationContext(application, url=path), unquote(path.strip("/"))))
        self._door = LocalDoor(self._host)
        place = Place(base, view_script)
        self.site = AppSite(self._door, policy, NOTHING_MORE, place, active, views, tells_errors=True)
        self._job: Job | None = None

    def start(self, io_loop: IOLoop) -> None:
        """Let the apps know that the server was loaded; begin to end unused sessions."""
        for app in self._host:
            app.context.run_on(io_loop)  # type: ignore[attr-defined]  # we made it of our class
            io_loop.add_callback(app.context.run_load_hook)
        self._job = Job(io_loop, lambda: self._host.expire(*self._lingers), _CHECK)
        self._job.start()

    async def close(self) -> None:
        """End the sessions with their hooks, and let the apps know that the server stops."""
        if self._job is not None:
            self._job.stop()
        self._door.close(CloseCode.GOING_AWAY, "the server stops")
        for app in self._host:
            await app.context.end_all(_PATIENCE)
            app.context.run_unload_hook()

    @property
    def paths(self) -> list[str]:
        """The apps' paths."""
        return sorted(app.path for app in self._host)

    def describe(self) -> list[dict[str, Any]]:
        """The apps for the front end, with URLs below the server's prefix."""
        return [_described(app) for app in self._host]

    def routes(self) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
        """The routes, each with its handler; they begin at the server's root."""
        base = pattern_of(self._base.rstrip("/"))
        routes: list[tuple[str, type[web.RequestHandler], dict[str, Any]]] = [
            (rf"{base}/static/(.*)", HostedFiles, {"path": None}),
            (rf"{base}/{COMPONENT}", HostedFiles, {"path": None}),
        ]
        for app in self._host:
            given = {"site": self.site, "application_context": app.context}
            below = base + pattern_of(app.path)
            routes += [
                (rf"{below}/?", HostedPage, given),
                (rf"{below}/ws", HostedSocket, given),
                (rf"{below}/autoload\.js", HostedAutoload, given),
                (rf"{below}/metadata", HostedMetadata, given),
                (rf"{below}/static/(.*)", HostedFiles, {"path": app.application.static_path}),
            ]
        return routes


def _described(app: App) -> dict[str, Any]:
    sessions = list(app.context.sessions)
    return {
        "kernel_id": None,
        "app": app.path,
        "title": app.title,
        "url": as_url(app.path.lstrip("/")),
        "sessions": len(sessions),
        "views": sum(session.connection_count for session in sessions),
    }


class _Hosted(SessionAnswer):
    def initialize(self, site: AppSite, application_context: ApplicationContext) -> None:
        self._site = site
        self.application_context = application_context

    @property
    def site(self) -> AppSite:
        """What all handlers share."""
        return self._site

    @property
    def trusted(self) -> bool:
        """A client with the server's own token may name any session."""
        return bool(self.token_authenticated)  # type: ignore[attr-defined]  # of JupyterHandler

    @property
    def user_name(self) -> str | None:
        """Who is logged in."""
        return str(self.current_user.username)


class HostedPage(_Hosted, PageAnswer, JupyterPage):
    """The page of an app."""

    @web.authenticated
    @authorized
    async def get(self, *args: str) -> None:
        """Send it."""
        await self.answer(*args)


class HostedAutoload(_Hosted, AutoloadAnswer, JupyterScript):
    """The script that draws an app into another page."""

    @web.authenticated
    @authorized
    async def get(self, *args: str) -> None:
        """Send it."""
        await self.answer(*args)


class HostedMetadata(_Hosted, MetadataAnswer, JupyterPage):
    """What an app says of itself."""

    @web.authenticated
    @authorized
    async def get(self, *args: str) -> None:
        """Send it."""
        await self.answer(*args)


class HostedFiles(FilesAnswer, JupyterFile):
    """BokehJS, extension files and an app's own files."""

    @property
    def is_published(self) -> bool:
        return not self.has_own and not is_of_component(self.path_args[0])

    @web.authenticated
    @authorized
    async def get(self, path: str, include_body: bool = True) -> None:  # type: ignore[override]
        """Send one."""
        await self.send_file(path, scope="private")


class HostedSocket(_Hosted, JupyterSocket, SocketAnswer):
    """The WebSocket of an app."""

    def open(self, *args: str, **kwargs: str) -> None:
        """Check the token and look at the session that it names."""
        SocketAnswer.open(self, *args, **kwargs)

    def on_message(self, message: str | bytes) -> None:
        SocketAnswer.on_message(self, message)

    def on_close(self) -> None:
        SocketAnswer.on_close(self)


class IndexHandler(JupyterPage):
    """The index of the apps that run now."""

    def initialize(self, base: str, paths: Callable[[], list[str]]) -> None:
        self._base, self._paths = base, paths

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Send it."""
        send_page(self, index_page(self._base.rstrip("/"), self._paths()))


class AppsHandler(JupyterPage):
    """``/api/apps``: all running apps, as JSON."""

    def initialize(self, describe: Callable[[], list[dict[str, Any]]]) -> None:
        self._describe = describe

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Send it."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"apps": self._describe()}))
