"""The page, WebSocket, autoload script, metadata and files of an app of this process.

The answers are written once, as mixins; the login in front of them is a stand-alone server's (here) or Jupyter's
(`bokehmount_server.jupyter_apps`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote

from bokeh.settings import settings
from jinja2 import Template as JinjaTemplate
from tornado import web
from tornado.template import Template as TornadoTemplate

from bokehmount.apphost import Opening
from bokehmount.assets import file_below, read_asset
from bokehmount.errors import AppError, BokehMountError, ProtocolError
from bokehmount.page import Place
from bokehmount.tokens import RequestInfo, SessionToken

from .answers import as_http_error, script_wishes, send_asset, send_metadata, send_page, send_script
from .hosts import origin_allowed
from .paths import as_url
from .requests import TokenPolicy, Visible, check_app, opening_of, request_info, session_token
from .shell import error_page
from .views import View, Views
from .websocket import BOKEH, STATUS, AppSocket, Limits, ViewerSocket

if TYPE_CHECKING:
    from bokehmount.contexts import ApplicationContext

    from .door import Door
    from .tornado import BokehTornado

__all__ = (
    "AppSite",
    "AuthRequestHandler",
    "AutoloadAnswer",
    "AutoloadJsHandler",
    "DocHandler",
    "FilesAnswer",
    "IcoHandler",
    "MetadataAnswer",
    "MetadataHandler",
    "MultiRootStaticHandler",
    "PageAnswer",
    "RootHandler",
    "SessionAnswer",
    "SocketAnswer",
    "StaticHandler",
    "WSHandler",
    "index_page",
)


_RAISED: Final = "The app raised an error while it was started; the server's log says which."

_Error = TypeVar("_Error", bound=Exception)


@dataclass(frozen=True)
class AppSite:
    """What the handlers of one server's apps share.

    Args:
        door: the apps
        policy: how session tokens are treated
        visible: what of a request an app may see
        place: where pages live
        active: called when a user did something
        views: the views that listen to what is said of their app, where the server says anything
        tells_errors: whether a browser is told what an app raised; else no more than that it did
    """

    door: Door
    policy: TokenPolicy
    visible: Visible
    place: Place
    active: Callable[[], None] = lambda: None
    views: Views | None = None
    tells_errors: bool = False

    def told(self, error: _Error) -> _Error | AppError:
        """An error as a browser is told of it; the traceback is in the log."""
        return AppError(str(error) if self.tells_errors else _RAISED) if isinstance(error, AppError) else error

    def changed(self, session_id: str) -> None:
        """A browser changed something in a session."""
        if self.views is None or not self.views.watched("", session_id):
            self.active()


class SessionAnswer(web.RequestHandler):
    """Finds out which session a request may see."""

    application_context: ApplicationContext

    @property
    def site(self) -> AppSite:
        """What all handlers share."""
        raise NotImplementedError

    @property
    def place(self) -> Place:
        """Where the app's page lives."""
        return self.site.place

    @property
    def trusted(self) -> bool:
        """Whether a session without a signature may be named."""
        return False

    @property
    def user_name(self) -> str | None:
        """Who is logged in."""
        return None

    @property
    def path(self) -> str:
        """The app's path."""
        return self.application_context.url or "/"

    def info(self) -> RequestInfo:
        """What the app may know of this request."""
        return request_info(self.request, self.user_name, self.site.visible)

    def session_token(self, info: RequestInfo) -> SessionToken:
        """The token that this request brings, or a new one."""
        return session_token(self.site.policy, self.application_context, self.request, info, trusted=self.trusted)

    def opening(self) -> Opening:
        """What this request may see."""
        info = self.info()
        return opening_of(self.site.policy, self.session_token(info), info)


class PageAnswer(SessionAnswer):
    """The page of an app."""

    async def answer(self, *args: str) -> None:
        """Send it, or a page that says why there is none."""
        try:
            page = await self.site.door.page(self.path, self.opening(), self.place)
        except BokehMountError as error:
            send_page(self, self.refusal(self.site.told(error)), error.http_status)
        else:
            send_page(self, page)

    def refusal(self, error: BokehMountError) -> str:
        """A page that says why there is no app."""
        return error_page(error, self.place.view_script or "")


class AutoloadAnswer(SessionAnswer):
    """The script that draws an app into another page."""

    async def answer(self, *args: str) -> None:
        """Send it."""
        wishes = script_wishes(self)
        with as_http_error(self.site.told):
            # no view script: it speaks of a whole page
            place = replace(self.place, view_script=None)
            script = await self.site.door.autoload(self.path, self.opening(), place, wishes)
        send_script(self, script)


class MetadataAnswer(SessionAnswer):
    """What an app says of itself."""

    async def answer(self, *args: str) -> None:
        """Send it."""
        with as_http_error():
            metadata = await self.site.door.metadata(self.path, self.path)
        send_metadata(self, metadata)


