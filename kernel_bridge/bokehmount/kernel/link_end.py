"""The kernel's end of a link: answers the server's questions and passes messages between browsers and sessions.

Messages come on the carrier's thread.  What needs no Document is answered there, at once, also while a cell runs;
everything else goes to the main thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from .. import __version__
from ..apphost import AppHost, Opening
from ..assets import Asset, bokehjs_version, read_asset
from ..early import Early
from ..errors import AppError, BokehMountError, CloseCode, ProtocolError, SessionEnded
from ..fragments import Writes, websocket_bytes
from ..frames import SentFrames
from ..link.carrier import Carrier
from ..link.messages import (
    PROTOCOL,
    Answer,
    Apps,
    Ask,
    Behind,
    Close,
    Disconnected,
    Failed,
    LinkMessage,
    Load,
    Output,
    Part,
    RawFrames,
    Received,
    Send,
    Yours,
    cooked,
    decode,
    encode,
    raw,
)
from ..link.stream import MAX_MESSAGE
from ..page import Place
from ..tokens import RequestInfo
from .gate import MainGate
from .shortcut import Loans, Shortcut

__all__ = ("KernelApps", "KernelConnection", "LinkEnd")

log = logging.getLogger(__name__)

_PAUSE: Final = 0.05
"""Seconds between looks whether what is behind still is."""


class KernelApps(Protocol):
    """The kernel's apps, as a link sees them."""

    host: AppHost

    def listing(self) -> list[dict[str, Any]]:
        """What `Apps` tells of them."""

    def close_app(self, path: str) -> None:
        """End an app, as its user asked."""


class KernelCarrier(Carrier, Protocol):
    """A carrier, as its kernel's end sees it."""

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be sent that `send` waits, on other threads than the carrier's own."""


class KernelConnection:
    """A browser's WebSocket, which the server ends for us."""

    __slots__ = ("broke_off", "early", "number", "order", "outlet", "shortcut")

    def __init__(self, number: int, outlet: LinkEnd) -> None:
        self.number = number
        self.outlet = outlet
        self.shortcut = Shortcut(number)
        self.order = threading.Lock()  # held while something is sent to it alone
        self.early: Early[RawFrames] | None = Early()  # until its session is there
        self.broke_off = True  # rather than said goodbye, when it left


