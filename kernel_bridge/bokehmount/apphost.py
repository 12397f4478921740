"""Answers all that a front door can ask about the apps of one process.

A stand-alone server asks in its own process; the Jupyter server asks a kernel's `AppHost` over the link.  It lives on
one loop, that of its sessions, and touches no socket.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from bokeh.application.application import Application
from bokeh.core.types import ID
from bokeh.model import Model

from . import page
from .contexts import ApplicationContext
from .errors import AppNotFound, SessionEnded
from .page import Place
from .sending import Connection
from .session import ServerSession
from .tokens import RequestInfo

__all__ = ("App", "AppHost", "Opening")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opening:
    """What a client brings to see a session.

    Args:
        session_id: the session that its token names
        token: the token
        may_create: whether the token still opens a session that does not live yet
        request: the request it came with
    """

    session_id: str
    token: str
    may_create: bool
    request: RequestInfo


@dataclass(slots=True)
class App:
    """An application at a path.

    Args:
        path: such as ``/sliders``, unique in its host
        context: its sessions
        title: what people call it
        root: the one root that its pages show; all where None
        shared_session: the id of the one session that all its views share; each view has its own where None
    """

    path: str
    context: ApplicationContext
    title: str
    root: Model | None = None
    shared_session: str | None = None

    @property
    def application(self) -> Application:
        """What makes its Documents."""
        return self.context.application


class AppHost:
    """The apps of one process by their paths."""

    def __init__(self) -> None:
        self._apps: dict[str, App] = {}
        self._looking: dict[Connection, tuple[App, ServerSession]] = {}
        self.changed: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[App]:
        return iter(tuple(self._apps.values()))

    def add(self, app: App) -> None:
        """Have an app at its path, which must be free."""
        if app.path in self._apps:
            raise ValueError(f"there is an app at {app.path!r} already")
        self._apps[app.path] = app
        self.changed()

    def remove(self, path: str) -> App | None:
        """Have no app at this path any more.  Its sessions are its context's to end."""
        app = self._apps.pop(path, None)
        self.changed()
        return app

    def app(self, path: str) -> App:
        """The app at a path.

        Raises:
            AppNotFound: there is none
        """
        try:
            return self._apps[path]
        except KeyError:
            raise AppNotFound(f"the app {path.strip('/')!r} is not running: run the cell that shows it") from None

    async def session(self, path: str, opening: Opening) -> ServerSession:
        """The session that a client may see: the living one, or a new one where its token opens one.

        Raises:
            AppNotFound: there is no such app
            AppError: the app raised
            SessionEnded: the session is over, and the token is too old to open a new one
        """
        app = self.app(path)
        session_id = app.shared_session or opening.session_id
        living = app.context.living(session_id)
        if living is not None:
            return living
        if app.shared_session is not None:
            raise SessionEnded(f"{app.title} has ended: run its cell again")
        if not opening.may_create or app.context.is_spent(opening.token):
            raise SessionEnded("this session has ended: reload the page to start a new one")
        return await app.context.create_session_if_needed(ID(session_id), opening.request, opening.token)

    async def page(self, path: str, opening: Opening, place: Place) -> str:
        """The HTML of a session's page; raises as `session` does."""
        app = self.app(path)
        session = await self.session(path, opening)
        return page.page(session.document, opening.token, place, app.root)

    async def autoload(
        self,
        path: str,
        opening: Opening,
        place: Place,
        element_id: str,
        app_path: str = "/",
        absolute_url: str | None = None,
        *,
        with_resources: bool = True,
    ) -> str:
        """The script that draws a session into a page of somebody else; raises as `session` does."""
        session = await self.session(path, replace(opening, request=_embedded(opening.request, absolute_url)))
        return page.autoload_script(
            session.document,
            opening.token,
            place,
            element_id,
            app_path,
            absolute_url,
            with_resources=with_resources,
        )

    def metadata(self, path: str, url: str) -> dict[str, Any]:
        """What an app says of itself, with the URL under which it was asked; raises `AppNotFound`."""
        metadata = self.app(path).application.metadata
        if callable(metadata):
            metadata = metadata()
        return {"url": url, "data": metadata if isinstance(metadata, Mapping) else {}}

    async def connect(self, path: str, opening: Opening, connection: Connection) -> ServerSession:
        """Let a connection look at a session; raises as `session` does."""
        app = self.app(path)
        session = await self.session(path, opening)
        app.context.joined(session, connection)
        self._looking[connection] = (app, session)
        return session

    def session_of(self, connection: Connection) -> ServerSession:
        """The session that a connection looks at.

        Raises:
            SessionEnded: it looks at none any more
        """
        looking = self._looking.get(connection)
        if looking is None or looking[1].destroyed:
            raise SessionEnded("this session has ended: reload the page to start a new one")
        return looking[1]

    def connections_of(self, app: App) -> list[Connection]:
        """Who looks at this app."""
        return [connection for connection, (looked_at, _) in self._looking.items() if looked_at is app]

    def disconnect(self, connection: Connection, *, lost: bool) -> None:
        """A connection is gone; ``lost`` where it broke without a goodbye."""
        looking = self._looking.pop(connection, None)
        if looking is not None:
            app, session = looking
            app.context.left(session, connection, lost=lost)

    async def expire(self, linger: float, linger_lost: float | None = None) -> None:
        """End the sessions that nobody has looked at for so many seconds; see `ApplicationContext.expire`."""
        for app in self:
            if app.shared_session is None:
                await app.context.expire(linger, linger_lost)


def _embedded(request: RequestInfo, absolute_url: str | None) -> RequestInfo:
    """With the URL from which the app's models are to take their files, if it is that of the request itself.

    Who links to an app writes what he likes there: scripts of a place that he has chosen must not get into a session.
    """
    url = urlsplit(absolute_url or "")
    is_own = url.scheme in ("http", "https") and url.netloc == request.host
    if not is_own or f"{url.path.rstrip('/')}/autoload.js" != request.path:
        return request
    return replace(request, absolute_url=f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}")
