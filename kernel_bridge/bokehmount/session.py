"""One Document and the connections that look at it.  Knows nothing of sockets.

The same class hosts a Document in a server and in a kernel.  Its thread is the one that made it: there messages are
applied and callbacks run, under the Document's lock; there anybody may edit a model at any time, lock or not, and the
change is sent at once.  Other threads use next-tick callbacks.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import bokeh
from bokeh.core.serialization import Deserializer, UnknownReferenceError
from bokeh.document import Document
from bokeh.document.callbacks import invoke_with_curdoc
from bokeh.document.events import (
    DocumentPatchedEvent,
    ModelChangedEvent,
    SessionCallbackAdded,
    SessionCallbackRemoved,
    TitleChangedEvent,
)
from bokeh.events import ConnectionLost
from bokeh.util.token import generate_jwt_token

from . import __version__, documents, wire
from .collecting import collector, empty_modules, uncollected
from .errors import ProtocolError
from .following import FollowingRanges
from .frames import Frames, kept_by
from .gathered import PanelConnection, panel_connections
from .guarding import guard_callbacks
from .lock import DocumentLock
from .pictures import check_change, check_definitions
from .putting_back import CurdocPutBack
from .scheduling import SessionCallbacks
from .sending import Connection, Sending
from .settling import Key, Settling
from .stage import NOT_OF_USERS, USER_ERRORS, LogStage, Stage, is_bokehs
from .wire import Message, MessageType

if TYPE_CHECKING:
    from bokeh.core.types import ID
    from tornado.ioloop import IOLoop

__all__ = ("ServerSession",)

log = logging.getLogger(__name__)
T = TypeVar("T")

_TOGETHER: Final = 2.0
"""Seconds in which views that open get the same JSON of an unchanged Document; kept for longer it is a waste."""


_MOST_WAITING: Final = 16 * 2**20
"""Bytes of messages that may wait for the lock, before what more connections send is left to them."""


class ServerSession:
    """Hosts an application's instance, a Document, for one or more connections.

    Make it on the thread and loop that shall own the Document; call `destroy` when it is over.

    Args:
        session_id: the id, not empty
        document: the Document; it must not have another session
        io_loop: the loop that runs the callbacks; the running one where None
        token: a token that names this session
        stage: where callbacks run and who hears of their errors; it may be exchanged
        flush_later: has a function called soon, on any thread; it sends the edits that were made outside of the
            lock.  The loop's next turn where None.
        owns_document: whether the Document ends with the session
        owns_models: whether the Document's models are of no use then any more
    """

    def __init__(
        self,
        session_id: ID,
        document: Document,
        io_loop: IOLoop | asyncio.AbstractEventLoop | None = None,
        token: str | None = None,
        *,
        stage: Stage | None = None,
        flush_later: Callable[[Callable[[], None]], object] | None = None,
        owns_document: bool = True,
        owns_models: bool = True,
    ) -> None:
        if not session_id:
            raise ValueError("a session must have an id that is not empty")
        if document is None:
            raise ValueError("a session must have a Document")
        self._id = session_id
        self._document = document
        self._as_setter: Any = self  # Bokeh names its own class where any object will do
        self._token = token
        self.stage = stage or LogStage()
        self._loop = _asyncio_loop(io_loop)
        self._thread = threading.get_ident()
        self._connections: set[Connection] = set()
        self._lock = DocumentLock()
        self._sending = Sending(document, flush_later or self._loop.call_soon_threadsafe)
        self._settling = Settling()
        self._ranges = FollowingRanges(document)
        self._settle_handle: asyncio.TimerHandle | None = None
        self._patching: Connection | None = None
        self._pushing = False
        self._whole: Any = None
        self._whole_handle: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Future[Any]] = set()
        self._owns_document = owns_document
        self._owns_models = owns_models
        self._is_over = False
        self._is_to_go = False
        self._blocks = 0
        self._waiting = 0  # bytes of messages that wait for the lock
        self._left_at = time.monotonic()

        document.callbacks.on_change_dispatch_to(self)
        self._unguard = guard_callbacks(document, self._guarded)
        self._callbacks = SessionCallbacks(self._loop, self._run_callback)
        for callback in document.session_callbacks:
            self._callbacks.add(callback)

    # What a session is -----------------------------------------------------------------------------------------------

    @property
    def document(self) -> Document:
        """The Document; raises `RuntimeError` once the session is destroyed."""
        if self._is_over:
            raise RuntimeError(f"session {self._id!r} is destroyed and has no Document any more")
        return self._document

    @property
    def id(self) -> ID:
        """The session's id."""
        return self._id

    @property
    def token(self) -> str:
        """A token that names this session; the one it was made with where there was one."""
        return self._token or generate_jwt_token(self._id)

    @property
    def destroyed(self) -> bool:
        """Whether it is over."""
        return self._is_over

    @property
    def expiration_requested(self) -> bool:
        """Whether it goes at the next check, if nobody looks at it."""
        return self._is_to_go

    @property
    def expiration_blocked(self) -> bool:
        """Whether work is under way that must not lose its Document."""
        return self._blocks > 0

    @property
    def expiration_blocked_count(self) -> int:
        """How many pieces of such work there are."""
        return self._blocks

    @property
    def connection_count(self) -> int:
        """How many connections look at it."""
        return len(self._connections)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Who looks at it."""
        return tuple(self._connections)

    @property
    def _subscribed_connections(self) -> Sequence[PanelConnection]:
        """Panel asks for this name, to write by itself what it gathered while it held the Document."""
        return panel_connections(self._document_patched)

    @property
    def _pending_writes(self) -> list[Any] | None:
        """Panel asks for this name too: where it is a list, what Panel lets go of leaves with our changes."""
        return [] if self._sending.is_gathering else None

    @property
    def milliseconds_since_last_unsubscribe(self) -> float:
        """How long nobody looks at it, or how long ago one of several left."""
        return (time.monotonic() - self._left_at) * 1000

    def request_expiration(self) -> None:
        """Let it go at the next check, if nobody looks at it."""
        self._is_to_go = True

    def block_expiration(self) -> None:
        """Keep it alive until `unblock_expiration`."""
        self._blocks += 1

    def unblock_expiration(self) -> None:
        """Undo one `block_expiration`."""
        if self._blocks <= 0:
            raise RuntimeError("unblock_expiration was called more often than block_expiration")
        self._blocks -= 1

    def destroy(self) -> None:
        """End it: no callback runs any more and the Document is taken apart.  Doing it again does nothing."""
        if self._is_over:
            return
        self._is_over = True
        self._callbacks.remove_all()
        for task in tuple(self._tasks):
            task.cancel()
        for handle in (self._settle_handle, self._whole_handle):
            if handle is not None:
                handle.cancel()
        self._sending.clear()
        self._unguard()
        self._document.remove_on_change(self)
        if self._owns_document:
            if not self._owns_models:
                documents.release(self._document)
            self._document.on_change_dispatch_to(self)  # destroy() takes it back
            empty_modules(self._document)
            with uncollected():
                self._document.destroy(self)  # by which Panel lets go of it too
            collector.soon(self._loop)
        del self._document

    # Connections -----------------------------------------------------------------------------------------------------

    def subscribe(self, connection: Connection) -> None:
        """A connection looks at this session from now on."""
        self._connections.add(connection)

    def unsubscribe(self, connection: Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        self._sending.remove_listener(connection)
        self._left_at = time.monotonic()

    def notify_connection_lost(self) -> None:
        """Let the Document's ``on_event("connection_lost")`` callbacks run."""
        if not self._is_over:
            self._spawn(self._locked(partial(self._tell, ConnectionLost())))

    def _tell(self, event: ConnectionLost) -> None:
        callbacks = self._document.callbacks
        for callback in callbacks.event_callbacks_for_event_name(event.event_name):
            callback(event)

    def receive(self, connection: Connection, frames: Frames) -> None:
        """Carry out a message of a connection, now or as soon as the lock is free; the answer goes to its outlet.

        Raises:
            ProtocolError: the message is not one that a client may send; close the connection
        """
        message = wire.decode(frames)
        match message.msgtype:
            case MessageType.PATCH_DOC:
                work = self._apply_patch
            case MessageType.PULL_DOC_REQ:
                work = self._answer_pull
            case MessageType.PUSH_DOC:
                work = self._apply_push
            case MessageType.SERVER_INFO_REQ:
                work = self._answer_info
            case MessageType.OK | MessageType.ERROR:
                return
            case _:
                raise ProtocolError(f"a client does not send {message.msgtype}")
        if not self._is_over:
            self._spawn(self._locked(partial(work, connection, message)), kept_by(frames))

    @property
    def is_behind(self) -> bool:
        """Whether so many messages wait for the lock that what connections send is to be left to them for now."""
        return self._waiting > _MOST_WAITING

    def _answer_info(self, connection: Connection, message: Message) -> None:
        self._reply(connection, wire.server_info_reply(message, bokeh.__version__, __version__))

    def _answer_pull(self, connection: Connection, message: Message) -> None:
        self._send_held()
        self.flush()  # what came before is in the snapshot already
        if self._whole is None:
            with self._ranges.left_out():
                self._whole = documents.to_json(self._document)
            if self._whole_handle is not None:
                self._whole_handle.cancel()
            self._whole_handle = self._loop.call_later(_TOGETHER, self._forget_whole)
        self._reply(connection, wire.pull_doc_reply(message, self._whole))
        self.flush()
        self._sending.add_listener(connection)

    def _forget_whole(self) -> None:
        self._whole = None

    def _send_held(self) -> None:
        """Send what ``doc.hold()`` holds back; streamed rows would come twice to who has a snapshot first."""
        policy = self._document.callbacks.hold_value
        if policy is not None:
            self._document.unhold()
            self._document.hold(policy)

    def _apply_push(self, connection: Connection, message: Message) -> None:
        if "doc" not in message.content:
            self._reply(connection, wire.error(message, "PUSH-DOC without a 'doc'"))
            return
        self._whole = None
        self._sending.add_listener(connection)
        self._ranges.forget()
        self._patching, self._pushing = connection, True
        try:
            documents.replace(self._document, message)
        except Exception as error:
            self._refuse(connection, message, error)
        else:
            self._reply(connection, wire.ok(message))
        finally:
            self._patching, self._pushing = None, False

    def _apply_patch(self, connection: Connection, message: Message) -> None:
        self._patching = connection
        touched = documents.touched(message.content)
        self._ranges.told(touched)
        try:
            with CurdocPutBack():
                invoke_with_curdoc(self._document, partial(self._handle_events, message))
        except Exception as error:
            for key in touched:
                self._settling.doubt(key, time.monotonic())
            self._refuse(connection, message, error)
        else:
            for key in touched:
                self._settling.received(key, connection, time.monotonic())
            self._reply(connection, wire.ok(message))
        finally:
            self._patching = None
        self._settle_later()

    def _handle_events(self, message: Message) -> None:
        document = self._document
        nodes = documents.nodes(message.content)
        known = [model for node in nodes if "id" in node and (model := document.models.get_by_id(node["id"]))]
        check_definitions(nodes)
        deserializer = Deserializer(known, setter=self._as_setter)
        try:
            patch = deserializer.deserialize(message.payload)
        except UnknownReferenceError as error:
            if not document.models.seen(error.id):
                raise
            log.debug("dropped a patch of a model that was just removed: %s", error)
            for key in documents.touched(message.content):
                self._settling.doubt(key, time.monotonic())  # what else was in it is dropped too
            return
        if not isinstance(patch, dict) or not isinstance(patch.get("events"), list):
            raise ProtocolError("PATCH-DOC without a list of 'events'")
        failure: Exception | None = None
        for event in patch["events"]:
            try:
                check_change(event)
                DocumentPatchedEvent.handle_event(document, event, self._as_setter)
            except Exception as error:
                failure = failure or error
        document.models.flush_synced(lambda model: not deserializer.has_ref(model))
        if failure is not None:
            raise failure

    def _refuse(self, connection: Connection, message: Message, error: Exception) -> None:
        if is_bokehs(error):
            log.warning("session %s could not carry out %s: %r", self._id, message.msgtype, error)
            text = f"{type(error).__name__}: {error}"
        else:  # such as a rule that the app has for a property's values
            self.stage.raised(error, f"code of the app's that {message.msgtype} ran")
            text = "the app raised while it carried this out"
        self._reply(connection, wire.error(message, text))

    # The lock --------------------------------------------------------------------------------------------------------

    async def with_document_locked(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a function while nobody else works on the Document.

        Changes that it makes are sent together when it is done; those of an async function as they come.

        Returns:
            what it returns, awaited where it is awaitable; None if the session is destroyed
        """
        if self._is_over:
            return None
        result = self._locked(partial(func, *args, **kwargs))
        return await result if inspect.isawaitable(result) else result

    def _locked(self, work: Callable[[], T | Awaitable[T]]) -> T | Awaitable[T]:
        self.block_expiration()
        if not self._lock.try_acquire():
            return self._when_free(work)
        return self._holding(work)

    async def _when_free(self, work: Callable[[], T | Awaitable[T]]) -> T:
        try:
            await self._lock.acquire()
        except BaseException:
            self.unblock_expiration()
            raise
        result = self._holding(work)
        return await result if inspect.isawaitable(result) else result

    def _holding(self, work: Callable[[], T | Awaitable[T]]) -> T | Awaitable[T]:
        """Run work with the lock held; let the lock go when it, or what it awaits, is done."""
        if self._is_over:
            self._let_go()
            return None  # type: ignore[return-value]  # nobody waits for an answer of a session that is gone
        self._sending.gather()
        try:
            try:
                result = work()
            finally:  # what it changed leaves together, also if it raised
                self._sending.end_gathering()
        except BaseException:
            self._let_go()
            raise
        if inspect.isawaitable(result):
            return self._await_and_let_go(result)
        self._let_go()
        return result

    async def _await_and_let_go(self, awaitable: Awaitable[T]) -> T:
        try:
            return await awaitable
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._lock.release()
        self.unblock_expiration()

    def _spawn(self, result: Any, size: int = 0) -> None:
        """Own what is still to be awaited, and so many bytes of memory as it keeps of what a connection sent."""
        if not inspect.isawaitable(result):
            return
        task = asyncio.ensure_future(result, loop=self._loop)
        self._tasks.add(task)
        self._waiting += size
        task.add_done_callback(partial(self._spawned_ended, size))

    def _spawned_ended(self, size: int, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        self._waiting -= size
        if not task.cancelled() and (error := task.exception()) is not None:
            self.stage.raised(error, "the session's work")

    # Callbacks -------------------------------------------------------------------------------------------------------

    def _guarded(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call user code.  In the session's own work its exception is told and stops nothing else.

        In a cell that edits a model, the exception is the cell's.
        """
        if not (self._sending.is_gathering or self._lock.held):
            result = callback(*args)
        else:
            try:
                with self.stage.entered(), CurdocPutBack():
                    result = callback(*args)
            except USER_ERRORS as error:
                self.stage.raised(error, _name(callback))
                return
        if inspect.isawaitable(result):
            awaited = self._awaited(result, callback)
            self._spawn(awaited) if self._on_owner_thread() else self._loop.call_soon_threadsafe(self._spawn, awaited)

    def _run_callback(self, callback: Callable[[], Any]) -> Any:
        if self._is_over:
            return None
        if getattr(callback, "nolock", False):
            return self._called(callback)
        return self._locked(partial(self._called, callback))

    def _called(self, callback: Callable[[], Any]) -> Any:
        try:
            with self.stage.entered(), CurdocPutBack():
                result = callback()
        except USER_ERRORS as error:
            self.stage.raised(error, _name(callback))
            return None
        return self._awaited(result, callback) if inspect.isawaitable(result) else None

    async def _awaited(self, awaitable: Awaitable[Any], callback: Callable[..., Any]) -> None:
        try:
            with self.stage.entered(awaits=True):
                await awaitable
        except NOT_OF_USERS:
            raise
        except USER_ERRORS as error:
            self.stage.raised(error, _name(callback))

    def _session_callback_added(self, event: SessionCallbackAdded) -> None:
        if self._on_owner_thread():
            self._callbacks.add(event.callback)
        else:
            self._callbacks.add_soon(event.callback)

    def _session_callback_removed(self, event: SessionCallbackRemoved) -> None:
        if self._on_owner_thread():
            self._callbacks.remove(event.callback)
        else:
            self._loop.call_soon_threadsafe(self._callbacks.remove, event.callback)

    # Sending ---------------------------------------------------------------------------------------------------------

    def _on_owner_thread(self) -> bool:
        return threading.get_ident() == self._thread

    def _document_patched(self, event: DocumentPatchedEvent) -> None:
        """Bokeh calls this for each change of the Document that browsers must hear of."""
        if not self._on_owner_thread():
            self._loop.call_soon_threadsafe(self._settle_foreign, event)
            raise RuntimeError(
                f"{type(event).__name__} in thread {threading.current_thread().name!r}: only the thread that owns a "
                "Document may change it. This change is made and sent all the same, a later one may be lost: let "
                "doc.add_next_tick_callback(function) make it, where doc is the model's .document; that is safe from "
                "any thread"
            )
        key = documents.key_of(event)
        try:
            if event.setter is not self._as_setter:
                self._ranges.chosen(key)
            if not _is_outdated(event):
                self._send_soon(event, key)
        except KeyboardInterrupt:  # of a cell: its change stands in the Document, so views get it when the cell is over
            if key is not None:
                self._doubt(key)
            raise

    def _send_soon(self, event: DocumentPatchedEvent, key: Key | None) -> None:
        self._whole = None
        exclude = self._patching if event.setter is self._as_setter or self._pushing else None
        if self._sending.has_listeners_besides(exclude):
            self._sending.add(event, exclude)
            self._note(key, exclude)
            self._sending.go()
        elif exclude is not None:
            self._note(key, exclude)

    def _note(self, key: Key | None, exclude: Connection | None) -> None:
        if key is not None:
            self._settling.sent(key, exclude, time.monotonic())

    def flush(self) -> None:
        """Send what was gathered.  Safe on any thread."""
        self._sending.flush()

    def _reply(self, connection: Connection, message: Message) -> None:
        """Answer, together with what the request caused, when what is being done is done."""
        self._sending.answer(connection, message)

    def _settle_later(self) -> None:
        due = self._settling.next_due
        if due is not None and self._settle_handle is None:
            self._settle_handle = self._loop.call_later(max(0.0, due - time.monotonic()) + 0.01, self._settle)

    def _settle_foreign(self, event: DocumentPatchedEvent) -> None:
        """Another thread made a change and was told off; the change stands in the Document, so views get it too."""
        if self._is_over:
            return
        self._whole = None
        key = documents.key_of(event)
        if key is None:  # a root came or went
            self._send_soon(event, None)
        else:
            self._doubt(key)

    def _doubt(self, key: Key) -> None:
        self._settling.doubt(key, time.monotonic())
        self._settle_later()

    def _settle(self) -> None:
        """Send every view the Document's value of what both sides have changed at once."""
        self._settle_handle = None
        if not self._is_over:
            self._spawn(self._locked(self._send_settled))
            self._settle_later()

    def _send_settled(self) -> None:
        for identity, attr in self._settling.due(time.monotonic()):
            if not self._sending.has_listeners_besides(None):
                continue
            if (identity, attr) == documents.TITLE:
                self._sending.add(TitleChangedEvent(self._document, self._document.title))
                continue
            model = self._document.models.get_by_id(identity)  # type: ignore[arg-type]
            if model is not None:
                value = model.lookup(attr).get_value(model)
                self._sending.add(ModelChangedEvent(self._document, model, attr, value))


def _is_outdated(event: DocumentPatchedEvent) -> bool:
    """Whether a callback of this change has changed the same again: then browsers were told of that one first."""
    if type(event) is not ModelChangedEvent:
        return False
    descriptor = event.model.lookup(event.attr)
    value = descriptor.get_value(event.model)
    return value is not event.new and not descriptor.property.matches(value, event.new)


def _name(callback: Callable[..., Any]) -> str:
    inner = inspect.unwrap(callback)
    inner = inner.func if isinstance(inner, partial) else inner
    return f"callback {getattr(inner, '__qualname__', repr(inner))}"


def _asyncio_loop(loop: IOLoop | asyncio.AbstractEventLoop | None) -> asyncio.AbstractEventLoop:
    if loop is None:
        return asyncio.get_event_loop()
    return loop if isinstance(loop, asyncio.AbstractEventLoop) else loop.asyncio_loop  # type: ignore[attr-defined]
