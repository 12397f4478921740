"""What ended sessions leave is collected once for many, and seldom where that takes long."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from bokeh.application import Application
from bokeh.application.handlers.code import CodeHandler
from bokeh.document import Document
from bokeh.models.widgets import Div

from bokehmount import collecting
from bokehmount.collecting import PAUSE, SHARE, Collector
from bokehmount.session import ServerSession


@pytest.fixture
def collections(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When there was a collection; each takes two seconds."""
    clock = SimpleNamespace(now=1000.0)
    began: list[float] = []

    def collect(*_: Any) -> int:
        began.append(clock.now)
        clock.now += 2.0
        return 0

    monkeypatch.setattr(gc, "collect", collect)
    monkeypatch.setattr(collecting, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(collecting, "_test_clock", clock, raising=False)
    return began


class Loop:
    """Runs what is to be called later when the test says so."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.is_over = False

    def is_closed(self) -> bool:
        return self.is_over

    def call_later(self, delay: float, call: Callable[[], None]) -> None:
        self.later.append((delay, call))

    def pass_time(self) -> None:
        delay, call = self.later.pop(0)
        vars(collecting)["_test_clock"].now += delay
        call()


def test_sessions_that_end_together_are_collected_together(collections: list[float]) -> None:
    async def main() -> list[ServerSession]:
        sessions = []
        for number in range(5):
            document = Document()
            document.add_root(Div(text="."))
            sessions.append(ServerSession(f"s{number}", document))  # type: ignore[arg-type]  # Bokeh's ID
        return sessions

    loop: Any = Loop()
    with asyncio.Runner() as runner:
        sessions = runner.run(main())
        collecting.collector._due = collecting.collector._not_before = 0.0
        for session in sessions:
            session._loop = loop
            session.destroy()
    assert collections == [] and [delay for delay, _ in loop.later] == [PAUSE]
    loop.pass_time()
    assert collections == [1000.0 + PAUSE]


_SCRIPT = """
import sys
from bokeh.io import curdoc
from bokeh.models import Button, Div
text = "."
def clicked():
    curdoc().add_root(Div(text=text))
button = Button()
button.on_click(clicked)
curdoc().add_root(button)
"""


@pytest.mark.parametrize("is_known", [False, True])
def test_all_objects_are_searched_only_where_a_module_is_known_elsewhere(
    is_known: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    document = Application(CodeHandler(source=_SCRIPT, filename="app.py")).create_document()
    [name] = (module.__name__ for module in document.modules._modules)
    known = [sys.modules[name]] if is_known else []
    searches = []

    def search(*objects: Any) -> list[Any]:
        searches.append(objects)
        return [known]

    monkeypatch.setattr(gc, "get_referrers", search)

    async def main() -> None:
        session = ServerSession("s", document)  # type: ignore[arg-type]  # Bokeh's ID
        session.destroy()

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert name not in sys.modules
    assert len(searches) == is_known and ("unexpected referrers" in caplog.text) is is_known
    assert not any(vars(module) for module in known)


def test_what_takes_long_is_done_seldom(collections: list[float]) -> None:
    collector, loop = Collector(), Loop()
    ended: Any = Loop()
    ended.is_over = True
    collector.soon(ended)
    assert not ended.later
    for _ in range(3):
        collector.soon(loop)  # type: ignore[arg-type]
        collector.soon(loop)  # type: ignore[arg-type]
        loop.pass_time()
    assert not loop.later
    assert [after - before for before, after in pairwise(collections)] == [2 + SHARE * 2] * 2
