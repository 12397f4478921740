"""Makes sessions from an application, keeps them while somebody looks at them, and ends them with their hooks."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bokeh.application.application import Application, ServerContext, SessionContext
from bokeh.document import Document
from bokeh.util.token import get_token_payload

from .applications import tell_panel
from .checking import not_validated, quickly_validated
from .errors import AppError, ProtocolError, SessionEnded
from .lifecycle import Event, Lifecycle
from .of_panel import take_styles_from_server, tell_address
from .putting_back import CurdocPutBack, filled, io_put_back
from .request_proxy import RequestProxy, proxy_of
from .session import ServerSession
from .stage import USER_ERRORS, LogStage, Stage, user_traceback

if TYPE_CHECKING:
    from bokeh.core.types import ID
    from tornado.ioloop import IOLoop

    from .sending import Connection

__all__ = (
    "ApplicationContext",
    "BokehServerContext",
    "BokehSessionContext",
    "SessionFactory",
    "app_error",
    "raise_failures",
)

log = logging.getLogger(__name__)

SessionFactory = Callable[..., ServerSession]

_HANGING: Final = 5.0
"""Seconds after which the hooks of a session's end hold up no other session's end."""

MOST_EXPECTED: Final = 20
"""Sessions of an app that wait long for their first viewer; of more, made by robots perhaps, the oldest wait no longer
than for one who said goodbye."""

MOST_SPENT: Final = 1000
"""Tokens of ended sessions that are known; of more, the oldest have most likely grown too old by themselves."""


class BokehServerContext(ServerContext):
    """What the hooks of an application know of the server: its sessions."""

    def __init__(self, application_context: ApplicationContext) -> None:
        # the application's hooks may keep us; that must not keep all its sessions
        self._owner = weakref.ref(application_context)

    @property
    def application_context(self) -> ApplicationContext | None:
        """The context of the application, while it lives."""
        return self._owner()

    @property
    def sessions(self) -> list[ServerSession]:  # type: ignore[override]  # the base names Bokeh's own class
        """The application's sessions that live now."""
        context = self.application_context
        return list(context.sessions) if context is not None else []


class BokehSessionContext(SessionContext):
    """What an app and its hooks know of their session, as ``doc.session_context``."""

    def __init__(
        self, session_id: ID, server_context: ServerContext, document: Document, logout_url: str | None = None
    ) -> None:
        super().__init__(server_context, session_id)
        self._document = document
        self._logout_url = logout_url
        self._session: ServerSession | None = None
        self._request: RequestProxy | None = None
        self._token: str | None = None
        self._more: Mapping[str, Any] = {}

    @property
    def document(self) -> Document:
        """The session's Document."""
        return self._document

    async def with_locked_document(self, func: Callable[[Document], Awaitable[None]]) -> None:
        """Run a function on the Document while nobody else works on it."""
        session = self._session
        if session is not None:
            await session.with_document_locked(func, self._document)
        else:  # it is being made: nobody else knows the Document
            await func(self._document)

    @property
    def destroyed(self) -> bool:
        """Whether the session is over."""
        return self._session is not None and self._session.destroyed

    @property
    def logout_url(self) -> str | None:
        """Where a user logs out, where there is a login."""
        return self._logout_url

    @property
    def request(self) -> RequestProxy | None:
        """The request that opened the session; None where there was none."""
        return self._request

    @property
    def token_payload(self) -> dict[str, Any]:
        """What the session's token holds beside its id, and what ``process_request`` has added."""
        payload = get_token_payload(self._token) if self._token is not None else {}
        return {**payload, **self._more}

    @property
    def session(self) -> ServerSession | None:
        """The session; None while it is being made."""
        return self._session


@dataclass(frozen=True, slots=True)
class _Held:
    """One session with what belongs to it."""

    session: ServerSession
    document: Document  # which a session that is over does not give
    application: Application  # which made it, whatever makes the next ones
    context: BokehSessionContext
    lifecycle: Lifecycle


