"""One host answers what a front door can ask of the apps of its process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from bokeh.application.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.models.widgets import Div
from bokeh.util.token import generate_jwt_token

from bokehmount import wire
from bokehmount.apphost import App, AppHost, Opening
from bokehmount.contexts import ApplicationContext, BokehSessionContext
from bokehmount.errors import AppError, AppNotFound, SessionEnded
from bokehmount.page import Place
from bokehmount.tokens import RequestInfo

from ..kinds import the
from .doubles import Remembering, Wire

PLACE = Place("/bokeh/")


class Viewer:
    def __init__(self) -> None:
        self.outlet = Wire()


def hello(document: Document) -> None:
    document.add_root(Div(text="hello"))


def app_of(function: Callable[[Document], Any] = hello, path: str = "/app", **more: Any) -> App:
    application = Application(FunctionHandler(function, trap_exceptions=False), metadata=more.pop("metadata", None))
    return App(path, ApplicationContext(application, url=path, stage=Remembering()), "An app", **more)


def opening(session_id: str = "s1", may_create: bool = True) -> Opening:
    return Opening(session_id, token(session_id), may_create, RequestInfo())


def token(session_id: str) -> str:
    return generate_jwt_token(ID(session_id), signed=False)


def hosted(test: Callable[[AppHost, App], Coroutine[Any, Any, None]], **more: Any) -> None:
    async def main() -> None:
        host, app = AppHost(), app_of(**more)
        host.add(app)
        await test(host, app)
        await app.context.end_all()

    asyncio.run(main())


def test_apps_come_and_go() -> None:
    async def main() -> None:
        told: list[int] = []
        host = AppHost()
        host.changed = lambda: told.append(len(list(host)))
        app = app_of()
        host.add(app)
        assert host.app("/app") is app and list(host) == [app]
        with pytest.raises(ValueError, match="an app at '/app' already"):
            host.add(app_of())
        assert host.remove("/app") is app and host.remove("/app") is None
        with pytest.raises(AppNotFound, match="the app 'app' is not running"):
            host.app("/app")
        assert told[:2] == [1, 0]

    asyncio.run(main())


def test_a_page_and_its_websocket_see_one_session() -> None:
    async def test(host: AppHost, app: App) -> None:
        first = opening()
        page = await host.page("/app", first, PLACE)
        assert first.token in page  # another has another time in it
        viewer = Viewer()
        session = await host.connect("/app", opening(may_create=False), viewer)
        assert session is await host.session("/app", opening()) is host.session_of(viewer)
        assert list(app.context.sessions) == [session] and host.connections_of(app) == [viewer]
        session.receive(viewer, wire.encode(wire.pull_doc()))
        assert viewer.outlet.under_way
        host.disconnect(viewer, lost=False)
        host.disconnect(viewer, lost=False)
        assert host.connections_of(app) == [] and session.connection_count == 0
        with pytest.raises(SessionEnded):
            host.session_of(viewer)

    hosted(test)


def test_an_old_token_opens_no_new_session() -> None:
    async def test(host: AppHost, app: App) -> None:
        old = opening(may_create=False)
        for question in (host.page("/app", old, PLACE), host.connect("/app", old, Viewer())):
            with pytest.raises(SessionEnded, match="reload the page"):
                await question
        assert list(app.context.sessions) == []

    hosted(test)


def test_a_token_whose_session_was_seen_and_has_ended_opens_no_other() -> None:
    async def test(host: AppHost, app: App) -> None:
        unseen, seen = opening("unseen"), opening("seen")
        await host.session("/app", unseen)
        viewer = Viewer()
        await host.connect("/app", seen, viewer)
        host.disconnect(viewer, lost=True)
        await host.expire(0, 0)
        assert list(app.context.sessions) == []
        with pytest.raises(SessionEnded, match="reload the page"):
            await host.connect("/app", seen, viewer)
        await host.connect("/app", unseen, viewer)  # a page that was slow to come has lost nothing
        # such as that of a client that asks for it by name
        another = generate_jwt_token(ID("seen"), signed=False, extra_payload={"another": 1})
        again = replace(opening("seen"), token=another)
        await host.connect("/app", again, viewer)

    hosted(test)


def test_each_question_to_no_app_is_answered_so() -> None:
    async def test(host: AppHost, app: App) -> None:
        questions: list[Callable[[], Any]] = [
            lambda: host.page("/other", opening(), PLACE),
            lambda: host.autoload("/other", opening(), PLACE, "e1"),
            lambda: host.connect("/other", opening(), Viewer()),
            lambda: host.session("/other", opening()),
        ]
        for question in questions:
            with pytest.raises(AppNotFound):
                await question()
        with pytest.raises(AppNotFound):
            host.metadata("/other", "/url")

    hosted(test)


def test_an_app_that_raises_is_told_to_each_who_asks() -> None:
    def fails(document: Document) -> None:
        raise ValueError("no")

    async def test(host: AppHost, app: App) -> None:
        for question in (host.page("/app", opening(), PLACE), host.connect("/app", opening(), Viewer())):
            with pytest.raises(AppError, match="ValueError: no"):
                await question
        assert host.connections_of(app) == []

    hosted(test, function=fails)


def test_a_connection_whose_session_ended_is_told_so() -> None:
    async def test(host: AppHost, app: App) -> None:
        viewer = Viewer()
        session = await host.connect("/app", opening(), viewer)
        await app.context.end(session)
        with pytest.raises(SessionEnded):
            host.session_of(viewer)
        host.disconnect(viewer, lost=True)

    hosted(test)


def test_all_views_of_a_shared_session_see_the_same() -> None:
    async def test(host: AppHost, app: App) -> None:
        document = Document()
        document.add_root(Div(text="mine"))
        shared = app.context.adopt(ID("shared"), document)
        first, second = Viewer(), Viewer()
        assert await host.connect("/app", opening("a"), first) is shared
        assert await host.connect("/app", opening("b", may_create=False), second) is shared
        for viewer in (first, second):
            host.disconnect(viewer, lost=False)
        await host.expire(0, 0)
        assert not shared.destroyed, "it lives as long as its app"
        await app.context.end_all()
        with pytest.raises(SessionEnded, match="An app has ended: run its cell again"):
            await host.page("/app", opening("c"), PLACE)

    hosted(test, shared_session="shared")


def test_sessions_that_nobody_looks_at_expire() -> None:
    async def test(host: AppHost, app: App) -> None:
        session = await host.session("/app", opening())
        await host.expire(1000, 1000)
        assert not session.destroyed
        await host.expire(0)
        assert session.destroyed

    hosted(test)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [(None, {}), ({"a": 1}, {"a": 1}), (lambda: {"b": 2}, {"b": 2}), ("no mapping", {})],
    ids=["none", "mapping", "function", "something else"],
)
def test_an_app_tells_of_itself(metadata: Any, expected: Any) -> None:
    async def test(host: AppHost, app: App) -> None:
        assert host.metadata("/app", "/the/url") == {"url": "/the/url", "data": expected}

    hosted(test, metadata=metadata)


def test_the_script_for_another_page_names_its_session_and_element() -> None:
    async def test(host: AppHost, app: App) -> None:
        asked = opening()
        script = await host.autoload("/app", asked, PLACE, "e1", "/app", "http://h:1/bokeh/app")
        assert asked.token in script and "e1" in script and "http://h:1/bokeh/static/js/bokeh" in script

    hosted(test)


@pytest.mark.parametrize(
    ("absolute_url", "files"),
    [
        ("http://h:1/bokeh/app", "http://h:1/bokeh/static/extensions/panel/"),
        ("https://h:1/bokeh/app/", "https://h:1/bokeh/static/extensions/panel/"),
        ("http://elsewhere.example/bokeh/app", "/bokeh/static/extensions/panel/"),
        ("http://h:1/user/mallory/app", "/bokeh/static/extensions/panel/"),
        ("javascript://h:1/bokeh/app", "/bokeh/static/extensions/panel/"),
        (None, "/bokeh/static/extensions/panel/"),
    ],
)
def test_a_session_in_another_page_takes_its_files_from_the_server_itself_whatever_the_link_says(
    absolute_url: str | None, files: str
) -> None:
    async def test(host: AppHost, app: App) -> None:
        asked = opening()
        asked = replace(asked, request=RequestInfo(path="/bokeh/app/autoload.js", host="h:1"))
        await host.autoload("/app", asked, PLACE, "e1", "/app", absolute_url)
        (session,) = app.context.sessions
        assert session.document.template_variables["dist_url"] == files
        request = the(BokehSessionContext, session.document.session_context).request
        told_panel = request is not None and "bokeh-absolute-url" in request.arguments
        assert told_panel == files.startswith("http")

    hosted(test)
