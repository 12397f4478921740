"""Without a notebook, callbacks' errors go to the log."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import pytest

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