class FilesAnswer(web.StaticFileHandler):
    """The files of an app's own static folder, and BokehJS and extension files beside them."""

    def initialize(  # type: ignore[override]  # there may be no folder
        self, path: str | os.PathLike[str] | None = None, **_: Any
    ) -> None:
        self._own = os.fspath(path) if path is not None else None
        super().initialize(self._own or os.devnull)

    @property
    def has_own(self) -> bool:
        """Whether there are an app's own files among them."""
        return self._own is not None

    async def send_file(self, path: str, *, scope: str) -> None:
        """Send the file at a path below ``static/``."""
        if self._own is not None and file_below(Path(self._own), path) is not None:
            await super().get(path)
        else:
            send_asset(self, read_asset(path), scope=scope)

    def compute_etag(self) -> str | None:
        return super().compute_etag() if getattr(self, "absolute_path", None) else None


class SocketAnswer(SessionAnswer, AppSocket):
    """The WebSocket of an app."""

    _viewer: ViewerSocket | None = None
    _view: View | None = None

    def open(self, *args: str, **kwargs: str) -> None:
        """Check the token and look at the session that it names."""
        self.read_ahead()
        self.tune()
        site = self.site
        try:
            if self.selected_subprotocol is None or (self.selected_subprotocol == STATUS and site.views is None):
                raise ProtocolError("this WebSocket speaks the subprotocol 'bokeh', followed by a session token")
            token = check_app(site.policy.tokens.check(self.token_text, trust_unsigned=self.trusted), self.path)
            if self.selected_subprotocol == BOKEH:
                self._viewer = ViewerSocket(self, site.door, self.path, partial(site.changed, token.session_id))
                self._viewer.start(opening_of(site.policy, token, self.info()))
            elif site.views is not None:
                self._view = View("", self.path, token.session_id, self)
                site.views.add(self._view, busy=False)
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        super().fail(self.site.told(error))

    def refuse(self, session_id: str, error: Exception) -> None:
        super().refuse(session_id, error)
        if self.site.views is not None:
            self.site.views.refused("", session_id, error)

    def unsent(self, why: str) -> None:
        if self._viewer is not None and self.site.views is not None:
            self.site.views.unsent("", self._viewer.session_id, why)

    def on_message(self, message: str | bytes) -> None:
        if self._viewer is not None:
            self._viewer.on_message(message)
        elif self._view is not None and self.site.views is not None and self.site.views.hear(self._view, message):
            self.site.active()

    def on_close(self) -> None:
        if self._viewer is not None:
            self._viewer.on_close()
        if self._view is not None and self.site.views is not None:
            self.site.views.remove(self._view)


class AuthRequestHandler(web.RequestHandler):
    """Asks the server's auth provider who is there."""

    application: BokehTornado

    def get_login_url(self) -> str:
        """Where to log in, by the auth provider."""
        provider = self.application.auth_provider
        if provider.get_login_url is not None:
            return str(provider.get_login_url(self))
        if provider.login_url is None:
            raise RuntimeError("the auth provider has a get_user but neither login_url nor get_login_url")
        return self.application.url(provider.login_url)

    def get_current_user(self) -> Any:
        """Who is there, by the auth provider; everybody where it knows no users."""
        get_user = self.application.auth_provider.get_user
        return "default_user" if get_user is None else get_user(self)

    async def prepare(self) -> None:
        """Ask an auth provider that answers later."""
        get_user_async = self.application.auth_provider.get_user_async
        if get_user_async is not None:
            self.current_user = await get_user_async(self)


def _allowed_origins(application: BokehTornado) -> Collection[str]:
    return settings.allowed_ws_origin() or application.websocket_origins


class _AppHandler(AuthRequestHandler, SessionAnswer):
    """The base of the handlers of an app in a stand-alone server."""

    def initialize(self, application_context: ApplicationContext, bokeh_websocket_path: str = "") -> None:
        self.application_context = application_context
        self.bokeh_websocket_path = bokeh_websocket_path

    @property
    def site(self) -> AppSite:
        """What all handlers share."""
        return self.application.site

    @property
    def place(self) -> Place:
        """Where the app's page lives, and where BOKEH_RESOURCES says that it gets BokehJS from."""
        return replace(self.site.place, mode=settings.resources(default="server"))

    @property
    def user_name(self) -> str | None:
        """Who is logged in, where the auth provider says it in text."""
        user = self.current_user
        if self.application.auth_provider.knows_users and isinstance(user, str | bytes):
            return user.decode(errors="replace") if isinstance(user, bytes) else user
        return None

    async def get_session(self) -> Any:
        """The session that this request may see, made where it does not live yet."""
        return await self.application.host.session(self.path, self.opening())


class DocHandler(PageAnswer, _AppHandler):
    """The page of an app."""

    @web.authenticated
    async def get(self, *args: str, **kwargs: str) -> None:
        """Send it."""
        await self.answer(*args)

    def refusal(self, error: BokehMountError) -> str:
        """A page that says why there is no app."""
        return words_page("Bokeh app", str(error))


class MetadataHandler(MetadataAnswer, _AppHandler):
    """What an app says of itself."""

    @web.authenticated
    async def get(self, *args: str, **kwargs: str) -> None:
        """Send it."""
        await self.answer(*args)


