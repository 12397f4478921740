"""Sessions are made once, kept while somebody looks, and ended with their hooks."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bokeh.application.application import Application
from bokeh.application.handlers import FunctionHandler, ScriptHandler
from bokeh.application.handlers.lifecycle import LifecycleHandler
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.io import curdoc
from bokeh.io.doc import set_curdoc
from bokeh.io.state import curstate
from bokeh.models.widgets import Div
from bokeh.util.token import generate_jwt_token

from bokehmount.contexts import (
    MOST_EXPECTED,
    ApplicationContext,
    BokehServerContext,
    BokehSessionContext,
    raise_failures,
)
from bokehmount.errors import AppError, CloseCode, ProtocolError, SessionEnded
from bokehmount.request_proxy import RequestProxy
from bokehmount.session import ServerSession
from bokehmount.tokens import RequestInfo

from ..kinds import the
from .doubles import Remembering, Wire, turns


class Viewer:
    outlet = Wire()


def application(function: Callable[[Document], Any]) -> Application:
    return Application(FunctionHandler(function, trap_exceptions=False))


def hello(document: Document) -> None:
    document.add_root(Div(text="hello"))


def context_of(
    function: Callable[[Document], Any] = hello, stage: Remembering | None = None, *handlers: Any
) -> ApplicationContext:
    app = application(function)
    for handler in handlers:
        app.add(handler)
    return ApplicationContext(app, url="/app", stage=stage or Remembering())


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def made(context: ApplicationContext, session_id: str = "s1", **more: Any) -> Coroutine[Any, Any, ServerSession]:
    return context.create_session_if_needed(ID(session_id), **more)


# Making ---------------------------------------------------------------------------------------------------------------


def test_one_id_is_one_session_whoever_asks_and_whenever() -> None:
    async def main() -> None:
        built: list[Document] = []
        context = context_of(built.append)
        first, second = await asyncio.gather(made(context), made(context))
        assert first is second is await made(context) is context.get_session("s1") is context.living("s1")
        assert built == [first.document] and list(context.sessions) == [first]
        other = await made(context, "s2")
        assert other is not first and len(built) == 2
        await context.end_all()

    run(main)


class Panic(BaseException):
    """What libraries that are written in Rust raise is like this one."""


@pytest.mark.parametrize("error", [ValueError, Panic])
def test_all_who_wait_for_an_app_that_raises_get_the_same_error_and_the_next_tries_anew(
    error: type[BaseException],
) -> None:
    async def main() -> None:
        attempts: list[int] = []
        stage = Remembering()

        def app(document: Document) -> None:
            attempts.append(1)
            if len(attempts) <= 2:
                raise error(f"attempt {len(attempts)}")
            hello(document)

        context = context_of(app, stage)
        for attempt in (1, 2):
            outcomes = await asyncio.gather(made(context), made(context), made(context), return_exceptions=True)
            assert len(attempts) == attempt, "it ran once for all three"
            assert all(isinstance(outcome, AppError) for outcome in outcomes)
            (words,) = {str(outcome) for outcome in outcomes}
            assert words.endswith(f"{error.__name__}: attempt {attempt}")
            assert "in app" in outcomes[0].traceback  # type: ignore[union-attr]
            assert list(context.sessions) == [] and context.living("s1") is None
        session = await made(context)
        assert [root.text for root in session.document.roots] == ["hello"]  # type: ignore[attr-defined]
        assert [told for told, _ in stage.errors] == [f"{error.__name__}('attempt {number}')" for number in (1, 2)]
        await context.end_all()

    run(main)


def test_one_who_gives_up_does_not_end_it_for_the_others() -> None:
    async def main() -> None:
        release = asyncio.Event()

        class Slow(LifecycleHandler):
            async def on_session_created(self, session_context: Any) -> None:
                await release.wait()

        context = context_of(hello, None, Slow())
        impatient, patient = asyncio.create_task(made(context)), asyncio.create_task(made(context))
        await turns()
        impatient.cancel()
        await turns()
        release.set()
        assert (await patient).id == "s1"
        await context.end_all()

    run(main)


def test_a_session_that_is_made_while_all_are_ended_ends_too() -> None:
    async def main() -> None:
        release = asyncio.Event()

        class Slow(LifecycleHandler):
            async def on_session_created(self, session_context: Any) -> None:
                await release.wait()

        context = context_of(hello, None, Slow())
        waiting = asyncio.create_task(made(context))
        await turns()
        ending = asyncio.create_task(context.end_all())
        await turns()
        release.set()
        await asyncio.gather(waiting, ending, return_exceptions=True)
        assert list(context.sessions) == []

    run(main)


def test_the_end_waits_only_so_long_for_a_session_that_is_at_work() -> None:
    async def main() -> None:
        stage = Remembering()
        context = context_of(hello, stage)
        ended: list[str] = []
        busy, idle = await made(context, "busy"), await made(context, "idle")
        for session in (busy, idle):
            session.document.on_session_destroyed(lambda session_context: ended.append(session_context.id))
        work = asyncio.ensure_future(busy.with_document_locked(asyncio.sleep, 60))
        await turns()
        await asyncio.wait_for(context.end_all(0.05), 5)
        assert ended == ["idle", "busy"] and busy.destroyed and idle.destroyed and list(context.sessions) == []
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    run(main)


def test_a_hook_that_asks_a_cancelled_task_stops_nothing() -> None:
    async def main() -> None:
        cancelled = asyncio.get_running_loop().create_future()
        cancelled.cancel()

        class Asking(LifecycleHandler):
            async def on_session_created(self, session_context: Any) -> None:
                cancelled.result()

            async def on_session_destroyed(self, session_context: Any) -> None:
                cancelled.result()

        stage = Remembering()
        context = context_of(hello, stage, Asking())
        session = await made(context)
        session.document.on_session_destroyed(lambda _: cancelled.result())
        assert await context.expire(0) == [session]
        assert [error for error, _ in stage.errors] == ["CancelledError()"] * 3

        context = context_of(lambda document: cancelled.result(), stage)
        with pytest.raises(AppError, match="CancelledError"):
            await made(context)

    run(main)


@pytest.mark.parametrize("kind", ["syntax", "raises"])
def test_a_script_that_fails_is_an_error_with_its_lines(kind: str, tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text("x = 1\ny =\n" if kind == "syntax" else "x = 1\nraise ValueError('in the script')\n")

    async def main() -> None:
        context = ApplicationContext(lambda: Application(ScriptHandler(filename=str(script))), stage=Remembering())
        with pytest.raises(AppError) as failed:
            await made(context)
        assert "main.py" in str(failed.value) + failed.value.traceback
        assert failed.value.close_code is CloseCode.APP_RAISED
        script.write_text(
            "from bokeh.plotting import *\nfrom bokeh.models import Div\ncurdoc().add_root(Div(text='mended'))"
        )
        session = await made(context)
        assert session.document.roots[0].text == "mended"  # type: ignore[attr-defined]
        await context.end_all()

    run(main)


def test_an_empty_id_is_refused() -> None:
    async def main() -> None:
        context = context_of()
        with pytest.raises(ProtocolError, match="empty"):
            await made(context, "")
        with pytest.raises(ProtocolError, match="no such session: 'unknown'"):
            context.get_session("unknown")

    run(main)


# What an app knows ----------------------------------------------------------------------------------------------------


def test_an_app_knows_its_request_and_its_token() -> None:
    async def main() -> None:
        known: dict[str, Any] = {}

        def app(document: Document) -> None:
            context = the(BokehSessionContext, document.session_context)
            known.update(id=context.id, request=context.request, payload=context.token_payload, session=context.session)

        context = context_of(app)
        token = generate_jwt_token(ID("s1"), signed=False, extra_payload={"more": 1})
        arguments = {"n": [b"5"], "bokeh-token": [b"x"]}
        info = RequestInfo(arguments, headers={"Host": "h"}, path="/app", user="ada")
        session = await made(context, request=info, token=token)
        assert known["id"] == "s1" and known["payload"]["more"] == 1 and known["session"] is None
        request = known["request"]
        assert (request.arguments, request.headers, request.cookies) == ({"n": [b"5"]}, {"Host": "h"}, {})
        assert (request.path, request.user) == ("/app", "ada")
        with pytest.raises(AttributeError):
            _ = request.no_such_thing
        held = the(BokehSessionContext, session.document.session_context)
        assert held.session is session and not held.destroyed
        server = the(BokehServerContext, held.server_context)
        assert server.sessions == [session] and context.server_context.application_context is context
        await context.end_all()
        assert held.destroyed and context.server_context.sessions == []

    run(main)


@pytest.mark.parametrize(
    ("app", "path", "files"),
    [
        ("/app", "/x/app", "/x/static/extensions/panel/"),
        ("/app", "/app/ws", "/static/extensions/panel/"),
        ("/", "/", "/static/extensions/panel/"),
        ("/", "/x/", "/x/static/extensions/panel/"),
        ("/", "/x/autoload.js", "/x/static/extensions/panel/"),
    ],
)
def test_panel_is_told_where_its_style_sheets_are(app: str, path: str, files: str) -> None:
    async def main() -> None:
        context = ApplicationContext(Application(), url=app, stage=Remembering())
        session = await made(context, request=RequestInfo(path=path))
        assert session.document.template_variables["dist_url"] == files
        await context.end_all()

    run(main)


def test_the_current_document_is_the_sessions_while_its_app_fills_it_and_none_of_it_later() -> None:
    def fill(document: Document) -> None:
        assert curdoc() is document
        set_curdoc(document)  # as Panel does

    async def main() -> None:
        before = curstate().document
        context = context_of(fill)
        session = await made(context)
        assert curstate().document is before is not session.document
        await context.end_all()

    run(main)


def test_without_a_request_there_is_none() -> None:
    async def main() -> None:
        context = context_of()
        session = await made(context)
        held = the(BokehSessionContext, session.document.session_context)
        assert held.request is None and held.token_payload == {} and held.logout_url is None
        await context.end_all()

    run(main)


def test_a_request_of_another_kind_shows_what_the_token_holds() -> None:
    tornados = SimpleNamespace(arguments={"a": [b"1"]}, cookies={}, headers={"Cookie": "secret"}, uri="/x")

    async def main() -> None:
        seen: list[RequestProxy] = []
        context = context_of(lambda document: seen.append(document.session_context.request))  # type: ignore[union-attr]
        payload = {"arguments": {"a": [b"2"]}, "headers": {"Host": "h"}, "cookies": {"c": "d"}}
        token = generate_jwt_token(ID("s1"), signed=False, extra_payload=payload)
        await made(context, request=tornados, token=token)
        (request,) = seen
        assert (request.arguments, request.headers, request.cookies) == ({"a": [b"2"]}, {"Host": "h"}, {"c": "d"})
        assert request.uri == "/x"
        await context.end_all()

    run(main)


def test_a_hook_may_work_on_the_document() -> None:
    async def main() -> None:
        class Hooks(LifecycleHandler):
            async def on_session_created(self, session_context: Any) -> None:
                async def work(document: Document) -> None:
                    document.title = "from the hook"

                await session_context.with_locked_document(work)

        context = context_of(hello, None, Hooks())
        session = await made(context)
        assert session.document.title == "from the hook"

        async def later(document: Document) -> None:
            document.title = "later"

        held = session.document.session_context
        assert held is not None
        await held.with_locked_document(later)
        assert session.document.title == "later"
        await context.end_all()

    run(main)


# Hooks ----------------------------------------------------------------------------------------------------------------


class Hooks(LifecycleHandler):
    """Remembers which hooks ran, and raises in those of ``broken``."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self.ran: list[str] = []
        self.broken = broken

    def _run(self, name: str) -> None:
        self.ran.append(name)
        if name in self.broken:
            raise ValueError(name)

    def on_server_loaded(self, server_context: Any) -> None:
        self._run("loaded")

    def on_server_unloaded(self, server_context: Any) -> None:
        self._run("unloaded")

    async def on_session_created(self, session_context: Any) -> None:
        self._run("created")

    async def on_session_destroyed(self, session_context: Any) -> None:
        self._run("destroyed")


