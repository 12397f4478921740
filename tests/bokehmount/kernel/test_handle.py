"""What show() gives back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from bokeh.document import Document

from bokehmount.kernel.handle import Handle


def test_a_handle_tells_of_its_app_and_ends_it() -> None:
    document, closed = Document(), list[int]()
    sessions: list[Any] = [SimpleNamespace(document=document)]
    handle = Handle("/a/b", "bokeh/kernels/k1/a/b", lambda: sessions, lambda: closed.append(1))
    assert (handle.name, handle.url) == ("a/b", "bokeh/kernels/k1/a/b")
    assert handle.sessions == sessions and handle.documents == [document]
    assert repr(handle) == "<a/b: 1 session(s) at bokeh/kernels/k1/a/b>"
    handle.close()
    assert closed == [1]


def test_without_a_server_it_has_no_address() -> None:
    handle = Handle("/app", None, list, lambda: None)
    assert handle.url is None and "no server" in repr(handle) and handle.documents == []


def test_at_the_end_of_a_cell_it_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Handle("/app", None, list, lambda: None)._ipython_display_()
    assert capsys.readouterr() == ("", "")
