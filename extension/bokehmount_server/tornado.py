"""A Tornado application that serves Bokeh apps from its own process, by the name of ``bokeh.server.tornado``."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urljoin

from bokeh.application import Application
from bokeh.application.handlers.document_lifecycle import DocumentLifecycleHandler
from bokeh.application.handlers.function import FunctionHandler
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.resources import Resources
from bokeh.settings import settings
from tornado import web
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop

from bokehmount.apphost import App, AppHost
from bokehmount.applications import application_with, why_no_app
from bokehmount.errors import CloseCode
from bokehmount.page import Place, resources
from bokehmount.session import ServerSession as CoreSession
from bokehmount.tokens import Tokens

from . import urls
from .app_handlers import AppSite, IcoHandler, RootHandler, StaticHandler
from .auth_provider import AuthModule, AuthProvider, NullAuth
from .background import Background
from .connection import ServerConnection
from .contexts import ApplicationContext
from .jobs import Job
from .local_door import LocalDoor
from .paths import as_url, check_distinct, pattern_of
from .requests import TokenPolicy, Visible, opening_of, request_info, session_token
from .websocket import Limits

__all__ = ("Applications", "BokehTornado", "as_applications")

log = logging.getLogger(__name__)

Applications = Mapping[str, Application | Callable[[Document], object]] | Application | Callable[[Document], object]

_QUEUE: Final = 64 * 2**20
_MB: Final = 2**20
_PATIENCE: Final = 30.0
_HASTE: Final = 5.0


def as_applications(applications: Applications) -> dict[str, Application]:
    """Applications by their paths; a single one is at ``/``, and a function makes the Documents of one.

    Raises:
        ValueError: a path is none, two are spellings of one URL, or a function takes other arguments
        TypeError: something is neither an application nor a function that can fill a Document
    """
    given = applications if isinstance(applications, Mapping) else {"/": applications}
    check_distinct(given)
    return {_checked_path(path): _as_application(app) for path, app in given.items()}


def _as_application(app: Application | Callable[[Document], object]) -> Application:
    if not isinstance(app, Application):
        if not callable(app):
            raise TypeError(f"expected a Bokeh Application or a function app(doc), not {app!r}")
        handler = FunctionHandler(app)  # type: ignore[arg-type]  # whatever it returns is not looked at
        if (why := why_no_app(app)) is not None:
            raise TypeError(f"expected a Bokeh Application or a function app(doc), not {app!r}, which {why}")
        app = application_with(handler)
    if not any(isinstance(handler, DocumentLifecycleHandler) for handler in app.handlers):
        app.add(DocumentLifecycleHandler())
    return app


def _checked_path(path: str) -> str:
    stripped = path.removesuffix("/")
    wrong_part = any(unquote(part) in ("", ".", "..") for part in stripped.split("/")[1:])
    if not path.startswith("/") or re.search(r"[\s?#]", path) or wrong_part:
        raise ValueError(
            f"{path!r} is no app path: it must begin with a slash and hold no space, '?' or '#', nor a part that is "
            "empty, '.' or '..', as '/sliders'"
        )
    return stripped or "/"


def _checked_prefix(prefix: str | None) -> str:
    stripped = (prefix or "").strip("/")
    if re.search(r"[\s?#]|(^|/)\.\.?(/|$)|//", stripped):
        raise ValueError(f"{prefix!r} is no URL prefix: it must be a path without spaces, '?', '#' or '..', as '/apps'")
    return f"/{stripped}" if stripped else ""


def _check_range(name: str, value: int, *, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} must be {'0 or more' if least == 0 else 'more than 0'}, not {value!r}")


class BokehTornado(web.Application):
    """Serves Bokeh apps: pages, WebSockets, scripts for other pages, files and an index.

    Make it, put a `tornado.httpserver.HTTPServer` in front of it, then call `initialize`, `start`, and in the end
    `stop`; `bokehmount_server.server.Server` does all that.

    The parameters are those of both seeds and of Bokeh 3.9.  Up to ``redirect_root`` they may be given by place, in the
    order of either seed (the first has no ``mem_log_frequency_milliseconds``).

    Args:
        applications: Bokeh applications, or functions ``app(doc)``, by path; a single one is at ``/``
        prefix: stands before all paths
        extra_websocket_origins: hosts whose pages may open WebSockets; ``["localhost"]`` where None.
            The variable BOKEH_ALLOW_WS_ORIGIN takes its place where it is set.
        extra_patterns: more routes, below the prefix, as Tornado takes them
        secret_key: signs session ids and tokens; BOKEH_SECRET_KEY where None
        sign_sessions: whether they are signed and checked; BOKEH_SIGN_SESSIONS where None
        generate_session_ids: whether a request that names no session gets a new one
        keep_alive_milliseconds: between pings, which keep proxies from cutting a connection; 0 for none
        check_unused_sessions_milliseconds: between looks for sessions that nobody looks at
        unused_session_lifetime_milliseconds: how long such a session lives
        stats_log_frequency_milliseconds: between lines in the log about connections and sessions
        mem_log_frequency_milliseconds: between lines about memory, which need psutil; 0 for none
        use_index: whether there is an index of the apps
        redirect_root: whether the index leads to the only app where there is only one
        absolute_url: the server's own URL, for `resources`
        websocket_max_message_size_bytes: of the largest message from a browser
        websocket_compression_level: compresses messages, 1 to 9; not at all where None
        websocket_compression_mem_level: memory for that, 1 to 9
        ico_path: the icon; BOKEH_ICO_PATH where None, and ``"none"`` for no icon
        index: a template of the index, in Jinja2's language or Tornado's, that gets ``prefix`` and ``items``
        auth_provider: says who may see the apps; the file that BOKEH_AUTH_MODULE names where None, else everybody
        xsrf_cookies: Tornado's protection of POST requests, for login handlers; BOKEH_XSRF_COOKIES where None
        include_headers: the only headers that apps may see; those that log somebody in, by their names (Cookie,
            Authorization, X-Forwarded-Access-Token …), are seen only if they are named here, and never part of a token
        include_cookies: the only cookies that apps may see
        exclude_headers: headers that apps may not see
        exclude_cookies: cookies that apps may not see
        session_token_expiration: seconds for which a token opens a new session
        background_executor: where `run_in_background` runs functions, such as ``dask_client.get_executor()``
        kwargs: settings of `tornado.web.Application`; ``cookie_secret`` is BOKEH_COOKIE_SECRET where it is not given

    Raises:
        ValueError: a value makes no sense; says which and why
    """

    def __init__(
        self,
        applications: Applications,
        prefix: str | None = None,
        extra_websocket_origins: Sequence[str] | None = None,
        extra_patterns: Sequence[Any] | None = None,
        secret_key: str | bytes | None = None,
        sign_sessions: bool | None = None,
        generate_session_ids: bool = True,
        keep_alive_milliseconds: int = 37000,
        check_unused_sessions_milliseconds: int = 17000,
        unused_session_lifetime_milliseconds: int = 15000,
        stats_log_frequency_milliseconds: int = 15000,
        mem_log_frequency_milliseconds: int = 0,
        use_index: bool = True,
        redirect_root: bool = True,
        *,
        absolute_url: str | None = None,
        websocket_max_message_size_bytes: int = 20 * 2**20,
        websocket_compression_level: int | None = None,
        websocket_compression_mem_level: int | None = None,
        ico_path: str | None = None,
        index: str | None = None,
        auth_provider: AuthProvider | None = None,
        xsrf_cookies: bool | None = None,
        include_headers: Sequence[str] | None = None,
        include_cookies: Sequence[str] | None = None,
        exclude_headers: Sequence[str] | None = None,
        exclude_cookies: Sequence[str] | None = None,
        session_token_expiration: int = 300,
        background_executor: Executor | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(mem_log_frequency_milliseconds, bool):  # by place, in the order of the first seed
            use_index, redirect_root = mem_log_frequency_milliseconds, use_index
            mem_log_frequency_milliseconds = 0
        for name, value in (
            ("check_unused_sessions_milliseconds", check_unused_sessions_milliseconds),
            ("unused_session_lifetime_milliseconds", unused_session_lifetime_milliseconds),
            ("stats_log_frequency_milliseconds", stats_log_frequency_milliseconds),
            ("websocket_max_message_size_bytes", websocket_max_message_size_bytes),
            ("session_token_expiration", session_token_expiration),
        ):
            _check_range(name, value, least=1)
        _check_range("keep_alive_milliseconds", keep_alive_milliseconds, least=0)
        _check_range("mem_log_frequency_milliseconds", mem_log_frequency_milliseconds, least=0)
        for what, include, exclude in (
            ("headers", include_headers, exclude_headers),
            ("cookies", include_cookies, exclude_cookies),
        ):
            if include and exclude:
                raise ValueError(f"give include_{what} or exclude_{what}, not both")

        self.log = log
        self.auth_provider = _auth_by_setting() if auth_provider is None else auth_provider
        self._prefix = _checked_prefix(prefix)
        self._absolute_url = absolute_url
        self._index = index
        self._secret_key = _bytes(settings.secret_key() if secret_key is None else secret_key)
        self._sign_sessions = bool(settings.sign_sessions()) if sign_sessions is None else sign_sessions
        self._websocket_origins = {"localhost"} if extra_websocket_origins is None else set(extra_websocket_origins)
        self._include_headers, self._exclude_headers = include_headers, exclude_headers
        self._include_cookies, self._exclude_cookies = include_cookies, exclude_cookies
        self._seconds = (
            check_unused_sessions_milliseconds / 1000,
            unused_session_lifetime_milliseconds / 1000,
            stats_log_frequency_milliseconds / 1000,
            mem_log_frequency_milliseconds / 1000,
        )
        self.limits = Limits(websocket_max_message_size_bytes, _QUEUE, keep_alive_milliseconds / 1000)
        self.websocket_compression = _compression(websocket_compression_level, websocket_compression_mem_level)
        self._icon = _icon(settings.ico_path() if ico_path is None else ico_path)
        self._background = Background(background_executor)
        self._io_loop: IOLoop | None = None
        self._jobs: list[Job] = []
        self._stopping: asyncio.Future[None] | None = None

        self.host = AppHost()
        logout_url = self.auth_provider.logout_url
        for path, app in as_applications(applications).items():
            context = ApplicationContext(app, url=path, logout_url=logout_url and self.url(logout_url))
            self.host.add(App(path, context, path.strip("/") or "app"))
        self._door = LocalDoor(self.host)
        tokens = Tokens(self._secret_key, self._sign_sessions, session_token_expiration)
        self.site = AppSite(
            self._door,
            TokenPolicy(tokens, generate_session_ids),
            Visible(include_headers, exclude_headers or (), include_cookies, exclude_cookies or ()),
            Place(self.url("/")),
        )
        routes = self._routes([*(extra_patterns or ()), *self.auth_provider.endpoints], use_index, redirect_root)
        cookie_secret = settings.cookie_secret(kwargs.pop("cookie_secret", None))
        super().__init__(
            routes, xsrf_cookies=settings.xsrf_cookies(xsrf_cookies), cookie_secret=cookie_secret, **kwargs
        )

    def _routes(self, extra_patterns: Sequence[Any], use_index: bool, redirect_root: bool) -> list[Any]:
        prefix = pattern_of(self._prefix)
        routes: list[Any] = [
            (pattern, IcoHandler, {"app": self})
            for pattern in dict.fromkeys((r"/favicon\.ico", rf"{prefix}/favicon\.ico"))
        ]
        for path, context in self.applications.items():
            base = path.rstrip("/")
            below = prefix + pattern_of(base)
            given = {"application_context": context, "bokeh_websocket_path": f"{self._prefix}{base}/ws"}
            routes += [(below + route[0], route[1], given) for route in urls.per_app_patterns]
            routes.append((below + "/static/(.*)", StaticHandler, {"path": context.application.static_path}))
        for route in (*extra_patterns, *urls.toplevel_patterns):
            pattern, handler, *rest = route
            if handler is RootHandler:
                if not use_index:
                    continue
                rest = [
                    {
                        "applications": self.applications,
                        "prefix": self._prefix,
                        "index": self._index,
                        "use_redirect": redirect_root,
                    }
                ]
            routes.append((prefix + pattern, handler, *rest))
        return routes

    # What it is -------------------------------------------------------------------------------------------------

    @property
    def applications(self) -> Mapping[str, ApplicationContext]:
        """The apps by their paths."""
        return {app.path: app.context for app in self.host}  # type: ignore[misc]  # they are of our class

    @property
    def app_paths(self) -> set[str]:
        """The paths of the apps."""
        return set(self.applications)

    @property
    def index(self) -> str | None:
        """The path of the index's template."""
        return self._index

    @property
    def icon(self) -> bytes | None:
        """The icon's file."""
        return self._icon

    @property
    def io_loop(self) -> IOLoop:
        """The loop on which the sessions live; `initialize` sets it."""
        if self._io_loop is None:
            raise RuntimeError("this BokehTornado runs on no loop yet: call initialize(io_loop)")
        return self._io_loop

    @property
    def prefix(self) -> str:
        """Stands before all paths; empty or with a slash in front."""
        return self._prefix

    @property
    def websocket_origins(self) -> set[str]:
        """The hosts whose pages may open WebSockets."""
        return self._websocket_origins

    @property
    def secret_key(self) -> bytes | None:
        """Signs session ids and tokens."""
        return self._secret_key

    @property
    def sign_sessions(self) -> bool:
        """Whether session ids and tokens are signed and checked."""
        return self._sign_sessions

    @property
    def generate_session_ids(self) -> bool:
        """Whether a request that names no session gets a new one."""
        return self.site.policy.generate_session_ids

    @property
    def session_token_expiration(self) -> int:
        """Seconds for which a token opens a new session."""
        return self.site.policy.tokens.lifetime

    @property
    def include_headers(self) -> Sequence[str] | None:
        """The only headers that apps may see."""
        return self._include_headers

    @property
    def exclude_headers(self) -> Sequence[str] | None:
        """Headers that apps may not see."""
        return self._exclude_headers

    @property
    def include_cookies(self) -> Sequence[str] | None:
        """The only cookies that apps may see."""
        return self._include_cookies

    @property
    def exclude_cookies(self) -> Sequence[str] | None:
        """Cookies that apps may not see."""
        return self._exclude_cookies

    def set_absolute_url(self, url: str | None) -> None:
        """Say where the server is, once that is known."""
        self._absolute_url = url

    def url(self, path: str) -> str:
        """A path of this server as a browser asks for it."""
        return as_url(f"{self._prefix}/{path.lstrip('/')}")

    def resources(self, absolute_url: str | bool | None = None) -> Resources:
        """Where pages load BokehJS from: this server, or what BOKEH_RESOURCES says; the apps' own pages do the same.

        Args:
            absolute_url: the server as pages of others see it; True for its own URL, None for URLs without a host
        """
        host = (self._absolute_url if absolute_url is True else absolute_url) or "/"
        return resources(urljoin(str(host), as_url(self._prefix) or "/"), settings.resources(default="server"))

    def get_session(self, app_path: str, session_id: ID | str) -> CoreSession:
        """A session that lives.

        Raises:
            ValueError: there is no such app
            bokehmount.errors.ProtocolError: there is no such session
        """
        return self._context(app_path).get_session(session_id)

    def get_sessions(self, app_path: str) -> list[CoreSession]:
        """The sessions of an app that live.

        Raises:
            ValueError: there is no such app
        """
        return list(self._context(app_path).sessions)

    async def create_session(self, application_context: ApplicationContext, request: HTTPServerRequest) -> CoreSession:
        """The session that a request may see, as for the app's page: the one that it names, or a new one.

        Raises:
            bokehmount.errors.BokehMountError: its token or session id is wrong, or the app raised
        """
        policy, info = self.site.policy, request_info(request, None, self.site.visible)
        opening = opening_of(policy, session_token(policy, application_context, request, info), info)
        return await self.host.session(application_context.url or "/", opening)

    async def create_session_if_needed(
        self,
        application_context: ApplicationContext,
        session_id: ID,
        request: Any = None,
        token: str | None = None,
    ) -> CoreSession:
        """The session of an id, made where it does not live; see `ApplicationContext.create_session_if_needed`."""
        return await application_context.create_session_if_needed(session_id, request, token)

    def _context(self, app_path: str) -> ApplicationContext:
        context = self.applications.get(app_path.removesuffix("/") or "/")
        if context is None:
            raise ValueError(f"there is no app at {app_path!r}; there are {sorted(self.app_paths)}")
        return context

    # Running ----------------------------------------------------------------------------------------------------

    def initialize(self, io_loop: IOLoop) -> None:
        """Say on which loop all this runs; then `start`."""
        self._io_loop = io_loop
        for context in self.applications.values():
            context.run_on(io_loop)
        check, _, stats, memory = self._seconds
        self._jobs = [Job(io_loop, self._end_unused_sessions, check), Job(io_loop, self._log_stats, stats)]
        if memory:
            self._jobs.append(Job(io_loop, self._log_memory, memory))

    def start(self) -> None:
        """Begin to end unused sessions and to log; let the apps know that the server was loaded."""
        for job in self._jobs:
            job.start()
        for context in self.applications.values():
            self.io_loop.add_callback(context.run_load_hook)

    def stop(self, wait: bool = True) -> None:
        """Stop: sessions end with their hooks, then the apps' hooks for the server's end run.

        On a loop that runs, that happens as soon as this returns; `closed` can be awaited then.  A thread that is not
        the loop's waits here until all is done; without ``wait`` 5 s at most, since a callback may hold the loop up.

        Args:
            wait: whether to wait for sessions that are at work, 30 s at most, and for background work
        """
        io_loop = self._io_loop
        loop: Any = None if io_loop is None else io_loop.asyncio_loop  # type: ignore[attr-defined]  # since Tornado 5
        if io_loop is None or loop.is_closed():
            self._unload()
        elif not loop.is_running():
            io_loop.run_sync(lambda: self._close(wait))
        elif _is_here(loop):
            self._stopping = asyncio.ensure_future(self._close(wait))
        else:
            _wait_for(asyncio.run_coroutine_threadsafe(self._close(wait), loop), loop, math.inf if wait else _HASTE)

    async def closed(self) -> None:
        """Wait until all that `stop` began is done."""
        if self._stopping is not None:
            await self._stopping

    async def stop_async(self) -> None:
        """Stop, and wait until all is done."""
        self.stop()
        await self.closed()

    async def _close(self, wait: bool) -> None:
        for job in self._jobs:
            job.stop()
        self._door.close(CloseCode.GOING_AWAY, "the server stops")
        for context in self.applications.values():
            await context.end_all(_PATIENCE if wait else 1.0)
        self._unload()
        self._background.close(wait=wait)

    def _unload(self) -> None:
        for context in self.applications.values():
            context.run_unload_hook()

    def run_in_background(self, _func: Callable[..., Any], *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        """Run a function that takes long beside the loop.  Call it on the loop, and await it for the result.

        The function must not touch a Document; what it returns may be put into one by whoever awaits it.
        """
        return self._background.run(_func, *args, **kwargs)

    @property
    def background_executor(self) -> Executor:
        """Where `run_in_background` runs functions; any executor can be set, such as a Dask client's."""
        return self._background.executor

    @background_executor.setter
    def background_executor(self, executor: Executor | None) -> None:
        self._background.executor = executor

    def new_connection(
        self, protocol: Any, socket: Any, application_context: ApplicationContext, session: CoreSession
    ) -> ServerConnection:
        """Let a client look at a session; for handlers of one's own."""
        return self._door.connection(socket, application_context, session)

    def client_lost(self, connection: ServerConnection) -> None:
        """A client that `new_connection` let in is gone."""
        self._door.disconnect(connection.socket, lost=True)  # type: ignore[arg-type]

    async def _end_unused_sessions(self) -> None:
        await self.host.expire(self._seconds[1])

    def _log_stats(self) -> None:
        if not log.isEnabledFor(logging.DEBUG):
            return
        log.debug("[pid %d] %d clients connected", os.getpid(), len(self._door.connections))
        for path, context in self.applications.items():
            sessions = list(context.sessions)
            unused = sum(not session.connection_count for session in sessions)
            log.debug("[pid %d]   %s has %d sessions with %d unused", os.getpid(), path, len(sessions), unused)

    def _log_memory(self) -> None:
        psutil: Any = _psutil()
        if psutil is None:
            log.warning("mem_log_frequency_milliseconds needs psutil: pip install psutil")
            for job in self._jobs[2:]:
                job.stop()
            return
        memory = psutil.Process().memory_info()
        log.info("[pid %d] memory: %.2f MB resident, %.2f MB virtual", os.getpid(), memory.rss / _MB, memory.vms / _MB)


def _is_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether it is this thread that runs a loop."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _wait_for(work: futures.Future[None], loop: asyncio.AbstractEventLoop, patience: float) -> None:
    """Wait for what another thread's loop does, which may be stopped before it is done."""
    until = time.monotonic() + patience
    while not work.done() and loop.is_running() and time.monotonic() < until:
        futures.wait((work,), timeout=0.1)
    if work.done():
        work.result()


def _psutil() -> Any:
    if "psutil" not in sys.modules:
        try:
            import psutil  # type: ignore[import-untyped]  # noqa: F401 - an optional dependency
        except ImportError:
            return None
    return sys.modules["psutil"]


def _bytes(secret: str | bytes | None) -> bytes | None:
    return secret.encode() if isinstance(secret, str) else secret


def _auth_by_setting() -> AuthProvider:
    path = settings.auth_module()
    return AuthModule(path) if path else NullAuth()


def _compression(level: int | None, memory: int | None) -> dict[str, Any] | None:
    for name, value in (("level", level), ("mem_level", memory)):
        if value is not None and not 1 <= value <= 9:
            raise ValueError(f"websocket_compression_{name} must be from 1 to 9, not {value!r}")
    if level is None:
        if memory is not None:
            raise ValueError("websocket_compression_mem_level needs a websocket_compression_level beside it")
        return None
    return {"compression_level": level} if memory is None else {"compression_level": level, "mem_level": memory}


def _icon(path: str) -> bytes | None:
    if path == "none":
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"the icon can't be read: {error}; give another ico_path, or ico_path='none'") from error