@pytest.mark.parametrize("broken", [(), ("loaded", "unloaded", "created", "destroyed")], ids=["whole", "broken"])
def test_hooks_run_in_order_and_their_errors_stop_nothing(broken: tuple[str, ...]) -> None:
    async def main() -> None:
        hooks, stage = Hooks(*broken), Remembering()
        context = context_of(hello, stage, hooks)
        context.run_load_hook()
        session = await made(context)
        await context.end(session)
        context.run_unload_hook()
        assert hooks.ran == ["loaded", "created", "destroyed", "unloaded"]
        assert [error for error, _ in stage.errors] == [f"ValueError('{name}')" for name in hooks.ran if name in broken]

    run(main)


@pytest.mark.parametrize(("reads", "added"), [(True, {"who": "ada"}), (False, {})])
def test_what_an_application_reads_in_a_request_is_with_the_tokens_payload(reads: bool, added: dict[str, str]) -> None:
    class Reading(Hooks):
        def process_request(self, request: Any) -> dict[str, Any]:
            self._run("read")
            return {"who": request.headers["X-Who"]}

    async def main() -> None:
        seen: list[Any] = []

        def app(document: Document) -> None:
            assert document.session_context is not None
            seen.append(document.session_context.token_payload)  # type: ignore[attr-defined]  # it is of our class

        for hooks in (Reading(), Reading("read")):
            made_app = application(app)
            made_app.add(hooks)
            stage = Remembering()
            context = ApplicationContext(made_app, url="/app", stage=stage, reads_requests=reads)
            await made(context, request=RequestInfo(headers={"X-Who": "ada"}))
            assert bool(stage.errors) is (reads and bool(hooks.broken))
        assert seen == [added, {}]

    run(main)


