"""Stock Bokeh's `show` of a figure that is live."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.io import notebook
from bokeh.plotting import figure

from bokehmount.kernel.stock import _show_doc


def test_a_handle_gathers_what_is_to_be_pushed_and_ends_with_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "publish_display_data", lambda *args, **kwargs: None)
    monkeypatch.setattr(notebook, "get_comms", lambda target: None)
    document, plot = Document(), figure(name="first")
    document.add_root(plot)
    document._session_context = lambda: SimpleNamespace()  # type: ignore
    state: Any = SimpleNamespace(last_comms_handle=None)

    def followers() -> int:
        return len(document.callbacks.change_callbacks())

    others = followers()
    for name in ("second", "third"):
        _show_doc(plot, state, True)  # whose handle only the state holds: the last one is pushed
        gc.collect()
        plot.name = name
        assert [event.new for event in state.last_comms_handle.doc.callbacks._held_events] == [name]
        assert followers() == others + 1
    state.last_comms_handle = None
    gc.collect()
    plot.name = "last"
    assert followers() == others
