"""What a front door asks: of the apps in this process, or of a kernel's over its link.  WebSockets know only this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bokehmount.apphost import Opening
from bokehmount.errors import CloseCode
from bokehmount.fragments import Writes
from bokehmount.frames import Frames
from bokehmount.link.messages import RawFrames
from bokehmount.page import Place

from .lending import Owner

__all__ = ("Door", "ScriptWishes", "Viewer")


@dataclass(frozen=True, slots=True)
class ScriptWishes:
    """What an embedding page wants of its autoload script; see `bokehmount.page.autoload_script`."""

    element_id: str
    app_path: str = "/"
    absolute_url: str | None = None
    with_resources: bool = True


class Viewer(Owner, Protocol):
    """A browser's Bokeh WebSocket, as a door sees it."""

    @property
    def compresses(self) -> bool:
        """Whether what it is sent is compressed for it alone."""

    def write(self, messages: Sequence[RawFrames]) -> None:
        """Send whole messages; never blocks."""

    def write_bytes(self, writes: Writes) -> None:
        """Send messages that `websocket_bytes` made, the same for many viewers."""

    def end(self, code: CloseCode, reason: str) -> None:
        """Close with a code and a sentence."""


class Door(Protocol):
    """The apps of one process.

    Each question raises an error of `bokehmount.errors`, which carries its HTTP status and close code.
    """

    def is_behind(self, viewer: Viewer) -> bool:
        """Whether so much waits for the apps that what this viewer sends is to be left to it for now."""

    async def page(self, path: str, opening: Opening, place: Place) -> str:
        """The HTML of a session's page."""

    async def autoload(self, path: str, opening: Opening, place: Place, wishes: ScriptWishes) -> str:
        """The script that draws a session into another page."""

    async def metadata(self, path: str, url: str) -> Mapping[str, Any]:
        """What an app says of itself."""

    async def connect(self, path: str, opening: Opening, viewer: Viewer) -> None:
        """Let a viewer look at a session."""

    def receive(self, viewer: Viewer, frames: Frames) -> None:
        """A viewer's message."""

    def disconnect(self, viewer: Viewer, *, lost: bool) -> None:
        """A viewer is gone; ``lost`` where it broke without a goodbye."""
