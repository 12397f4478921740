"""For Panel, which holds a Document's changes back, gathers them, and writes them to the session's sockets by itself.

It is given sockets of ours, so that the changes go the way of all others.  Nothing here imports Panel.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

__all__ = ("PanelConnection", "panel_connections")

Patched = Callable[[Any], None]


@dataclass(frozen=True, eq=False)
class _Socket:
    patched: Patched


@dataclass(frozen=True, eq=False)
class PanelConnection:
    """What Panel takes for a connection of a session.

    Args:
        _socket: named as Bokeh names it
    """

    _socket: _Socket
    protocol: ClassVar[Any] = SimpleNamespace(create=lambda _type, events: events)
    """Makes of events the message that Panel writes, since its 1.10; before, it wrote the events themselves."""


def panel_connections(patched: Patched) -> Sequence[PanelConnection]:
    """The connections of a session, for Panel's eyes.

    Args:
        patched: is given each of the Document's events that Panel writes
    """
    panel = sys.modules.get("panel.io.document")
    if panel is None:
        return ()
    panel.extra_socket_handlers[_Socket] = _write
    return (PanelConnection(_Socket(patched)),)


def _write(connection: PanelConnection, events: Sequence[Any] = (), msg: Sequence[Any] = ()) -> list[Any]:
    for event in msg or events:
        connection._socket.patched(event)
    return []
