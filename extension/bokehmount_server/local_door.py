"""The door to the apps of this process: adapts `AppHost` to what handlers ask."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from bokehmount.apphost import AppHost, Opening
from bokehmount.early import Early
from bokehmount.errors import CloseCode, SessionEnded
from bokehmount.fragments import Writes, websocket_bytes
from bokehmount.frames import Frames, SentFrames
from bokehmount.link.messages import raw
from bokehmount.page import Place

from .connection import ServerConnection, WireProtocol
from .door import ScriptWishes, Viewer

if TYPE_CHECKING:
    from bokehmount.contexts import ApplicationContext
    from bokehmount.session import ServerSession as CoreSession

    from .session import ServerSession

__all__ = ("LocalDoor",)

log = logging.getLogger(__name__)


class LocalDoor:
    """The apps of this process, and who looks at them."""

    def __init__(self, host: AppHost) -> None:
        self._host = host
        self._protocol = WireProtocol()
        self._connections: dict[Viewer, ServerConnection] = {}
        self._early: dict[Viewer, Early[Frames]] = {}

    @property
    def connections(self) -> list[ServerConnection]:
        """Who looks at the apps."""
        return list(self._connections.values())

    async def page(self, path: str, opening: Opening, place: Place) -> str:
        """The HTML of a session's page."""
        return await self._host.page(path, opening, place)

    async def autoload(self, path: str, opening: Opening, place: Place, wishes: ScriptWishes) -> str:
        """The script that draws a session into another page."""
        return await self._host.autoload(
            path,
            opening,
            place,
            wishes.element_id,
            wishes.app_path,
            wishes.absolute_url,
            with_resources=wishes.with_resources,
        )

    async def metadata(self, path: str, url: str) -> Mapping[str, Any]:
        """What an app says of itself."""
        return self._host.metadata(path, url)

    async def connect(self, path: str, opening: Opening, viewer: Viewer) -> None:
        """Let a viewer look at a session."""
        early = self._early[viewer] = Early[Frames]()
        try:
            session = await self._host.session(path, opening)
            self.connection(viewer, self._host.app(path).context, session)
        finally:
            self._early.pop(viewer, None)
        for frames in early.messages:
            self.receive(viewer, frames)

    def connection(self, viewer: Viewer, context: ApplicationContext, session: CoreSession) -> ServerConnection:
        """Let a viewer look at a session that is there."""
        connection = ServerConnection(self._protocol, viewer, context, cast("ServerSession", session), outlet=self)
        self._connections[viewer] = connection
        return connection

    def receive(self, viewer: Viewer, frames: Frames) -> None:
        """A viewer's message; one that comes before its session is there waits."""
        early = self._early.get(viewer)
        if early is not None:
            early.keep(frames)
            return
        connection = self._connections.get(viewer)
        if connection is None or connection.session.destroyed:
            raise SessionEnded("this session has ended: reload the page to start a new one")
        connection.session.receive(connection, frames)

    def disconnect(self, viewer: Viewer, *, lost: bool) -> None:
        """A viewer is gone."""
        self._early.pop(viewer, None)
        connection = self._connections.pop(viewer, None)
        if connection is not None:
            connection.detach_session(lost=lost)

    def is_behind(self, viewer: Viewer) -> bool:
        """Whether so much waits for this viewer's session, or for its lock, that no more of it is to be read for now.

        Else a callback that awaits for long would let anybody who sends on fill this process's memory.
        """
        early, connection = self._early.get(viewer), self._connections.get(viewer)
        return (early is not None and early.is_behind) or (connection is not None and connection.session.is_behind)

    is_full = False
    """A session's thread is the one that writes, so it can't wait: a viewer that reads too slowly is cut off."""

    def deliver(self, connections: Sequence[Any], messages: Sequence[SentFrames]) -> None:
        """Send messages to viewers: made into bytes once for all of them."""
        parts = [raw(frames) for frames in messages]
        data: Writes | None = None
        for connection in connections:
            viewer = cast(Viewer, connection.socket)
            try:
                if viewer.compresses:
                    viewer.write(parts)
                    continue
                if data is None:
                    data = websocket_bytes(parts)
                viewer.write_bytes(data)
            except Exception:
                log.exception("a message could not be sent")

    def close(self, code: CloseCode, reason: str) -> None:
        """Close the viewers' WebSockets."""
        for viewer in list(self._connections):
            viewer.end(code, reason)
