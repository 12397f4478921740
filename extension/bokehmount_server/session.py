"""One session of an app by the names of ``bokeh.server.session``; the work is done in `bokehmount.session`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from bokehmount import session as core
from bokehmount import wire
from bokehmount.errors import SessionEnded
from bokehmount.sending import Connection
from bokehmount.wire import Message

if TYPE_CHECKING:
    from .connection import ServerConnection

__all__ = ("ServerSession", "current_time")


def current_time() -> float:
    """Milliseconds since the epoch."""
    return time.time() * 1000


class ServerSession(core.ServerSession):
    """Hosts an application's instance, a Document, for one or more connections; see `bokehmount.session.ServerSession`.

    ``ServerSession(session_id, document, io_loop=None, token=None)``, as in both seeds and in today's Bokeh.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._asked: dict[str, asyncio.Future[Message]] = {}
        super().__init__(*args, **kwargs)

    @classmethod
    def pull(cls, message: Message, connection: ServerConnection) -> asyncio.Future[Message]:
        """Handle a PULL-DOC-REQ of a connection; await the answer, a `Message` that is for you to send."""
        return _asked(connection, message)

    @classmethod
    def push(cls, message: Message, connection: ServerConnection) -> asyncio.Future[Message]:
        """Handle a PUSH-DOC of a connection; await the answer, a `Message` that is for you to send."""
        return _asked(connection, message)

    @classmethod
    def patch(cls, message: Message, connection: ServerConnection) -> asyncio.Future[Message]:
        """Handle a PATCH-DOC of a connection; await the answer, a `Message` that is for you to send."""
        return _asked(connection, message)

    def destroy(self) -> None:
        """End it, see `bokehmount.session.ServerSession.destroy`; who waits for an answer hears that it ended."""
        super().destroy()
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(SessionEnded(f"session {self.id} has ended"))
        self._asked.clear()

    def _reply(self, connection: Connection, message: Message) -> None:
        waiting = self._asked.pop(message.reqid or "", None)
        if waiting is None:
            super()._reply(connection, message)
        elif not waiting.done():
            waiting.set_result(message)


def _asked(connection: ServerConnection, message: Message) -> asyncio.Future[Message]:
    session = connection.session
    answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
    if session.destroyed:
        answer.set_exception(SessionEnded(f"session {session.id} has ended"))
    else:
        session._asked[message.msgid] = answer
        session.receive(connection, wire.encode(message))
    return answer