class LinkEnd:
    """One server's link to this kernel.

    Args:
        apps: the kernel's apps
        main: the main thread's loop
        watch: the carrier's loop
        carrier: carries the link
        on_lost: called on the main thread when the link is over
        loans: what comes with a carrier over which the server lends its browsers' sockets
    """

    def __init__(
        self,
        apps: KernelApps,
        main: asyncio.AbstractEventLoop,
        watch: asyncio.AbstractEventLoop,
        carrier: KernelCarrier,
        on_lost: Callable[[LinkEnd], None],
        loans: Loans | None = None,
    ) -> None:
        self._apps = apps
        self._main = main
        self._carrier = carrier
        self._on_lost = on_lost
        self._loans = loans
        self.server = "unknown"
        self._gate = MainGate(main, watch, lambda busy: self._send(Load(busy)))
        self._connections: dict[int, KernelConnection] = {}
        self._behind: set[KernelConnection] = set()  # the server leaves them unread
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def carrier(self) -> Carrier:
        """What carries this link."""
        return self._carrier

    # From the server, on the carrier's thread ------------------------------------------------------------------------

    def received(self, parts: Sequence[Part]) -> None:
        """A message of the server."""
        try:
            message = decode(parts)
        except ProtocolError as error:
            log.error("bokehmount: the server sent something else than a link message: %s", error)
            return
        match message:
            case Ask(what="ping"):
                self._send(Answer(message.number, {"busy": self._gate.busy}))
            case Ask(what="asset" | "app_asset"):
                self._answer_asset(message)
            case Yours():
                self._lent(message)
            case Disconnected(number):
                if (connection := self._connections.get(number)) is not None:
                    connection.shortcut.close()  # now: it would stay open for its browser while a cell runs
                self._gate.run(lambda: self._on_main(message))
            case Ask() | Received():
                self._gate.run(lambda: self._on_main(message))
            case _:
                log.error("bokehmount: a server does not send %s", message.kind)

    def lost(self, why: str) -> None:
        """The server is gone."""
        log.debug("bokehmount: link lost: %s", why)
        for connection in tuple(self._connections.values()):
            connection.shortcut.close()  # now: a browser must learn of a server's death also while a cell runs
        self._main.call_soon_threadsafe(self._forget)

    def _lent(self, message: Yours) -> None:
        if self._loans is None:
            log.error("bokehmount: a server can't lend sockets over this carrier")
            return
        lent = self._loans.take(message.socket) if message.socket is not None else None
        connection = self._connections.get(message.connection)
        if connection is not None:
            connection.shortcut.lent(message.passed, self._loans.turns, lent)
        elif lent is not None:
            lent.close()

    def _answer_asset(self, ask: Ask) -> None:
        try:
            asset = self._asset(**ask.args)
        except Exception as error:
            self._fail(ask, error)
            return
        if asset is None:
            self._send(Answer(ask.number, None))
        else:
            self._send(
                Answer(ask.number, {"content_type": asset.content_type, "version": asset.version}, asset.content)
            )

    def _asset(self, path: str, app: str | None = None) -> Asset | None:
        if app is None:
            return read_asset(path)
        folder = self._apps.host.app(app).application.static_path
        return read_asset(path, folder) if folder is not None else None

    # On the main thread ----------------------------------------------------------------------------------------------

    def _on_main(self, message: LinkMessage) -> None:
        match message:
            case Received(connection, frames):
                self._receive(connection, frames)
            case Disconnected(connection, lost):
                self._disconnect(connection, lost)
            case Ask(what="connect"):
                new = KernelConnection(message.args["connection"], self)
                self._connections[new.number] = new
                self._start(self._connect(message, new))
            case Ask():
                self._start(self._answer(message))

    def _start(self, work: Any) -> None:
        task = self._main.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, ask: Ask) -> None:
        try:
            self._send(Answer(ask.number, await self._result(ask.what, dict(ask.args))))
        except Exception as error:  # also of an answer that can't be written, such as an app's metadata
            self._fail(ask, error)

    async def _result(self, what: str, args: dict[str, Any]) -> Any:
        host = self._apps.host
        match what:
            case "page":
                return await host.page(args["path"], _opening(args), _place(args))
            case "autoload":
                return await host.autoload(args["path"], _opening(args), _place(args), **args["script"])
            case "metadata":
                return host.metadata(args["path"], args["url"])
            case "turn":  # the main thread has taken it up: the kernel is not busy
                return None
            case "close_app":
                host.app(args["path"])
                return self._apps.close_app(args["path"])
            case _:
                raise ProtocolError(f"the kernel's bokehmount {__version__} can't answer {what!r}")

    async def _connect(self, ask: Ask, connection: KernelConnection) -> None:
        args = dict(ask.args)
        try:
            await self._apps.host.connect(args["path"], _opening(args), connection)
        except Exception as error:
            self._connections.pop(connection.number, None)
            self._behind.discard(connection)
            self._fail(ask, error)
            return
        self._send(Answer(ask.number, None))
        early, connection.early = connection.early, None
        if connection.number not in self._connections:  # it left while its session was being made
            self._apps.host.disconnect(connection, lost=connection.broke_off)
        for frames in early.messages if early is not None else ():
            self._receive(connection.number, frames)
        self.tell_apps()

    def _receive(self, number: int, frames: RawFrames) -> None:
        connection = self._connections.get(number)
        if connection is None:
            return  # it was closed meanwhile, and its browser told so
        try:
            if connection.early is not None:
                connection.early.keep(frames)
            else:
                self._apps.host.session_of(connection).receive(connection, cooked(frames))
            self._hold_up(connection)
        except BokehMountError as error:
            self.close_connections([connection], error.close_code, str(error))
        except Exception:
            log.exception("bokehmount: a browser's message could not be handled")
            self.close_connections(
                [connection], CloseCode.SERVER_FAILED, "the kernel could not handle a message; see its log"
            )

    def _hold_up(self, connection: KernelConnection) -> None:
        """Have the server read no more of a connection that is behind, until it no longer is.

        Else a callback that awaits for long would let anybody who sends on fill this process's memory.
        """
        if connection not in self._behind and self._is_behind(connection):
            self._send(Behind([connection.number], True))
            if not self._behind:
                self._main.call_later(_PAUSE, self._look_behind)
            self._behind.add(connection)

    def _is_behind(self, connection: KernelConnection) -> bool:
        if connection.early is not None:
            return connection.early.is_behind
        try:
            return self._apps.host.session_of(connection).is_behind
        except SessionEnded:
            return False

    def _look_behind(self) -> None:
        free = [connection for connection in self._behind if not self._is_behind(connection)]
        self._behind.difference_update(free)
        if free:
            self._send(Behind([connection.number for connection in free], False))
        if self._behind:
            self._main.call_later(_PAUSE, self._look_behind)

    def _disconnect(self, number: int, lost: bool) -> None:
        connection = self._connections.pop(number, None)
        if connection is not None:
            connection.broke_off = lost
            self._behind.discard(connection)
            connection.shortcut.close()
            self._apps.host.disconnect(connection, lost=lost)
            self.tell_apps()

    def _forget(self) -> None:
        for number in list(self._connections):
            self._disconnect(number, lost=True)
        if self._loans is not None:
            self._loans.close()
        for task in tuple(self._tasks):
            task.cancel()
        self._on_lost(self)

    # To the server, on any thread ------------------------------------------------------------------------------------

    def _send(self, message: LinkMessage) -> None:
        parts = encode(message)
        size = sum(map(len, parts))
        if size > MAX_MESSAGE:
            raise ProtocolError(f"this app sends {size:,} bytes at once, over the limit of {MAX_MESSAGE:,}")
        self._carrier.send(parts)

    def _fail(self, ask: Ask, error: Exception) -> None:
        if not isinstance(error, BokehMountError):
            log.error("bokehmount: could not answer %s", ask.what, exc_info=error)
        traceback = error.traceback if isinstance(error, AppError) else ""
        self._send(Failed(ask.number, type(error).__name__, str(error), traceback))

    def deliver(self, connections: Sequence[KernelConnection], messages: Sequence[SentFrames]) -> None:
        """Send whole messages to some of this link's connections."""
        writes = websocket_bytes(map(raw, messages))
        if len(connections) == 1:
            with connections[0].order:
                writes = connections[0].shortcut.write(writes)
                if writes:
                    self._pass_on(connections, writes)
        else:  # the server works beside us
            self._pass_on(connections, writes)

    @property
    def is_full(self) -> bool:
        """See `bokehmount.sending.Outlet`."""
        return self._carrier.is_full

    def _pass_on(self, connections: Sequence[KernelConnection], writes: Writes) -> None:
        for connection in connections:
            connection.shortcut.pass_on()
        try:
            self._send(Send([connection.number for connection in connections], writes))
        except ProtocolError as error:  # it would end the link, with all views of this kernel
            self._main.call_soon_threadsafe(self.close_connections, connections, CloseCode.TOO_BIG, str(error))

    def close_connections(
        self, connections: Sequence[KernelConnection], code: CloseCode, reason: str, moved: str | None = None
    ) -> None:
        """Have the server close some of this link's connections, with a sentence.  On the main thread."""
        own = [connection for connection in connections if connection.outlet is self]
        for connection in own:
            with connection.order:  # the rest of a frame that is being written goes first
                connection.shortcut.close()
        if own:
            self._send(Close([connection.number for connection in own], code, reason, moved))
        for connection in own:
            self._behind.discard(connection)
            if self._connections.pop(connection.number, None) is not None:
                self._apps.host.disconnect(connection, lost=False)

    def output(self, connections: Sequence[KernelConnection], text: str, *, error: bool) -> None:
        """Show text in the views of some of this link's connections."""
        numbers = [connection.number for connection in connections if connection.outlet is self]
        if numbers:
            self._send(Output(numbers, text, error))

    def tell_apps(self) -> None:
        """Tell the server which apps there are now."""
        self._send(Apps(self._apps.listing()))

    def close(self) -> None:
        """End the link from this side."""
        self._carrier.close()
        self._forget()


def hello(apps: KernelApps) -> dict[str, Any]:
    """What this kernel says of itself when a link opens."""
    return {
        "protocol": PROTOCOL,
        "bokehmount": __version__,
        "bokehjs": bokehjs_version(),
        "apps": apps.listing(),
    }


def _opening(args: Mapping[str, Any]) -> Opening:
    request = dict(args["request"])
    request["arguments"] = {
        name: [value.encode("utf-8", "surrogateescape") for value in values]
        for name, values in request["arguments"].items()
    }
    return Opening(args["session_id"], args["token"], args["may_create"], RequestInfo(**request))


def _place(args: Mapping[str, Any]) -> Place:
    return Place(**args["place"])
