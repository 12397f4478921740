"""Without a notebook, callbacks' errors go to the log."""

from __future__ import annotations

import logging

import pytest

from bokehmount.stage import LogStage


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


def test_control_c_ends_a_server_also_where_it_meets_a_callback() -> None:
    with pytest.raises(KeyboardInterrupt):
        LogStage().raised(KeyboardInterrupt(), "callback moved")
