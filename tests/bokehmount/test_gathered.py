"""What Panel gathers and writes by itself goes the way of all changes, in the form of each of its versions."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from bokehmount.gathered import panel_connections


def test_nothing_is_there_for_panel_where_panel_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "panel.io.document", raising=False)
    assert panel_connections(print) == ()


@pytest.mark.parametrize("as_message", [False, True])
def test_events_are_handed_over_one_by_one(monkeypatch: pytest.MonkeyPatch, as_message: bool) -> None:
    handlers: dict[type, Any] = {}
    panel: Any = SimpleNamespace(extra_socket_handlers=handlers)
    monkeypatch.setitem(sys.modules, "panel.io.document", panel)
    patched: list[str] = []
    (connection,) = panel_connections(patched.append)
    write, events = handlers[type(connection._socket)], ["one", "two"]
    if as_message:  # since Panel 1.10
        assert write(connection, msg=connection.protocol.create("PATCH-DOC", events)) == []
    else:
        assert write(connection, events) == []
    assert patched == events
