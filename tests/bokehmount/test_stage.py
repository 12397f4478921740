"""Without a notebook, callbacks' errors go to the log."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
import time
from typing import Any

import pytest
from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.models.widgets import Slider

from bokehmount import stage as stage_module
from bokehmount.contexts import ApplicationContext
from bokehmount.stage import LogStage, user_traceback


def test_an_error_is_logged_with_its_traceback_and_what_ran(caplog: pytest.LogCaptureFixture) -> None:
    stage = LogStage()
    try:
        with stage.entered():
            raise ValueError("oh no")
    except ValueError as error:
        with caplog.at_level(logging.ERROR):
            stage.raised(error, "callback moved")
    assert "callback moved" in caplog.text and "oh no" in caplog.text
    assert "test_an_error_is_logged" in caplog.text, "the traceback"


@pytest.mark.parametrize(
    ("module", "is_shown"),
    [("bokehmount.session", False), ("bokeh.document.callbacks", False), ("bokehmount_demo.app", True), ("app", True)],
)
def test_a_traceback_begins_in_the_users_code(module: str, is_shown: bool) -> None:
    def fails() -> None:
        raise ValueError("oh no")

    names = {"__name__": module, "fails": fails}
    exec(compile("def first():\n    fails()", f"{module}.py", "exec"), names)
    first: Any = names["first"]
    try:
        first()
    except ValueError as error:
        assert error.__traceback__ is not None
        error.__traceback__ = error.__traceback__.tb_next  # without this test
        assert (f"{module}.py" in user_traceback(error)) is is_shown
        assert "in fails" in user_traceback(error)


def held_up(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if "held this server up" in message]


def test_the_log_says_which_app_held_all_others_up_and_for_how_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stage_module, "HELD", 0.05)

    def app(doc: Document) -> None:
        slider = Slider(start=0, end=9, value=1)
        slider.on_change("value", lambda attr, old, new: time.sleep(0.1))
        doc.add_root(slider)

        def move() -> None:
            slider.value += 1

        doc.add_next_tick_callback(move)

    async def main() -> None:
        context = ApplicationContext(lambda: Application(FunctionHandler(app)), url="/sliders")
        session = await context.create_session_if_needed(ID("s1"))
        while session.document.session_callbacks:
            await asyncio.sleep(0.01)
        await context.end_all(1.0)

    asyncio.run(main())
    [told] = held_up(caplog)  # and not once more by the callback in which the other ran
    assert "/sliders" in told and re.search(r"for 0\.[1-9] s", told) and "to_thread" in told


def test_who_awaits_or_has_a_thread_of_its_own_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stage_module, "HELD", 0.05)
    stage = LogStage("/app")

    def takes_long() -> None:
        with stage.entered():
            time.sleep(0.1)

    async def main() -> None:
        with stage.entered(awaits=True):
            await asyncio.to_thread(takes_long)

    asyncio.run(main())
    assert not held_up(caplog)


def test_control_c_ends_a_server_also_where_it_meets_a_callback() -> None:
    with pytest.raises(KeyboardInterrupt):
        LogStage().raised(KeyboardInterrupt(), "callback moved")


FORKS = """
import os
from bokehmount.stage import LogStage
with LogStage().entered():
    child = os.fork()
    if not child:
        print("the child's")
        {then}
    else:
        ended = os.waitpid(child, 0)[1]
print("goes on", ended)
"""


@pytest.mark.parametrize(("then", "status", "told"), [("pass", 0, ""), ("1 / 0", 256, "ZeroDivisionError")])
def test_a_process_that_user_code_forks_and_leaves_ends(then: str, status: int, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS.format(then=then)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"the child's\ngoes on {status}\n"
    assert told in done.stderr