def test_the_destroyed_callbacks_of_a_document_run() -> None:
    async def main() -> None:
        gone: list[str] = []

        def app(document: Document) -> None:
            document.on_session_destroyed(lambda session_context: gone.append(session_context.id))

        context = context_of(app)
        await made(context)
        await context.end_all()
        assert gone == ["s1"]

    run(main)


def test_an_app_that_raises_or_is_ended_while_it_begins_ends_what_it_began() -> None:
    async def main() -> None:
        gone: list[str] = []

        def app(document: Document) -> None:
            document.on_session_destroyed(lambda session_context: gone.append(session_context.id))
            raise ValueError("no")

        hooks = Hooks()
        context = context_of(app, None, hooks)
        with pytest.raises(AppError):
            await made(context)
        assert gone == ["s1"] and hooks.ran == ["created", "destroyed"]

        async def ended_meanwhile(session_context: Any) -> None:
            await context.end_all()

        def begun(document: Document) -> None:
            document.on_session_destroyed(lambda session_context: gone.append(session_context.id))

        context, slow = context_of(begun), Hooks()
        slow.on_session_created = ended_meanwhile  # type: ignore[method-assign]
        context = context_of(begun, None, slow)
        with pytest.raises(SessionEnded):
            await made(context, "s2")
        assert gone == ["s1", "s2"] and slow.ran == ["destroyed"]

    run(main)


