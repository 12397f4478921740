"""A browser's WebSocket: its subprotocol, its size limit, its outbound queue, its pings, and how it is closed.

One URL serves two subprotocols: ``bokeh``, for BokehJS and stock clients, and ``bokehmount``, over which a view learns
in words what is happening to it (`bokehmount_server.views`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler, WebSocketProtocol13

from bokehmount import wire
from bokehmount.errors import BokehMountError, CloseCode
from bokehmount.fragments import Writes, websocket_bytes
from bokehmount.frames import Assembler, Frames, TooBig
from bokehmount.link.messages import Part, RawFrames, raw
from bokehmount.link.stream import VECTOR, after

from .lending import LentStream
from .read_ahead import ReadAhead

if TYPE_CHECKING:
    from bokehmount.apphost import Opening
    from bokehmount.link.turns import Turns

    from .door import Door

__all__ = ("BOKEH", "STATUS", "AppSocket", "Limits", "ViewerSocket")

log = logging.getLogger(__name__)

BOKEH: Final = "bokeh"
STATUS: Final = "bokehmount"

_GONE: Final = (1000, 1001)
"""Close codes of a browser that leaves on purpose: the page was closed, reloaded or left."""

_ACTIVE: Final = 1.0
"""Seconds for which it need not be said again that the user is active; cullers count in minutes."""

_UNREAD: Final = 4 * 2**20
"""Bytes of what a view was told that may wait for it: far more than a few sentences and what a callback prints."""

_VANISHED: Final = 120.0
"""Seconds in which a browser's machine acknowledges nothing, after which TCP gives it up; left alone, Linux takes about
a quarter of an hour.  A laptop that wakes up later comes back to its session, which lingers for 300 s more."""


class Limits:
    """What one connection may use.

    Args:
        message: bytes of the largest message from a browser
        queue: bytes that may wait to be sent; a view that falls further behind is closed, and starts anew from the
            whole Document when it reconnects
        ping: seconds between heartbeats, which keep proxies from cutting an idle connection; 0 for none
        message_setting: what the first is called where it can be set
    """

    def __init__(
        self,
        message: int = 20 * 2**20,
        queue: int = 64 * 2**20,
        ping: float = 25.0,
        message_setting: str = "websocket_max_message_size",
    ) -> None:
        self.message = message
        self.message_setting = message_setting
        self.queue = queue
        self.ping = ping


class AppSocket(WebSocketHandler):
    """The WebSocket of an app, whatever the server around it."""

    limits: Limits = Limits()
    compression: dict[str, Any] | None = None
    token_text: str | None = None
    heartbeat = b"\x89\x00"
    """A ping.  Not Tornado's: it cuts a connection whose pong it has not read, and one may be left unread for long."""
    ping_interval = ping_timeout = None
    _unread = 0
    _next_beat: asyncio.TimerHandle | None = None

    @property
    def max_message_size(self) -> int:
        """One fragment may be as large as a message may."""
        return self.limits.message

    def get_compression_options(self) -> dict[str, Any] | None:
        return self.compression

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Upgrade to a WebSocket, but for a page whose origin is no URL: Tornado and Jupyter fail where they take it
        for one, before anybody is asked whether that page may open it."""
        origin = self.request.headers.get("Origin", "")
        try:
            urlsplit(origin)
        except ValueError:
            log.warning("bokehmount: no page may open a WebSocket whose Origin header is no URL, as %.200r", origin)
            self.set_status(403)
            self.finish("The Origin header is no URL")
            return
        self._beat_later()
        try:
            await super().get(*args, **kwargs)  # until it is closed
        finally:
            if self._next_beat is not None:
                self._next_beat.cancel()

    def _beat_later(self) -> None:
        if self.limits.ping:
            self._next_beat = asyncio.get_running_loop().call_later(self.limits.ping, self._beat)

    def _beat(self) -> None:
        """Keep proxies from cutting an idle connection; one that is dead is noticed by TCP."""
        self._beat_later()
        connection = self.ws_connection
        stream = getattr(connection, "stream", None)
        if connection is not None and stream is not None and not connection.is_closing():
            with suppress(StreamClosedError):
                stream.write(self.heartbeat)

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        if len(subprotocols) == 2 and subprotocols[0] in (BOKEH, STATUS):
            self.token_text = subprotocols[1]
            return subprotocols[0]
        return None

    def read_ahead(self) -> None:
        """Read all that has come at once; to be called in `open`, before Tornado begins to read."""
        connection = self.ws_connection
        assert isinstance(connection, WebSocketProtocol13), "the WebSocket is open"
        self._ahead = ReadAhead(connection.stream)
        self._ahead.limit, self._ahead.too_big = self.limits.message, self._too_big
        connection.stream = self._ahead  # type: ignore[assignment]  # it stands in for a stream

    def heard_by(self, take: Callable[[str | bytes], None], is_held_up: Callable[[], bool]) -> IOStream:
        """Hand messages over past Tornado from now on, which may still give some to `on_message`.

        Args:
            take: is given them
            is_held_up: whether nothing more is to be read for now

        Returns:
            the stream, to be written to
        """
        self._ahead.take, self._ahead.is_held_up = take, is_held_up
        return self._ahead.stream

    def tune(self) -> None:
        """Have TCP send at once, and notice a browser that vanished: a heartbeat is data that it has to acknowledge."""
        self.set_nodelay(True)
        with suppress(AttributeError, OSError):  # Linux has this, but not for a Unix socket
            self._ahead.stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * _VANISHED))

    def say(self, text: str) -> None:
        """Tell a view something.  One that does not read is closed, and asks again when it is back.

        Raises:
            tornado.websocket.WebSocketClosedError: it is closed
        """
        if self._unread > _UNREAD and self._ahead.stream.writing():
            self.close(CloseCode.TRY_AGAIN, "this view does not read what it is told")
            return
        written = self.write_message(text)
        self._unread += len(text)
        written.add_done_callback(lambda done: self._was_said(done, len(text)))

    def _was_said(self, written: asyncio.Future[None], count: int) -> None:
        if not written.cancelled():
            written.exception()  # it closed meanwhile; on_close follows
        self._unread -= count

    def forget_request(self) -> None:
        """Let go of what only the opening needed: a view may stay for days, and this takes 4 kB.

        Tornado keeps the headers in two more places, so they are emptied rather than replaced.
        """
        self.request.cookies.clear()
        self.request.headers.clear()
        self.token_text = None

    def end(self, code: CloseCode, reason: str) -> None:
        """Close with a code and a sentence, which RFC 6455 limits to 123 bytes."""
        self.close(int(code), reason.encode()[:120].decode(errors="ignore"))

    def fail(self, error: Exception) -> None:
        """Close for a reason that is an error."""
        if isinstance(error, TooBig):
            self.end(CloseCode.TOO_BIG, str(error))
        elif isinstance(error, BokehMountError):
            self.end(error.close_code, str(error))
        else:
            log.error("bokehmount: a WebSocket failed", exc_info=error)
            self.end(CloseCode.SERVER_FAILED, "the server failed; its log says why")

    def refuse(self, session_id: str, error: Exception) -> None:
        """Close, since there is no such session to look at."""
        self.fail(error)

    def _too_big(self) -> None:
        self.cut_off(TooBig())

    def cut_off(self, error: Exception) -> None:
        """Close, since a browser's message can't be taken."""
        if isinstance(error, TooBig):
            limits = self.limits
            error = TooBig(
                f"the message is over the limit of {limits.message:,} bytes; {limits.message_setting} raises it"
            )
            log.warning("bokehmount: %s: %s", self.request.path, error)
            self.unsent(str(error))
        self.fail(error)

    def unsent(self, why: str) -> None:
        """Tell whoever sent it that a message did not arrive, beside BokehJS, which connects again and says nothing."""


class ViewerSocket:
    """The Bokeh protocol on an `AppSocket`.

    Args:
        socket: the WebSocket, which is open
        door: the apps
        path: the app
        active: called when the user did something
    """

    def __init__(self, socket: AppSocket, door: Door, path: str, active: Callable[[], None]) -> None:
        self._socket = socket
        self._door = door
        self.path = path
        self.session_id = ""
        self._active = active
        self._active_again = 0.0  # when to say so next
        self._assembler = Assembler(socket.limits.message)
        self._waiting = 0
        self._over = False
        self._connecting: asyncio.Task[None] | None = None
        self._early: list[Frames] | None = []  # what comes before the door knows of this viewer
        self._stream = socket.heard_by(self.on_message, lambda: not self._over and door.is_behind(self))
        self._lent: LentStream | None = None
        self._when_written: Callable[[], object] | None = None

    def start(self, opening: Opening) -> None:
        """Greet, and ask for the session."""
        self.session_id = opening.session_id
        self._socket.forget_request()
        self._connecting = asyncio.ensure_future(self._connect(opening))

    async def _connect(self, opening: Opening) -> None:
        # the greeting invites messages: the door must know this viewer before the first of them can come
        connecting = asyncio.ensure_future(self._door.connect(self.path, opening, self))
        try:
            await asyncio.sleep(0)
            self.write([raw(wire.encode(wire.ack()))])
            early, self._early = self._early or (), None
            for frames in early:
                self._door.receive(self, frames)
            await connecting
        except Exception as error:
            self._socket.refuse(self.session_id, error)
        finally:
            connecting.cancel()
            self._connecting = None

    def on_message(self, fragment: str | bytes) -> None:
        """A fragment came."""
        if self._over:
            return
        try:
            frames = self._assembler.feed(fragment)
            if frames is not None:
                if frames[0] and '"PATCH-DOC"' in str(frames[0]):
                    self._say_active()
                if self._early is not None:
                    self._early.append(frames)
                else:
                    self._door.receive(self, frames)
        except Exception as error:
            self._over = True
            self._socket.cut_off(error)

    def _say_active(self) -> None:
        now = time.monotonic()
        if now >= self._active_again:
            self._active_again = now + _ACTIVE
            self._active()

    def on_close(self) -> None:
        """The WebSocket is closed."""
        self._over = True
        if self._connecting is not None:
            self._connecting.cancel()
        self._door.disconnect(self, lost=self._socket.close_code not in _GONE)

    def end(self, code: CloseCode, reason: str) -> None:
        """Close it."""
        self._over = True
        self._socket.end(code, reason)

    @property
    def compresses(self) -> bool:
        """Whether what it is sent is compressed for it alone."""
        return self._socket.compression is not None

    def write(self, messages: Sequence[RawFrames]) -> None:
        """Send whole messages, in one write where they are not compressed."""
        if not self.compresses:
            self.write_bytes(websocket_bytes(messages))
            return
        for place, frame in ((place, frame) for frames in messages for place, frame in enumerate(frames)):
            if not self._over and not self._reads_too_slowly():
                self._write_compressed(frame, binary=place >= 3 and place % 2 == 0)

    def _write_compressed(self, frame: Part, *, binary: bool) -> None:
        try:
            written = self._socket.write_message(bytes(frame) if binary else str(frame, "utf-8"), binary)
        except WebSocketClosedError:  # on_close follows
            return
        self._wait_for(written, len(frame))

    def write_bytes(self, writes: Writes) -> None:
        """Send what `websocket_bytes` made."""
        connection = self._socket.ws_connection
        is_rest = self._lent is not None and self._lent.has_to_wait  # a close frame perhaps, which comes after it
        if not is_rest and (self._over or connection is None or connection.is_closing()):
            return
        if self._reads_too_slowly():
            return
        stream = self._stream
        if stream.closed():  # on_close follows
            return
        try:
            rest = writes if isinstance(stream, SSLIOStream) or stream.writing() else _sent(stream.socket, writes)
            for data in rest:
                written = stream.write(data)
        except OSError:  # it closed in this moment
            return
        if rest and not written.done():
            self._wait_for(written, sum(map(len, rest)))

    def _reads_too_slowly(self) -> bool:
        """Whether more waits than may; the view is told so."""
        if self._waiting <= self._socket.limits.queue:
            return False
        self.end(CloseCode.TOO_SLOW, "this view reads too slowly; it starts anew")
        self._abort_soon()
        return True

    def _wait_for(self, written: asyncio.Future[None], count: int) -> None:
        self._waiting += count
        written.add_done_callback(lambda done: self._written(done, count))

    def _written(self, written: asyncio.Future[None], count: int) -> None:
        if not written.cancelled():
            written.exception()  # it closed meanwhile; on_close follows
        self._waiting -= count
        call, self._when_written = self._when_written, None
        if call is not None:
            self.when_written(call)

    def _abort_soon(self) -> None:
        """The close frame waits behind all that the view does not read: cut the connection if it never gets there."""
        asyncio.get_running_loop().call_later(5.0, (self._lent or self._stream).close)

    # What a kernel writes past us ------------------------------------------------------------------------------------

    def lend(self, turns: Turns, number: int) -> socket.socket | None:
        """See `bokehmount_server.lending.Owner`."""
        if self._over or self.compresses or isinstance(self._stream, SSLIOStream) or self._stream.closed():
            return None
        if self._lent is None:
            connection = self._socket.ws_connection
            assert isinstance(connection, WebSocketProtocol13), "the WebSocket is open"
            self._lent = LentStream(connection.stream, turns, number)
            connection.stream = self._lent  # type: ignore[assignment]  # it stands in for a stream
        return self._stream.socket

    def when_written(self, call: Callable[[], object]) -> None:
        """See `bokehmount_server.lending.Owner`."""
        if self._waiting:
            self._when_written = call
        elif not self._stream.writing():  # else it is a frame of this server's own, and the next message asks again
            call()

    def leave(self, *, kernels: bool) -> None:
        """See `bokehmount_server.lending.Owner`."""
        if self._lent is not None:
            self._lent.leave(kernels=kernels)


def _sent(connection: socket.socket, writes: Writes) -> Writes:
    """Write as much as the socket takes, in one system call; gives the rest.

    Tornado's stream makes one call, and often one packet, of each piece.
    """
    try:
        count = connection.sendmsg(writes[:VECTOR])
    except BlockingIOError:
        return writes
    return after(writes, count)
