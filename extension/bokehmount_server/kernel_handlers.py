"""The Jupyter server's routes to kernel-hosted apps: check, ask the kernel's door, reply."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jupyter_server.auth.decorator import authorized
from tornado import web

from bokehmount.apphost import Opening
from bokehmount.errors import AppNotFound, BokehMountError, KernelLost, ProtocolError
from bokehmount.page import Place

from .answers import as_http_error, script_wishes, send_asset, send_metadata, send_page, send_script
from .embedding import JupyterScript
from .jupyter_base import JupyterAppPage, JupyterFile, JupyterPage, JupyterSocket
from .kernels.link import KernelLink
from .kernels.links import Links
from .paths import COMPONENT, is_of_component, pattern_of
from .requests import TokenPolicy, opening_of, request_info, token_of, token_payload
from .shell import error_page, shell_page
from .views import BUSY, STARTING, View, Views
from .websocket import BOKEH, STATUS, ViewerSocket

__all__ = ("KernelSite", "kernel_routes")

BUSY_PATIENCE: Final = 0.05
"""Seconds that a page request waits for a kernel known to be busy before the shell is sent instead."""

PATIENCE: Final = 0.06
"""Seconds that it waits for a kernel to begin; an idle one begins at once."""

START_PATIENCE: Final = 0.6
"""Seconds that it waits for an app that an idle kernel is building; longer, and the user wants to read something."""

SCRIPT_PATIENCE: Final = 60.0
"""Seconds that a request waits which no shell can stand in for: autoload scripts and metadata."""

END_PATIENCE: Final = 3.0
"""Seconds that ending an app waits for the kernel, which ends it in any case when it is free."""

_OWED: Final = 60.0


@dataclass(frozen=True)
class KernelSite:
    """What the routes to kernels share.

    Args:
        links: the links to kernels
        views: the views that listen
        policy: how session tokens are treated
        base: ``{base_url}{prefix}/``
        active: called with a kernel's id when a user did something with an app of it
    """

    links: Links
    views: Views
    policy: TokenPolicy
    base: str
    active: Callable[[str], None]

    @property
    def view_script(self) -> str:
        """The URL of the view script."""
        return f"{self.base}view/view.js?v={_VIEW_VERSION}"

    def changed(self, kernel_id: str, session_id: str) -> None:
        """A browser changed something in a session."""
        if not self.views.watched(kernel_id, session_id):
            self.active(kernel_id)

    def place(self, kernel_id: str) -> Place:
        """Where a kernel's pages live."""
        return Place(f"{self.base}kernels/{quote(kernel_id)}/", self.view_script)

    def describe(self) -> list[dict[str, Any]]:
        """The apps of all kernels for the front end, with URLs below `base`."""
        return [
            {
                "kernel_id": link.kernel_id,
                **app,
                "url": f"kernels/{quote(link.kernel_id)}{quote(str(app['app']))}",
                "carrier": link.carrier_name,
            }
            for link in self.links
            for app in link.apps
        ]


class _KernelPage(JupyterPage):
    def initialize(self, site: KernelSite) -> None:
        self.site = site

    async def link(self, kernel_id: str) -> KernelLink:
        return await self.site.links.get(kernel_id)