class AutoloadJsHandler(AutoloadAnswer, _AppHandler):
    """The script that draws an app into a page of another server."""

    def set_default_headers(self) -> None:
        """Any page may load the script, but with its visitor's cookies only one that may open a WebSocket here."""
        origin = self.request.headers.get("Origin")
        if origin is not None and origin_allowed(origin, _allowed_origins(self.application)):
            self.set_header("Access-Control-Allow-Origin", origin)
            self.set_header("Access-Control-Allow-Credentials", "true")
        else:
            self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Access-Control-Allow-Headers", "*")
        self.set_header("Vary", "Origin")

    @web.authenticated
    async def get(self, *args: str, **kwargs: str) -> None:
        """Send it."""
        await self.answer(*args)

    async def options(self, *args: str, **kwargs: str) -> None:
        """What a browser asks before the script."""
        self.set_header("Access-Control-Allow-Methods", "PUT, GET, OPTIONS")
        self.set_status(204)


class StaticHandler(FilesAnswer):
    """BokehJS, extension files and an app's own files, which need no login."""

    async def get(self, path: str, include_body: bool = True) -> None:
        """Send one."""
        await self.send_file(path, scope="public")


class MultiRootStaticHandler(StaticHandler):
    """The files of extensions."""

    async def get(self, path: str, include_body: bool = True) -> None:
        """Send one."""
        await self.send_file(f"extensions/{path}", scope="public")


class WSHandler(AuthRequestHandler, SocketAnswer):
    """The WebSocket of an app in a stand-alone server."""

    def initialize(self, application_context: ApplicationContext, bokeh_websocket_path: str = "") -> None:
        self.application_context = application_context

    @property
    def site(self) -> AppSite:
        """What all handlers share."""
        return self.application.site

    user_name = _AppHandler.user_name

    @property
    def limits(self) -> Limits:  # type: ignore[override]  # each server has its own
        """What one connection may use."""
        return self.application.limits

    @property
    def compression(self) -> dict[str, Any] | None:  # type: ignore[override]
        """How messages are compressed; not at all where None."""
        return self.application.websocket_compression

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Upgrade to a WebSocket, for who is logged in."""
        if not self.current_user:
            raise web.HTTPError(403, reason="Log in first")
        await super().get(*args, **kwargs)

    def check_origin(self, origin: str) -> bool:
        """Whether a page of this origin may open it."""
        allowed = _allowed_origins(self.application)
        if origin_allowed(origin, allowed):
            return True
        host = origin.partition("://")[2]
        self.application.log.error(
            "a page of %s may not open a WebSocket here: allowed are %s; set BOKEH_ALLOW_WS_ORIGIN=%s, or "
            "allow_websocket_origin=[%r], to let it",
            origin,
            sorted(allowed),
            host,
            host,
        )
        return False


class RootHandler(AuthRequestHandler):
    """The index of the apps, or the only app."""

    def initialize(self, applications: Mapping[str, Any], prefix: str, index: str | None, use_redirect: bool) -> None:
        self.applications, self.prefix, self.index, self.use_redirect = applications, prefix, index, use_redirect

    @web.authenticated
    async def get(self, *args: str, **kwargs: str) -> None:
        """Send it."""
        paths = sorted(self.applications)
        if self.use_redirect and len(paths) == 1:
            query = f"?{self.request.query}" if self.request.query else ""
            self.redirect(f"{as_url(self.prefix + paths[0])}{query}")
        else:
            send_page(self, index_page(self.prefix, paths, self.index))


class IcoHandler(web.RequestHandler):
    """The icon in a browser's tab."""

    def initialize(self, app: BokehTornado) -> None:
        self.app = app

    def get(self, *args: str, **kwargs: str) -> None:
        """Send it."""
        if self.app.icon is None:
            raise web.HTTPError(404)
        self.set_header("Content-Type", "image/x-icon")
        self.finish(self.app.icon)


_WORDS = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; margin: 3em auto; max-width: 40em; padding: 0 1em }}</style></head>
<body>{body}</body>
</html>
"""


def words_page(title: str, text: str) -> str:
    """A page with a sentence on it."""
    return _WORDS.format(title=escape(title), body=f"<p>{escape(text)}</p>")


def index_page(prefix: str, paths: list[str], template: str | None = None) -> str:
    """The index of the apps.

    Args:
        prefix: stands before the paths in a browser's address
        paths: the apps
        template: the path of a template that gets ``prefix`` and ``items``, in Jinja2's language or in Tornado's
    """
    if template is not None:
        source = Path(template).read_text(encoding="utf-8")
        if "{% end %}" in source:
            return TornadoTemplate(source).generate(prefix=prefix, items=paths).decode()
        return str(JinjaTemplate(source, autoescape=True).render(prefix=prefix, items=paths))
    links = "".join(f'<li><a href="{escape(as_url(prefix + path))}">{escape(unquote(path))}</a></li>' for path in paths)
    listed = f"<ul>{links}</ul>" if paths else "<p>No app is running.</p>"
    return _WORDS.format(title="Bokeh apps", body=f"<h1>Bokeh apps</h1>{listed}")