def test_a_hook_that_hangs_holds_up_nobody_whose_app_has_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(Hooks):
        async def on_session_destroyed(self, session_context: Any) -> None:
            await asyncio.Event().wait()

    def app(document: Document) -> None:
        raise ValueError("no")

    async def main() -> None:
        monkeypatch.setattr("bokehmount.contexts._HANGING", 0.05)
        stage = Remembering()
        context = context_of(app, stage, Hanging())
        with pytest.raises(AppError, match="no"):
            await asyncio.wait_for(made(context), 5)
        assert len(stage.errors) == 1

    run(main)


def test_a_hook_that_hangs_holds_up_no_other_sessions_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(Hooks):
        async def on_session_destroyed(self, session_context: Any) -> None:
            if session_context.id == "s1":
                await asyncio.Event().wait()
            self._run(session_context.id)

    async def main() -> None:
        monkeypatch.setattr("bokehmount.contexts._HANGING", 0.05)
        hooks = Hanging()
        context = context_of(hello, None, hooks)
        hanging, other = await made(context), await made(context, "s2")
        assert await context.expire(linger=0) == [hanging, other]
        assert hooks.ran[-1] == "s2" and list(context.sessions) == []
        assert await context.expire(linger=0) == []

    run(main)


# Ends -----------------------------------------------------------------------------------------------------------------


def test_a_session_that_nobody_looks_at_goes_after_its_time() -> None:
    async def main() -> None:
        context = context_of()
        session = await made(context)
        assert await context.expire(linger=100) == []
        assert await context.expire(linger=0) == [session]
        assert session.destroyed and list(context.sessions) == []
        again = await made(context)
        assert again is not session
        await context.end_all()

    run(main)