class PageHandler(_KernelPage, JupyterAppPage):
    """The page of a kernel-hosted app, or the shell that becomes it."""

    @web.authenticated
    @authorized
    async def get(self, kernel_id: str, app: str) -> None:
        site, path, listens = self.site, f"/{app}", ""
        try:
            info = request_info(self.request, self.current_user.username)
            token = token_of(site.policy, self.request, token_payload(info), trusted=self.token_authenticated)
            linking = asyncio.ensure_future(self.link(kernel_id))
            await asyncio.wait([linking], timeout=START_PATIENCE)  # a kernel that has just been started answers later
            link = linking.result() if linking.done() else None
            listens = token.text
            there = site.views.collect(kernel_id, token.session_id)
            if there is not None:  # asked for again, it might be late again
                send_page(self, there)
                return
            opening = opening_of(site.policy, token, info)
            page = asyncio.ensure_future(_page(linking, path, opening, site.place(kernel_id)))
            if link is not None:
                await self._wait(link, page)
            if page.done():
                send_page(self, page.result())
                return
            site.views.owe(kernel_id, token.session_id, page, _OWED)
            state, text = ("busy", BUSY) if link is not None and link.busy else ("starting", STARTING)
            send_page(self, shell_page(_title(link, path), site.view_script, token.text, state, text), 202)
        except BokehMountError as error:
            run = site.views.run_of(kernel_id, path)
            send_page(self, error_page(error, site.view_script, token=listens, run=run), error.http_status)

    async def _wait(self, link: KernelLink, page: asyncio.Future[str]) -> None:
        if link.busy:
            await asyncio.wait([page], timeout=BUSY_PATIENCE)
            return
        # a kernel that is free answers this as soon as its main thread has taken it up
        begun = asyncio.ensure_future(link.ask("turn"))
        either: list[asyncio.Future[Any]] = [begun, page]
        await asyncio.wait(either, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if begun.done() and not begun.cancelled() and begun.exception() is None:
            await asyncio.wait([page], timeout=START_PATIENCE)
        begun.cancel()


class AutoloadHandler(_KernelPage, JupyterScript):
    """The script that draws a kernel-hosted app into another page."""

    @web.authenticated
    @authorized
    async def get(self, kernel_id: str, app: str) -> None:
        wishes = script_wishes(self)
        with as_http_error():
            link = await _patiently(self.link(kernel_id))
            info = request_info(self.request, self.current_user.username)
            token = token_of(self.site.policy, self.request, token_payload(info), trusted=self.token_authenticated)
            place = Place(self.site.place(kernel_id).root)
            opening = opening_of(self.site.policy, token, info)
            script = await _patiently(link.autoload(f"/{app}", opening, place, wishes))
        send_script(self, script)


class MetadataHandler(_KernelPage):
    """What a kernel-hosted app says of itself."""

    @web.authenticated
    @authorized
    async def get(self, kernel_id: str, app: str) -> None:
        with as_http_error():
            link = await _patiently(self.link(kernel_id))
            metadata = await _patiently(link.metadata(f"/{app}", f"/{app}"))
        send_metadata(self, metadata)


class StaticHandler(_KernelPage, JupyterFile):
    """BokehJS and extension files of a kernel, from the cache or from the kernel."""

    @property
    def is_published(self) -> bool:
        return not is_of_component(self.path_args[1])

    @web.authenticated
    @authorized
    async def get(self, kernel_id: str, path: str) -> None:
        with as_http_error():
            link = await _patiently(self.link(kernel_id))
            asset = await _patiently(link.asset(path))
        send_asset(self, asset)

    def compute_etag(self) -> str | None:
        return None


class AppStaticHandler(_KernelPage):
    """Files of an app's own static folder, from the kernel."""

    @web.authenticated
    @authorized
    async def get(self, kernel_id: str, app: str, path: str) -> None:
        with as_http_error():
            link = await _patiently(self.link(kernel_id))
            asset = await _patiently(link.app_asset(f"/{app}", path))
        send_asset(self, asset)

    def compute_etag(self) -> str | None:
        return None


class ViewScriptHandler(JupyterPage):
    """The view script."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.set_header("Content-Type", "text/javascript; charset=utf-8")
        self.set_header("Cache-Control", "private, max-age=31536000, immutable")
        self.finish(_VIEW_SCRIPT)


class SocketHandler(JupyterSocket):
    """A browser's WebSocket to a kernel-hosted app, or to what is said about it."""

    def initialize(self, site: KernelSite) -> None:
        self.site = site
        self._viewer: ViewerSocket | None = None
        self._view: View | None = None
        self._connected: str | None = None

    def open(self, kernel_id: str, app: str) -> None:
        self.read_ahead()
        self.tune()
        self.kernel_id = kernel_id
        self._beginning: asyncio.Future[None] | None = asyncio.ensure_future(self._begin(f"/{app}"))

    async def _begin(self, path: str) -> None:
        try:
            if self.ws_connection is not None:  # else it was closed before this began
                await self._connect(path)
        except Exception as error:
            self.fail(error)
        finally:
            self._beginning = None

    async def _connect(self, path: str) -> None:
        site, kernel_id = self.site, self.kernel_id
        if self.selected_subprotocol is None:
            raise ProtocolError("this WebSocket speaks the subprotocol 'bokeh', followed by a session token")
        token = site.policy.tokens.check(self.token_text, trust_unsigned=self.token_authenticated)
        if self.selected_subprotocol == STATUS:
            link = site.links.opened(kernel_id)
            self._view = View(kernel_id, path, token.session_id, self)
            failed = self.get_query_argument("failed", None)
            if failed is not None:
                site.views.add_failed(self._view, failed)
                return
            busy, silent = (link.busy, link.is_silent) if link is not None else (False, False)
            site.views.add(self._view, busy=busy, silent=silent)
            return
        assert self.selected_subprotocol == BOKEH, "select_subprotocol lets no other through"
        try:
            link = await site.links.get(kernel_id)
        except BokehMountError as error:
            self.refuse(token.session_id, error)
            return
        if self.ws_connection is None:
            return
        self._connected = kernel_id
        self.settings["kernel_manager"].notify_connect(kernel_id)
        self._viewer = ViewerSocket(self, link, path, partial(site.changed, kernel_id, token.session_id))
        info = request_info(self.request, self.current_user.username)
        self._viewer.start(opening_of(site.policy, token, info))

    def refuse(self, session_id: str, error: Exception) -> None:
        super().refuse(session_id, error)
        self.site.views.refused(self.kernel_id, session_id, error)

    def unsent(self, why: str) -> None:
        if self._viewer is not None:
            self.site.views.unsent(self.kernel_id, self._viewer.session_id, why)

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        if self._viewer is None and self._view is None:
            return self._take_early(message)
        self._take(message)
        return None

    async def _take_early(self, message: str | bytes) -> None:
        """It spoke before it was greeted; nothing more is read until it has been."""
        if self._beginning is not None:
            await asyncio.wait([self._beginning])
        self._take(message)

    def _take(self, message: str | bytes) -> None:
        if self._viewer is not None:
            self._viewer.on_message(message)
        elif self._view is not None and self.site.views.hear(self._view, message):
            self.site.active(self.kernel_id)

    def on_close(self) -> None:
        if self._viewer is not None:
            self._viewer.on_close()
        if self._view is not None:
            self.site.views.remove(self._view)
        if self._connected is not None and self._connected in self.settings["kernel_manager"]:
            self.settings["kernel_manager"].notify_disconnect(self._connected)


class AppHandler(_KernelPage):
    """``/api/kernels/{id}/apps/{app}``: end an app."""

    @web.authenticated
    @authorized
    async def delete(self, kernel_id: str, app: str) -> None:
        with as_http_error():
            link = self.site.links.opened(kernel_id)
            if link is None:
                raise AppNotFound(f"no app of kernel {kernel_id} is running")
            try:
                async with asyncio.timeout(END_PATIENCE):
                    await link.ask("close_app", path=f"/{app}")
            except TimeoutError:
                self.set_status(202)
                self.finish({"message": f"The kernel is busy; the app {app} ends when it is free."})
                return
        self.set_status(204)
        self.finish()


async def _patiently(answer: Any) -> Any:
    try:
        async with asyncio.timeout(SCRIPT_PATIENCE):
            return await answer
    except TimeoutError:
        raise KernelLost("the kernel is busy; try again when it is free") from None


async def _page(linking: asyncio.Future[KernelLink], path: str, opening: Opening, place: Place) -> str:
    return await (await linking).page(path, opening, place)


def _title(link: KernelLink | None, path: str) -> str:
    apps = link.apps if link is not None else ()
    return next((str(app["title"]) for app in apps if app["app"] == path), path.strip("/"))


def _view_script() -> tuple[bytes, str]:
    content = (Path(__file__).parent / "static" / "view.js").read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:16]


_VIEW_SCRIPT, _VIEW_VERSION = _view_script()


def kernel_routes(site: KernelSite) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """The routes, each with its handler; they begin at the server's root."""
    args: dict[str, Any] = {"site": site}
    base = pattern_of(site.base)
    kernel = rf"{base}kernels/([\w.~%-]+)"
    app = r"((?:[\w.~-]+/)*[\w.~-]+?)"
    return [
        (rf"{base}view/view\.js", ViewScriptHandler, {}),
        (rf"{base}api/kernels/([\w.~%-]+)/apps/{app}", AppHandler, args),
        (rf"{kernel}/static/(.+)", StaticHandler, args),
        (rf"{kernel}/{COMPONENT}", StaticHandler, args),
        (rf"{kernel}/{app}/static/(.+)", AppStaticHandler, args),
        (rf"{kernel}/{app}/ws", SocketHandler, args),
        (rf"{kernel}/{app}/autoload\.js", AutoloadHandler, args),
        (rf"{kernel}/{app}/metadata", MetadataHandler, args),
        (rf"{kernel}/{app}/?", PageHandler, args),
    ]
