"""One client's connection to a session, by the names of ``bokeh.server.connection``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import bokeh
from bokeh.core.serialization import Serializer
from bokeh.document.events import DocumentPatchedEvent

from bokehmount import __version__, wire
from bokehmount.link.messages import RawFrames, raw
from bokehmount.wire import Message, MessageType

if TYPE_CHECKING:
    from bokehmount.contexts import ApplicationContext
    from bokehmount.frames import SentFrames
    from bokehmount.sending import Outlet

    from .session import ServerSession

__all__ = ("ServerConnection", "WireProtocol")


class Socket(Protocol):
    """What a connection needs of its WebSocket."""

    def write(self, messages: Sequence[RawFrames]) -> None:
        """Send whole messages; never blocks."""


class WireProtocol:
    """Makes messages by their type, as the ``protocol`` of a connection does."""

    def create(self, msgtype: str, *args: Any) -> Message:
        """A message of a type: its arguments are the id of the message that it answers, or what it carries.

        Raises:
            ValueError: there is no such type
        """
        match MessageType(msgtype), args:
            case (MessageType.OK as kind, (str(reqid),)):
                return Message(kind, {}, reqid=reqid)
            case (MessageType.ERROR as kind, (str(reqid), str(text))):
                return Message(kind, {"text": text, "traceback": None}, reqid=reqid)
            case (MessageType.PATCH_DOC as kind, ([DocumentPatchedEvent(), *_] as events,)):
                return _patch(kind, events)
            case (MessageType.PULL_DOC_REPLY as kind, (str(reqid), document)):
                return Message(kind, {"doc": document.to_json(deferred=False)}, reqid=reqid)
            case (MessageType.PUSH_DOC, (document,)):
                return wire.push_doc(document.to_json())
            case (MessageType.SERVER_INFO_REPLY as kind, (str(reqid),)):
                return Message(kind, {"version_info": {"bokeh": bokeh.__version__, "server": __version__}}, reqid=reqid)
            case (MessageType.ACK | MessageType.PULL_DOC_REQ | MessageType.SERVER_INFO_REQ as kind, ()):
                return Message(kind, {})
            case kind, _:
                raise ValueError(f"{kind} is not made of {args!r}")


def _patch(kind: MessageType, events: list[DocumentPatchedEvent]) -> Message:
    document = events[0].document
    serializer = Serializer(references=document.models.synced_references)
    content = {"events": [event.to_serializable(serializer) for event in events]}
    return Message(kind, content, buffers=tuple(serializer.buffers))


class ServerConnection:
    """A client that looks at a session, from the moment it is made until `detach_session`.

    Args:
        protocol: makes messages; our `WireProtocol` where None
        socket: sends whole messages
        application_context: the session's app
        session: what it looks at
        outlet: carries messages to several connections at once; the socket by itself where None
    """

    def __init__(
        self,
        protocol: WireProtocol | None,
        socket: Socket,
        application_context: ApplicationContext | None,
        session: ServerSession,
        *,
        outlet: Outlet | None = None,
    ) -> None:
        self._protocol = protocol or WireProtocol()
        self._socket = socket
        self._application_context = application_context
        self._session: ServerSession | None = session
        self._outlet = outlet
        if application_context is not None:
            application_context.joined(session, self)
        else:
            session.subscribe(self)

    @property
    def session(self) -> ServerSession:
        """What it looks at; raises `RuntimeError` once it is detached."""
        if self._session is None:
            raise RuntimeError("this connection looks at no session any more")
        return self._session

    @property
    def application_context(self) -> ApplicationContext | None:
        """The session's app."""
        return self._application_context

    @property
    def protocol(self) -> WireProtocol:
        """Makes messages."""
        return self._protocol

    @property
    def socket(self) -> Socket:
        """Sends whole messages."""
        return self._socket

    @property
    def outlet(self) -> Outlet:
        """What carries messages to it."""
        return self._outlet or _ALONE

    def detach_session(self, *, lost: bool = False) -> None:
        """Look at the session no more; ``lost`` where the client broke off without a goodbye."""
        session, self._session = self._session, None
        if session is None:
            return
        if self._application_context is not None:
            self._application_context.left(session, self, lost=lost)
        else:
            session.unsubscribe(self)

    def ok(self, message: Message) -> Message:
        """The answer that a message was carried out."""
        return wire.ok(message)

    def error(self, message: Message, text: str) -> Message:
        """The answer that a message failed, and why."""
        return wire.error(message, text)

    def send(self, message: Message) -> None:
        """Send a message to this client alone."""
        self._socket.write([raw(wire.encode(message))])

    def send_message(self, message: Message) -> Awaitable[None]:
        """`send`, by its name in Bokeh; await it or not."""
        self.send(message)
        return _done()

    def send_patch_document(self, event: DocumentPatchedEvent) -> Awaitable[None]:
        """Send one event to this client alone; await it or not."""
        return self.send_message(self.protocol.create("PATCH-DOC", [event]))

    def send_ping(self) -> None:
        """Send a WebSocket ping now; the server does so by itself every ``keep_alive_milliseconds``."""
        ping = getattr(self._socket, "ping", None)
        if ping is not None:
            ping()


class _Alone:
    """Carries messages to connections one by one."""

    is_full = False

    def deliver(self, connections: Sequence[Any], messages: Sequence[SentFrames]) -> None:
        parts = [raw(frames) for frames in messages]
        for connection in connections:
            cast(ServerConnection, connection).socket.write(parts)


_ALONE = _Alone()


def _done() -> Awaitable[None]:
    """Something to await, or not, that is over already."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done