@pytest.mark.parametrize(("lost", "linger", "linger_lost", "ends"), [
    (False, 0, 100, True),
    (False, 100, 0, False),
    (True, 0, 100, False),
    (True, 100, 0, True),
    (True, 0, None, True),
])  # fmt: skip
def test_a_goodbye_and_a_broken_connection_have_times_of_their_own(
    lost: bool, linger: float, linger_lost: float | None, ends: bool
) -> None:
    async def main() -> None:
        context, viewer = context_of(), Viewer()
        session = await made(context)
        context.joined(session, viewer)
        assert await context.expire(0, 0) == [], "somebody looks"
        context.left(session, viewer, lost=lost)
        assert (await context.expire(linger, linger_lost) == [session]) is ends
        await context.end_all()

    run(main)


def test_a_page_that_is_slow_to_connect_finds_its_session() -> None:
    async def main() -> None:
        context = context_of()
        session = await made(context)
        assert await context.expire(linger=0, linger_lost=100) == []
        assert await made(context) is session, "the app did not run again"
        await context.end_all()

    run(main)


def test_of_many_sessions_that_nobody_came_to_see_the_oldest_go() -> None:
    async def main() -> None:
        context, viewer = context_of(), Viewer()
        seen, *unseen = [await made(context, f"s{number}") for number in range(MOST_EXPECTED + 3)]
        context.joined(seen, viewer)
        context.left(seen, viewer, lost=True)
        assert await context.expire(linger=0, linger_lost=100) == unseen[:2]
        assert await context.expire(linger=0, linger_lost=100) == []
        await context.end_all()

    run(main)


def test_with_two_viewers_only_the_last_one_counts() -> None:
    async def main() -> None:
        context, first, second = context_of(), Viewer(), Viewer()
        session = await made(context)
        for viewer in (first, second):
            context.joined(session, viewer)
        context.left(session, first, lost=False)
        context.left(session, first, lost=False)
        assert await context.expire(0, 0) == []
        context.left(session, second, lost=False)
        assert await context.expire(0, 0) == [session]

    run(main)


def test_a_session_goes_early_if_it_asked_for_it_and_late_if_it_works() -> None:
    async def main() -> None:
        context = context_of()
        session = await made(context)
        session.block_expiration()
        session.request_expiration()
        assert await context.expire(0, 0) == []
        session.unblock_expiration()
        assert await context.expire(1000, 1000) == [session]

    run(main)


def test_who_comes_back_while_a_session_is_about_to_go_keeps_it() -> None:
    async def main() -> None:
        context, viewer = context_of(), Viewer()
        session = await made(context)
        release = asyncio.Event()
        holder = asyncio.create_task(session.with_document_locked(release.wait))
        expiry = asyncio.create_task(context.expire(0, 0))
        await turns()
        context.joined(session, viewer)
        release.set()
        await holder
        assert await expiry == []
        assert not session.destroyed
        await context.end_all()

    run(main)


def test_work_that_begins_while_a_session_is_about_to_go_keeps_it() -> None:
    async def main() -> None:
        context = context_of()
        session = await made(context)
        release = asyncio.Event()
        holder = asyncio.create_task(session.with_document_locked(release.wait))
        await turns()
        ending = asyncio.create_task(context._discard(context._held["s1"], only_if_idle=True))
        await turns()
        session.block_expiration()
        release.set()
        await holder
        assert await ending is False and not session.destroyed
        session.unblock_expiration()
        await context.end_all()

    run(main)


def test_a_session_that_ends_while_somebody_looks_is_over_for_them() -> None:
    async def main() -> None:
        hooks = Hooks()
        context, viewer = context_of(hello, None, hooks), Viewer()
        session = await made(context)
        context.joined(session, viewer)
        await asyncio.gather(context.end(session), context.end(session))
        assert session.destroyed and hooks.ran.count("destroyed") == 1
        context.left(session, viewer, lost=True)
        with pytest.raises(SessionEnded):
            context.joined(session, Viewer())
        await context.end(session)

    run(main)


def test_an_adopted_document_stays_when_its_session_ends() -> None:
    async def main() -> None:
        context = ApplicationContext(Application(), stage=Remembering())
        document = Document()
        document.add_root(Div(text="mine"))
        session = context.adopt(ID("s1"), document)
        assert context.living("s1") is session and document.session_context is not None
        await context.end_all()
        assert document.roots[0].text == "mine"  # type: ignore[attr-defined]

    run(main)


def test_a_session_leaves_nothing_behind() -> None:
    async def main() -> None:
        import weakref

        context = context_of()
        document = weakref.ref((await made(context)).document)
        await context.end_all()
        await turns()
        gc.collect()
        assert document() is None

    run(main)