class ApplicationContext:
    """One application and its sessions.

    Args:
        application: makes the Documents; where it is a function, it is asked for the application of each new session
        io_loop: the loop on which its sessions live; the running one where None
        url: the application's path
        logout_url: where users log out
        stage: where the app's code runs and who hears of its errors
        make_session: makes the sessions, called like `ServerSession`
        reads_requests: whether the application's ``process_request`` is asked here: where the token is made in another
            process, which can't ask it
    """

    def __init__(
        self,
        application: Application | Callable[[], Application],
        io_loop: IOLoop | None = None,
        url: str | None = None,
        logout_url: str | None = None,
        *,
        stage: Stage | None = None,
        make_session: SessionFactory = ServerSession,
        reads_requests: bool = False,
    ) -> None:
        self._renew: Callable[[], Application] = (
            (lambda: application) if isinstance(application, Application) else application
        )
        self._application = self._renew()
        self._loop = io_loop
        self._url = url
        self._logout_url = logout_url
        self.stage = stage or LogStage(url)
        self._make_session = make_session
        self._reads_requests = reads_requests
        self._server_context = BokehServerContext(self)
        self._held: dict[str, _Held] = {}
        self._pending: dict[str, asyncio.Future[ServerSession]] = {}
        self._making: list[Application] = []  # those that fill a Document now, once for each
        self._spent: dict[int, None] = {}  # hashes of tokens whose session was seen and has ended, the oldest first
        self._ends = 0
        self._late: set[asyncio.Task[Any]] = set()

    @property
    def application(self) -> Application:
        """What makes the Documents."""
        return self._application

    @property
    def io_loop(self) -> IOLoop | None:
        """The loop on which its sessions live."""
        return self._loop

    @property
    def url(self) -> str | None:
        """The application's path."""
        return self._url

    @property
    def server_context(self) -> BokehServerContext:
        """What the application's hooks are given."""
        return self._server_context

    @property
    def sessions(self) -> Iterable[ServerSession]:
        """The sessions that live now."""
        return [held.session for held in self._held.values()]

    def run_load_hook(self) -> None:
        """Tell the application that the server starts."""
        self._run_hook(self._application.on_server_loaded, "server loaded hook")

    def run_unload_hook(self) -> None:
        """Tell the application that the server stops."""
        self._run_hook(self._application.on_server_unloaded, "server unloaded hook")

    def _renewed(self) -> Application:
        """The application of a new session.

        One that replaces another is told that the server starts, as after the restart that it spares; the other is
        told that it stops when its last session has ended.
        """
        earlier, self._application = self._application, self._renew()
        if self._application is not earlier:
            self._unload_replaced(earlier)
            self.run_load_hook()
        return self._application

    def _unload_replaced(self, application: Application) -> None:
        in_use = (self._application, *self._making, *(held.application for held in self._held.values()))
        if any(application is used for used in in_use):
            return
        self._run_hook(application.on_server_unloaded, "server unloaded hook")

    def _run_hook(self, hook: Callable[[BokehServerContext], None], name: str) -> None:
        try:
            with self.stage.entered():
                hook(self._server_context)
        except USER_ERRORS as error:
            self.stage.raised(error, name)

    def get_session(self, session_id: str) -> ServerSession:
        """The living session of this id.

        Raises:
            ProtocolError: there is none
        """
        held = self._held.get(session_id)
        if held is None:
            raise ProtocolError(f"no such session: {session_id!r}")
        return held.session

    def is_spent(self, token: str) -> bool:
        """Whether somebody has looked at this token's session, which has ended: it opens no other one in its place."""
        return hash(token) in self._spent

    def _spend(self, token: str) -> None:
        self._spent[hash(token)] = None
        while len(self._spent) > MOST_SPENT:
            del self._spent[next(iter(self._spent))]

    def living(self, session_id: str) -> ServerSession | None:
        """The living session of this id, or None.  Safe on any thread."""
        held = self._held.get(session_id)
        return held.session if held is not None else None

    async def create_session_if_needed(
        self, session_id: ID, request: Any = None, token: str | None = None
    ) -> ServerSession:
        """The session of this id; made where it does not live yet.

        All who ask for it while it is being made get the same one, or the same error; who asks after an error makes
        it anew.

        Args:
            session_id: not empty
            request: the HTTP request that asks, or a `RequestInfo`
            token: the session's token

        Raises:
            ProtocolError: the id is empty
            AppError: the application raised
            SessionEnded: the application was ended meanwhile
        """
        if not session_id:
            raise ProtocolError("a session id must not be empty")
        held = self._held.get(session_id)
        if held is not None:
            return held.session
        pending = self._pending.get(session_id)
        if pending is None:
            pending = asyncio.ensure_future(self._create(session_id, request, token))
            self._pending[session_id] = pending
            pending.add_done_callback(lambda _: self._pending.pop(session_id, None))
        return await asyncio.shield(pending)

    async def _create(self, session_id: ID, request: Any, token: str | None) -> ServerSession:
        lifecycle = Lifecycle(time.monotonic())
        try:
            application = self._renewed()
        except USER_ERRORS as error:
            raise self._not_made(error, lifecycle) from error
        self._making.append(application)
        try:
            return await self._create_by(application, lifecycle, session_id, request, token)
        finally:
            self._making.remove(application)
            self._unload_replaced(application)

    async def _create_by(
        self, application: Application, lifecycle: Lifecycle, session_id: ID, request: Any, token: str | None
    ) -> ServerSession:
        ends = self._ends
        document = Document()
        context = BokehSessionContext(session_id, self._server_context, document, self._logout_url)
        if request is not None:
            context._request = proxy_of(request, get_token_payload(token) if token else {}, self._url or "/")
        context._token = token
        document._session_context = weakref.ref(context)
        place = getattr(request, "absolute_url", None) or getattr(request, "path", "")
        static = _static_root(str(place), self._url or "/")
        if static is not None:  # Panel takes its style sheets from here, and else from its CDN
            document.template_variables["dist_url"] = f"{static}extensions/panel/"
        if context.request is not None:
            tell_address(document, context.request)
        if self._reads_requests and request is not None:
            try:
                with self.stage.entered():
                    context._more = application.process_request(context.request)  # type: ignore[arg-type]  # much of it
            except USER_ERRORS as error:
                self._hook_raised(error, "request hook")
        try:
            with self.stage.entered(awaits=True):
                await application.on_session_created(context)
        except USER_ERRORS as error:
            self._hook_raised(error, "session created hook")
        try:
            with self.stage.entered(), io_put_back(), filled(document):
                with quickly_validated(document):
                    application.initialize_document(document)
                with not_validated(document):
                    tell_panel(application, document)
                    take_styles_from_server(document)
            raise_failures(application)
        except USER_ERRORS as error:
            failure = self._not_made(error, lifecycle)
            await self._run_last_hooks(application, context, document)
            raise failure from error
        if self._ends != ends:
            await self._run_last_hooks(application, context, document)
            raise SessionEnded("the app was ended while this session began")
        session = self._make_session(session_id, document, io_loop=self._loop, token=token, stage=self.stage)
        return self._hold(session, application, context, lifecycle)

    def _not_made(self, error: BaseException, lifecycle: Lifecycle) -> AppError:
        """The app raised: who hears of its errors does, and so does who asked for the session."""
        self.stage.raised(error, f"app {self._url or ''}".strip())
        lifecycle.on(Event.RAISED, time.monotonic())
        return app_error(error)

    def adopt(self, session_id: ID, document: Document) -> ServerSession:
        """A session of a Document that is there already, and stays when the session ends."""
        context = BokehSessionContext(session_id, self._server_context, document, self._logout_url)
        if document.session_context is None:
            document._session_context = weakref.ref(context)
        session = self._make_session(session_id, document, io_loop=self._loop, stage=self.stage, owns_document=False)
        return self._hold(session, self._application, context, Lifecycle(time.monotonic()))

    def _hold(
        self, session: ServerSession, application: Application, context: BokehSessionContext, lifecycle: Lifecycle
    ) -> ServerSession:
        context._session = session
        lifecycle.on(Event.READY, time.monotonic())
        self._held[session.id] = _Held(session, session.document, application, context, lifecycle)
        return session

    def joined(self, session: ServerSession, connection: Connection) -> None:
        """A connection looks at a session from now on.

        Raises:
            SessionEnded: the session does not live any more
        """
        held = self._held.get(session.id)
        if held is None or held.session is not session:
            raise SessionEnded(f"session {session.id} has ended")
        if not session.connection_count:
            held.lifecycle.on(Event.JOINED, time.monotonic())
        session.subscribe(connection)

    def left(self, session: ServerSession, connection: Connection, *, lost: bool) -> None:
        """A connection is gone; ``lost`` where it broke without a goodbye."""
        if connection not in session.connections:
            return
        session.unsubscribe(connection)
        session.notify_connection_lost()
        held = self._held.get(session.id)
        if held is not None and held.session is session and not session.connection_count:
            held.lifecycle.on(Event.LOST if lost else Event.LEFT, time.monotonic())

    async def expire(self, linger: float, linger_lost: float | None = None) -> list[ServerSession]:
        """End the sessions that nobody has looked at for so many seconds.

        Args:
            linger: after the last viewer said goodbye
            linger_lost: after its connection broke, or while it has not come yet; ``linger`` where None

        Returns:
            those that ended
        """
        now = time.monotonic()
        linger_lost = linger if linger_lost is None else linger_lost
        unseen = [held for held in self._held.values() if not held.lifecycle.seen]
        too_many = set(unseen[:-MOST_EXPECTED])
        due = [
            held
            for held in self._held.values()
            if not held.session.expiration_blocked
            and not held.session.connection_count
            and (
                held.session.expiration_requested
                or held.lifecycle.due(now, linger, linger if held in too_many else linger_lost)
            )
        ]
        endings = [asyncio.ensure_future(self._discard(held, only_if_idle=True)) for held in due]
        if endings:
            done, late = await asyncio.wait(endings, timeout=_HANGING)
            self._note_ended(done)
            self._late |= late
            for ending in late:
                ending.add_done_callback(self._late_ended)
        return [held.session for held in due if held.session.destroyed]

    def _late_ended(self, ending: asyncio.Task[Any]) -> None:
        self._late.discard(ending)
        self._note_ended((ending,))

    def _note_ended(self, endings: Iterable[asyncio.Task[Any]]) -> None:
        for ending in endings:
            if not ending.cancelled() and (error := ending.exception()) is not None:
                log.error("a session of %s did not end well", self._url, exc_info=error)

    async def end(self, session: ServerSession) -> None:
        """End a session now, whoever looks at it."""
        held = self._held.get(session.id)
        if held is not None and held.session is session:
            await self._discard(held, only_if_idle=False)

    async def end_all(self, patience: float | None = None) -> None:
        """End all sessions; those that are being made don't come to be.

        Args:
            patience: seconds to wait for sessions that are at work, whose work is then cancelled; None for as long as
                it takes
        """
        self._ends += 1
        endings = {asyncio.ensure_future(self.end(session)): session for session in self.sessions}
        if not endings:
            return
        done, late = await asyncio.wait(endings, timeout=patience)
        cut = [self._held.pop(endings[ending].id, None) for ending in late]
        for ending in late:
            ending.cancel()
            endings[ending].destroy()
        if late:
            log.warning("sessions of %s were ended while they were still at work: %d", self._url, len(late))
        hooks = [
            self._run_last_hooks(held.application, held.context, held.document) for held in cut if held is not None
        ]
        await asyncio.gather(*hooks)
        for application in {id(held.application): held.application for held in cut if held is not None}.values():
            self._unload_replaced(application)
        self._note_ended(done)

    async def _discard(self, held: _Held, *, only_if_idle: bool) -> bool:
        session = held.session

        def discard() -> bool:
            # while the lock was waited for, somebody may have come back; one block is that of this very work
            if only_if_idle and (session.connection_count or session.expiration_blocked_count > 1):
                return False
            if self._held.get(session.id) is not held:
                return False
            del self._held[session.id]
            held.lifecycle.on(Event.EXPIRED, time.monotonic())
            session.destroy()
            if held.lifecycle.seen and held.context._token is not None:
                self._spend(held.context._token)
            return True

        if not await session.with_document_locked(discard):
            return False
        await self._run_destroyed_hooks(held.application, held.context, held.document)
        self._unload_replaced(held.application)
        return True

    async def _run_last_hooks(self, application: Application, context: BokehSessionContext, document: Document) -> None:
        """The hooks of a session that did not come about, or was cut short; nobody waits for those that hang."""
        ending = asyncio.ensure_future(self._run_destroyed_hooks(application, context, document))
        if not (await asyncio.wait([ending], timeout=_HANGING))[0]:
            self._late.add(ending)
            ending.add_done_callback(self._late_ended)

    async def _run_destroyed_hooks(
        self, application: Application, context: BokehSessionContext, document: Document
    ) -> None:
        """The application's hooks, and what the app asked for with ``doc.on_session_destroyed``, unless a handler of
        the application did it.  Also where the app raised: what it began until then has to end."""
        try:
            with self.stage.entered(awaits=True):
                await application.on_session_destroyed(context)
        except USER_ERRORS as error:
            self._hook_raised(error, "session destroyed hook")
        hooks = document.session_destroyed_callbacks
        document.session_destroyed_callbacks = set()
        for hook in hooks:
            try:
                with self.stage.entered(), CurdocPutBack():
                    hook(context)
            except USER_ERRORS as error:
                self.stage.raised(error, "session destroyed hook")

    def _hook_raised(self, error: BaseException, name: str) -> None:
        """An async hook raised; that it was cancelled may be its own doing, or that of who cancels us."""
        task = asyncio.current_task()
        was_cancelled = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling()
        if was_cancelled or isinstance(error, GeneratorExit):
            raise error
        self.stage.raised(error, name)


def app_error(error: BaseException) -> AppError:
    """An app's exception, for the eyes of its user."""
    if isinstance(error, AppError):
        return error
    return AppError("".join(traceback.format_exception_only(error)).strip(), user_traceback(error))


def raise_failures(application: Application) -> None:
    """A script that fails is remembered by its handler and not raised."""
    for handler in application.handlers:
        if handler.failed:
            detail = (handler.error_detail or "").strip()
            raise AppError(f"{handler.error or 'the app failed'}", detail)


def _static_root(path: str, app: str) -> str | None:
    """Where the static files are for who asked for an app at this path; None where that can't be told."""
    app = app.rstrip("/")
    for end in (f"{app}/autoload.js", f"{app}/ws", f"{app}/", app):
        if path and path.endswith(end):
            return f"{path[: len(path) - len(end)]}/static/"
    return None
