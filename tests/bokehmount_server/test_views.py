"""A view is told in words what is happening to it."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tornado.websocket import WebSocketClosedError

from bokehmount.errors import AppError, AppNotFound, KernelLost, SessionEnded
from bokehmount_server.views import BUSY, SILENT, View, Views

from ..bokehmount.doubles import turns


class Socket:
    def __init__(self, broken: bool = False) -> None:
        self.told: list[dict[str, Any]] = []
        self.broken = broken

    def say(self, text: str) -> None:
        if self.broken:
            raise WebSocketClosedError
        self.told.append(json.loads(text))


def view(session_id: str = "s1", kernel_id: str = "k1", broken: bool = False) -> View:
    return View(kernel_id, "/app", session_id, Socket(broken))


def told(seen: View) -> list[str]:
    assert isinstance(seen.socket, Socket)
    return [message["state"] for message in seen.socket.told]


def run(main: Callable[[Views], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main(Views()))


def owed(views: Views, session_id: str = "s1", keep: float = 60) -> asyncio.Future[str]:
    page = asyncio.get_running_loop().create_future()
    views.owe("k1", session_id, page, keep)
    return page


def test_a_view_whose_page_is_there_is_ready() -> None:
    async def main(views: Views) -> None:
        seen = view()
        views.add(seen, busy=False)
        assert told(seen) == ["ready"]

    run(main)


@pytest.mark.parametrize(("silent", "text"), [(False, BUSY), (True, SILENT)])
def test_a_view_that_comes_while_its_kernel_is_busy_is_told_both(silent: bool, text: str) -> None:
    async def main(views: Views) -> None:
        there, waiting = view(), view("s2")
        views.add(there, busy=True, silent=silent)
        assert told(there) == ["ready", "busy"], "a page that was cut off comes back on the first"
        owed(views, "s2")
        views.add(waiting, busy=True, silent=silent)
        assert told(waiting) == ["busy"]
        for seen in (there, waiting):
            last = seen.socket.told[-1]  # type: ignore[attr-defined]
            assert (last["text"], last.get("silent", False)) == (text, silent)

    run(main)


@pytest.mark.parametrize(("busy", "state"), [(True, "busy"), (False, "starting")])
def test_a_view_that_waits_is_told_why_and_then_that_it_is_there(busy: bool, state: str) -> None:
    async def main(views: Views) -> None:
        page = owed(views)
        seen, other = view(), view("s2")
        views.add(seen, busy=busy)
        views.add(other, busy=False)
        assert told(seen) == [state] and seen.socket.told[0]["text"]  # type: ignore[attr-defined]
        page.set_result("<html>")
        await turns()
        assert told(seen) == [state, "ready"] and told(other) == ["ready"]

    run(main)
    assert "busy" in BUSY


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            AppError("ValueError: no", "Traceback …"),
            {"state": "raised", "text": "The app raised ValueError: no", "detail": "Traceback …"},
        ),
        (KernelLost("the kernel died"), {"state": "gone", "text": "The kernel died."}),
        (AppNotFound("no app"), {"state": "gone", "text": "No app."}),
        (SessionEnded("over: reload"), {"state": "ended", "text": "Over: reload."}),
        (RuntimeError("our secret"), {"state": "gone", "text": "The server failed; its log says why."}),
    ],
    ids=["app", "kernel", "no app", "session", "server"],
)
@pytest.mark.parametrize("late", [False, True], ids=["waiting", "late"])
def test_a_page_that_does_not_come_is_told_also_to_a_view_that_listens_late(
    error: Exception, expected: dict[str, str], late: bool
) -> None:
    async def main(views: Views) -> None:
        page, seen = owed(views), view()
        if not late:
            views.add(seen, busy=False)
        page.set_exception(error)
        await turns()
        if late:
            views.add(seen, busy=False)
        assert seen.socket.told[-1] == expected  # type: ignore[attr-defined]

    run(main)


def test_a_page_that_comes_back_in_vain_is_told_why() -> None:
    async def main(views: Views) -> None:
        seen, other = view(), view("s2")
        for each in (seen, other):
            views.add(each, busy=False)
        views.refused(seen.kernel_id, seen.session_id, SessionEnded("this session has ended"))
        assert told(seen) == ["ready", "ended"] and told(other) == ["ready"]
        views.kernel_lost(other.kernel_id, "restarted", "The kernel was restarted.")
        views.refused(other.kernel_id, other.session_id, KernelLost("gone"))
        assert told(other) == ["ready", "restarted"], "it knows already, and better"

    run(main)


def test_while_a_line_is_broken_views_wait_and_come_back_with_it() -> None:
    async def main(views: Views) -> None:
        seen, late, gone = view(), view("s2"), view("s3")
        views.add(seen, busy=False)
        views.line_broken("k1", "Trying again.")
        views.add(late, busy=False)
        views.refused("k1", seen.session_id, KernelLost("the gateway can't be reached"))
        assert told(seen) == ["ready", "lost"] and told(late) == ["lost"]
        views.line_back("k1")
        assert told(seen)[2:] == ["ready"] and told(late)[1:] == ["ready"]
        views.line_broken("k1", "Trying again.")
        views.add(gone, busy=False)
        views.kernel_lost("k1", "gone", "The kernel is gone.")
        views.line_back("k1")
        assert told(gone) == ["lost", "gone"]

    run(main)


def test_a_server_that_stops_waiting_says_so() -> None:
    async def main(views: Views) -> None:
        page, seen = owed(views), view()
        views.add(seen, busy=True)
        page.cancel()
        await turns()
        assert told(seen) == ["busy", "gone"]

    run(main)


def test_an_outcome_is_forgotten_after_a_while_but_not_that_of_a_later_page() -> None:
    async def main(views: Views) -> None:
        first = owed(views, keep=0.02)
        first.set_exception(KernelLost("gone"))
        await turns()
        second = owed(views)
        await asyncio.sleep(0.05)
        seen = view()
        views.add(seen, busy=False)
        assert told(seen) == ["starting"], "the second page is still owed"
        second.cancel()
        third = owed(views, "s3", keep=0)
        third.set_exception(KernelLost("gone"))
        await asyncio.sleep(0.01)
        late = view("s3")
        views.add(late, busy=False)
        assert told(late) == ["ready"]

    run(main)


def test_a_failure_that_nobody_listens_to_is_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    async def main(views: Views) -> None:
        owed(views, keep=0).set_exception(KernelLost("gone"))
        await asyncio.sleep(0.01)
        gc.collect()

    with caplog.at_level(logging.ERROR):
        run(main)
        gc.collect()
    assert caplog.text == ""


def test_a_failure_of_the_server_itself_is_in_its_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main(views: Views) -> None:
        owed(views).set_exception(RuntimeError("of the server"))
        await turns()

    with caplog.at_level(logging.ERROR):
        run(main)
    assert "RuntimeError: of the server" in caplog.text


def test_a_view_that_left_is_told_nothing_and_a_broken_one_stops_nobody() -> None:
    async def main(views: Views) -> None:
        page = owed(views)
        left, broken, there = view(), view(broken=True), view()
        for seen in (left, broken, there):
            views.add(seen, busy=False)
        views.remove(left)
        views.remove(left)
        page.set_result("")
        await turns()
        assert told(left) == ["starting"] and told(there) == ["starting", "ready"]
        assert set(views.of(lambda seen: seen.session_id == "s1")) == {broken, there}

    run(main)


def test_a_view_of_an_app_that_raised_comes_back_when_its_cell_is_run_again() -> None:
    async def main(views: Views) -> None:
        views.apps_are("k1", {"/app": "run 1"})
        page, seen, other_kernel = owed(views), view(), view(kernel_id="k2")
        for added in (seen, other_kernel):
            views.add(added, busy=False)
        page.set_exception(AppError("ValueError: no", "Traceback …"))
        await turns()
        views.apps_are("k1", {"/app": "run 1", "/other": "run 2"})
        assert told(seen) == ["starting", "raised"], "it is the app that raised"
        views.apps_are("k1", {"/other": "run 2"})
        assert told(seen) == ["starting", "raised"]
        views.apps_are("k1", {"/app": "run 3"})
        assert told(seen) == ["starting", "raised", "moved"] and told(other_kernel) == ["ready"]

    run(main)


@pytest.mark.parametrize(("failed", "states"), [("run 1", []), ("run 0", ["moved"]), ("", ["moved"])])
def test_a_page_that_told_an_error_listens_and_may_be_late(failed: str, states: list[str]) -> None:
    async def main(views: Views) -> None:
        views.apps_are("k1", {"/app": "run 1"})
        assert views.run_of("k1", "/app") == "run 1" and views.run_of("k1", "/x") == views.run_of("k2", "/app") == ""
        seen = view()
        views.add_failed(seen, failed)
        assert told(seen) == states

    run(main)


def test_after_a_restart_any_run_of_the_cell_brings_a_view_back() -> None:
    async def main(views: Views) -> None:
        views.apps_are("k1", {"/app": "run 1"})
        seen = view()
        views.add_failed(seen, "run 1")
        views.kernel_lost("k1", "restarted", "The kernel was restarted.")
        views.apps_are("k1", {})
        views.apps_are("k1", {"/app": "run 1"})
        assert told(seen) == ["restarted", "moved"]

    run(main)


def test_two_kernels_with_the_same_session_are_told_apart() -> None:
    async def main(views: Views) -> None:
        page, other = owed(views), view(kernel_id="k2")
        views.add(other, busy=False)
        page.set_result("")
        await turns()
        assert told(other) == ["ready"]

    run(main)


def test_a_page_that_watches_its_user_says_when_its_session_is_used() -> None:
    async def main(views: Views) -> None:
        silent, watching = view("s1"), view("s2")
        for seen in (silent, watching):
            views.add(seen, busy=False)
        assert not views.hear(watching, "watching") and views.hear(watching, "used")
        assert views.watched("k1", "s2")
        assert not views.watched("k1", "s1"), "what comes from its browser has to count"
        assert not views.watched("k2", "s2")
        views.remove(watching)
        assert not views.watched("k1", "s2")

    run(main)