def test_an_application_may_be_made_anew_for_each_session() -> None:
    async def main() -> None:
        made_of: list[Application] = []

        def renew() -> Application:
            made_of.append(application(hello))
            return made_of[-1]

        context = ApplicationContext(renew, stage=Remembering())
        await made(context, "s1")
        await made(context, "s2")
        assert context.application is made_of[-1] and len(made_of) == 3
        await context.end_all()

    run(main)


def test_an_application_that_another_replaces_keeps_its_hooks_and_stops_with_its_last_session() -> None:
    async def main() -> None:
        old, new = Hooks(), Hooks()
        apps = [application(hello), application(hello)]
        for app, hooks in zip(apps, (old, new), strict=True):
            app.add(hooks)
        now = apps[0]
        context = ApplicationContext(lambda: now, stage=Remembering())
        context.run_load_hook()
        sessions = [await made(context, "s1"), await made(context, "s2")]
        now = apps[1]
        sessions.append(await made(context, "s3"))
        assert old.ran == ["loaded", "created", "created"] and new.ran == ["loaded", "created"]
        for session in sessions:
            await context.end(session)
        context.run_unload_hook()
        assert old.ran[3:] == ["destroyed", "destroyed", "unloaded"]
        assert new.ran[2:] == ["destroyed", "unloaded"]

    run(main)


class Told(Hooks):
    """Tells of its hooks with its name where others do too."""

    def __init__(self, name: str, told: list[str]) -> None:
        super().__init__()
        self.name, self.told = name, told

    def _run(self, name: str) -> None:
        self.told.append(f"{self.name} {name}")


def test_an_application_that_nobody_uses_stops_before_another_takes_its_place() -> None:
    async def main() -> None:
        apps, ran = two_told()
        now = apps[0]
        context = ApplicationContext(lambda: now, stage=Remembering())
        context.run_load_hook()
        now = apps[1]
        await made(context)
        assert ran == ["a loaded", "a unloaded", "b loaded", "b created"]
        await context.end_all()

    run(main)


def two_told() -> tuple[list[Application], list[str]]:
    """Applications a and b, and what their hooks tell."""
    ran: list[str] = []
    apps = [application(hello), application(hello)]
    for name, app in zip("ab", apps, strict=True):
        app.add(Told(name, ran))
    return apps, ran


def test_an_application_that_is_replaced_while_it_makes_a_session_stops_after_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        (a, b), ran = two_told()
        go_on = asyncio.Event()

        async def created(context: Any) -> None:
            await go_on.wait()

        monkeypatch.setattr(a, "on_session_created", created)
        now = a
        context = ApplicationContext(lambda: now, stage=Remembering())
        beginning = asyncio.ensure_future(made(context, "s1"))
        await turns()
        now = b
        await made(context, "s2")
        assert ran == ["b loaded", "b created"]
        go_on.set()
        await context.end(await beginning)
        assert ran[2:] == ["a destroyed", "a unloaded"]
        await context.end_all()

    run(main)


def test_an_application_that_is_replaced_stops_also_where_its_last_session_is_cut_short() -> None:
    async def main() -> None:
        (a, b), ran = two_told()
        now = a
        context = ApplicationContext(lambda: now, stage=Remembering())
        session = await made(context, "s1")
        now = b
        await made(context, "s2")
        work = asyncio.ensure_future(session.with_document_locked(asyncio.sleep, 60))
        await turns()
        await context.end_all(0.01)
        assert ran[-2:] == ["a destroyed", "a unloaded"] and ran.count("a unloaded") == 1
        work.cancel()

    run(main)


def test_an_application_that_can_not_be_made_anew_is_an_error_of_the_app() -> None:
    async def main() -> None:
        stage, broken = Remembering(), False

        def renew() -> Application:
            if broken:
                raise FileNotFoundError("there is no app.py")
            return application(hello)

        context = ApplicationContext(renew, url="/app", stage=stage)
        broken = True
        with pytest.raises(AppError, match=r"there is no app\.py"):
            await made(context)
        assert [where for _, where in stage.errors] == ["app /app"]
        broken = False
        await made(context)
        await context.end_all()

    run(main)


def test_a_handler_that_failed_in_silence_is_found_out(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("1/0")
    app = Application(ScriptHandler(filename=str(script)))
    app.create_document()
    with pytest.raises(AppError, match="division by zero"):
        raise_failures(app)
    raise_failures(application(hello))
