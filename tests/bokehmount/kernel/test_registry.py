"""Which apps a kernel has: what replaces what, and which models share a Document."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bokeh.application.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.document import Document
from bokeh.io import curdoc
from bokeh.io.state import curstate
from bokeh.layouts import column, row
from bokeh.model import Model
from bokeh.models.annotations import Title
from bokeh.models.widgets import Div, Slider
from bokeh.plotting import figure

from bokehmount.apphost import Opening
from bokehmount.errors import AppError, AppNotFound, CloseCode
from bokehmount.kernel.naming import CellRun
from bokehmount.kernel.registry import Registry, Shown
from bokehmount.kernel.sources import Source, source_of
from bokehmount.tokens import RequestInfo

from ...kinds import the
from ..doubles import Remembering, Wire, turns


class Viewer:
    def __init__(self) -> None:
        self.outlet = Wire()


class Rig:
    """A registry, and what it did to connections."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.closed: list[tuple[list[Any], CloseCode, str, str | None]] = []
        self.stages: list[tuple[Shown, Remembering]] = []
        self.registry = Registry(loop, loop.call_soon_threadsafe, self._stage, lambda *args: self.closed.append(args))
        self.host = self.registry.host
        self._runs = 0

    def _stage(self, shown: Shown) -> Remembering:
        self.stages.append((shown, Remembering()))
        return self.stages[-1][1]

    def cell(self, *objects: Any, cell: str = "c1", name: str | None = None) -> list[Shown]:
        """Run a cell that shows these."""
        self._runs += 1
        run = CellRun(cell, str(self._runs))
        shown = [self.registry.show(source_of(obj), name, run) for obj in objects]
        self.registry.close_left_over(run)
        return shown

    async def look(self, shown: Shown) -> Viewer:
        viewer = Viewer()
        opening = Opening(f"s{id(viewer)}", "", True, RequestInfo())
        await self.host.connect(shown.path, opening, viewer)
        return viewer

    @property
    def paths(self) -> list[str]:
        assert [app.path for app in self.host] == [entry["app"] for entry in self.registry.listing()]
        return [app.path for app in self.host]


def with_rig(test: Callable[[Rig], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        async def main() -> None:
            rig = Rig()
            await test(rig)
            await rig.registry.close_all()
            assert rig.paths == []

        asyncio.run(main())

    run.__name__ = test.__name__
    return run


def hello(doc: Document) -> None:
    doc.add_root(Div(text="hello"))


def other(doc: Document) -> None:
    doc.add_root(Div(text="other"))


# Apps -----------------------------------------------------------------------------------------------------------------


@with_rig
async def test_what_is_shown_in_the_stead_of_what_can_not_be_has_its_place(rig: Rig) -> None:
    def broken() -> Application:
        raise ValueError("no")

    (placed,) = rig.cell(hello)
    run = CellRun("c1", "again")
    with pytest.raises(ValueError, match="no"):
        rig.registry.show(Source("app", application=broken), None, run)
    instead = rig.registry.show(source_of(other), None, run)
    assert instead.slot == placed.slot and rig.paths == [instead.path]


@with_rig
async def test_an_app_goes_on_where_what_shall_replace_it_can_not_be_made(rig: Rig) -> None:
    def broken() -> Application:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    (first,) = rig.cell(Application(FunctionHandler(lambda document: None)), name="app")
    viewer = await rig.look(first)
    with pytest.raises(UnicodeDecodeError):
        rig.registry.show(Source("app", application=broken), "app", CellRun("c1", "9"))
    assert rig.paths == ["/app"] and list(rig.registry) == [first] and rig.closed == []
    assert rig.host.session_of(viewer) in first.sessions


@pytest.mark.parametrize("kind", ["returned", "added"])
def test_a_figure_of_another_cell_stays_whole_when_the_session_that_showed_it_ends(kind: str) -> None:
    mine = figure(title="mine")
    mine.line([1, 2], [1, 2])
    app: Any = (lambda: mine) if kind == "returned" else (lambda doc: doc.add_root(mine))

    @with_rig
    async def run_twice(rig: Rig) -> None:
        for _ in range(2):
            (shown,) = rig.cell(app)
            await rig.look(shown)
            (session,) = shown.sessions
            assert session.document.roots == [mine]
            assert the(Title, mine.title).text == "mine" and len(mine.renderers) == 1
            await rig.registry.close_all()

    run_twice()


@with_rig
async def test_a_cell_that_runs_again_replaces_its_app_and_its_views_move(rig: Rig) -> None:
    (first,) = rig.cell(hello)
    viewer = await rig.look(first)
    (session,) = first.sessions
    (second,) = rig.cell(hello)
    assert second.path == first.path and rig.paths == [second.path]
    assert rig.closed == [([viewer], CloseCode.ENDED, "hello has ended: its cell was run again", second.path)]
    await turns(10)
    assert session.destroyed and rig.host.app(second.path) is second.app


@with_rig
async def test_a_cell_that_shows_something_else_in_the_same_place_moves_its_views_there(rig: Rig) -> None:
    (first,) = rig.cell(hello)
    viewer = await rig.look(first)
    (second,) = rig.cell(other)
    assert second.path != first.path and rig.paths == [second.path]
    assert rig.closed == [([viewer], CloseCode.ENDED, "hello has ended: its cell was run again", second.path)]
    with pytest.raises(AppNotFound):
        rig.host.app(first.path)


@with_rig
async def test_what_a_cell_shows_no_more_ends(rig: Rig) -> None:
    first, second, third = rig.cell(hello, other, hello)
    assert len({first.path, second.path, third.path}) == 3
    viewer = await rig.look(third)
    (again,) = rig.cell(hello)
    assert rig.paths == [again.path]
    assert ([viewer], CloseCode.ENDED, "hello has ended: it was closed", None) in rig.closed


@with_rig
async def test_cells_do_not_touch_each_others_apps(rig: Rig) -> None:
    (first,), (second,) = rig.cell(hello, cell="c1"), rig.cell(hello, cell="c2")
    rig.cell(cell="c3")
    assert rig.paths == [first.path, second.path]


@with_rig
async def test_an_app_with_a_name_is_replaced_from_any_cell_and_not_left_over(rig: Rig) -> None:
    (first,) = rig.cell(hello, name="mine", cell="c1")
    rig.cell(cell="c1")
    assert rig.paths == ["/mine"]
    (second,) = rig.cell(other, name="mine", cell="c2")
    assert rig.paths == ["/mine"] and rig.host.app("/mine") is second.app is not first.app


@with_rig
async def test_a_bad_name_changes_nothing(rig: Rig) -> None:
    (first,) = rig.cell(hello)
    with pytest.raises(ValueError, match="name="):
        rig.registry.show(source_of(hello), "a b", CellRun("c1", "99"))
    assert rig.paths == [first.path]


@with_rig
async def test_each_view_of_an_app_has_its_own_session(rig: Rig) -> None:
    (shown,) = rig.cell(hello)
    await rig.look(shown)
    await rig.look(shown)
    assert len({id(session.document) for session in shown.sessions}) == 2
    assert rig.registry.listing() == [
        {"app": shown.path, "title": "hello", "run": shown.run.run, "sessions": 2, "views": 2}
    ]


@with_rig
async def test_a_tab_has_the_apps_title_unless_the_app_gives_it_one(rig: Rig) -> None:
    def named(document: Document) -> None:
        document.title = "of its own"

    titles = []
    for app in (hello, named, Div(text="x", name="a div")):
        (shown,) = rig.cell(app)
        await rig.look(shown)
        titles.append(shown.sessions[0].document.title)
    assert titles == ["hello", "of its own", "a div"]


@with_rig
async def test_closing_an_app_twice_does_nothing(rig: Rig) -> None:
    (shown,) = rig.cell(hello)
    told: list[int] = []
    rig.host.changed = lambda: told.append(1)
    rig.registry.close(shown.path)
    rig.registry.close(shown.path)
    assert len(rig.closed) == len(told) == 1 and list(rig.registry) == []


@with_rig
async def test_sessions_that_nobody_looks_at_expire_and_it_is_told(rig: Rig) -> None:
    (shown,) = rig.cell(hello)
    viewer = await rig.look(shown)
    told: list[int] = []
    rig.host.changed = lambda: told.append(1)
    await rig.registry.expire(0, 0)
    assert told == []
    rig.host.disconnect(viewer, lost=False)
    await rig.registry.expire(0, 0)
    assert told == [1] and shown.sessions == [] and rig.paths == [shown.path], "the app is still there"


@with_rig
async def test_the_hooks_of_an_app_run(rig: Rig) -> None:
    from bokeh.application.application import Application
    from bokeh.application.handlers import FunctionHandler
    from bokeh.application.handlers.lifecycle import LifecycleHandler

    ran: list[str] = []

    class Hooks(LifecycleHandler):
        def on_server_loaded(self, server_context: Any) -> None:
            ran.append("loaded")

        def on_server_unloaded(self, server_context: Any) -> None:
            ran.append("unloaded")

    (shown,) = rig.cell(Application(FunctionHandler(hello), Hooks()))
    assert ran == ["loaded"]
    rig.registry.close(shown.path)
    await rig.registry.close_all()
    assert ran == ["loaded", "unloaded"]


SCRIPT = "from bokeh.plotting import curdoc\nfrom bokeh.models import Div\ncurdoc().add_root(Div(text={text!r}))\n"


def test_a_script_that_changes_is_read_again(tmp_path: Path) -> None:
    @with_rig
    async def test(rig: Rig) -> None:
        script = tmp_path / "app.py"
        seen = []
        script.write_text(SCRIPT.format(text="a"))
        (shown,) = rig.cell(script)
        for stamp, text in enumerate(["a", "b"], start=1):
            script.write_text(SCRIPT.format(text=text))
            os.utime(script, (stamp, stamp))
            await rig.look(shown)
            seen.append(shown.sessions[-1].document.roots[0].text)  # type: ignore[attr-defined]
        assert seen == ["a", "b"]

    test()


def test_an_app_directory_is_where_its_pages_expect_it_unless_another_app_is_there(tmp_path: Path) -> None:
    @with_rig
    async def test(rig: Rig) -> None:
        for folder in ("one/dash", "two/dash", "two/static", "two/my dash"):
            (tmp_path / folder).mkdir(parents=True)
            (tmp_path / folder / "main.py").write_text(SCRIPT.format(text=folder))
        (first,) = rig.cell(tmp_path / "one" / "dash", cell="c1")
        (second,) = rig.cell(tmp_path / "two" / "dash", cell="c2")
        assert first.path == "/dash" and second.path.startswith("/dash-")
        (again,) = rig.cell(tmp_path / "one" / "dash", cell="c1")
        assert again.path == "/dash" and set(rig.paths) == {"/dash", second.path}
        for name in ("static", "my dash"):  # which can't stand in a URL
            (other,) = rig.cell(tmp_path / "two" / name, cell=name)
            assert other.path.startswith(f"/{name.replace(' ', '-')}-")

    test()


def test_a_script_that_is_gone_is_said_to_be_gone(tmp_path: Path) -> None:
    @with_rig
    async def test(rig: Rig) -> None:
        script = tmp_path / "app.py"
        script.write_text(SCRIPT.format(text="a"))
        (shown,) = rig.cell(script)
        script.unlink()
        with pytest.raises(AppError, match=r"No such file or directory: .*app\.py"):
            await rig.look(shown)
        script.write_text(SCRIPT.format(text="b"))
        await rig.look(shown)

    test()


# Models ---------------------------------------------------------------------------------------------------------------


def roots_of(shown: Shown) -> list[Any]:
    (session,) = shown.sessions
    return list(session.document.roots)


@with_rig
async def test_all_views_of_a_model_share_its_document(rig: Rig) -> None:
    slider = Slider(start=0, end=9, value=0)
    (shown,) = rig.cell(slider)
    viewers = [await rig.look(shown), await rig.look(shown)]
    (session,) = shown.sessions
    assert set(session.connections) == set(viewers) and slider.document is session.document
    await rig.registry.expire(0, 0)
    for viewer in viewers:
        rig.host.disconnect(viewer, lost=False)
    await rig.registry.expire(0, 0)
    assert roots_of(shown) == [slider], "a model lives as long as its app, seen or not"


@with_rig
async def test_what_a_shared_model_prints_is_told_where_it_is_shown(rig: Rig) -> None:
    slider = Slider(start=0, end=9, value=0)
    (first,) = rig.cell(slider)
    (second,) = rig.cell(slider, cell="c2")
    viewers = {await rig.look(first), await rig.look(second)}
    assert set(rig.registry.connections_of(first)) == set(rig.registry.connections_of(second)) == viewers
    (session,) = first.sessions
    assert session.stage is second.stage, "the cell that showed it last"
    rig.registry.close(second.path)
    assert session.stage is first.stage is not None
    assert len(rig.registry.connections_of(first)) == 1


@with_rig
async def test_a_cell_that_shows_the_same_model_again_shows_it(rig: Rig) -> None:
    slider = Slider(start=0, end=9, value=0)
    (first,) = rig.cell(slider)
    viewer = await rig.look(first)
    slider.value = 5
    (second,) = rig.cell(slider)
    await turns(10)
    assert roots_of(second) == [slider] and slider.value == 5
    assert rig.closed == [([viewer], CloseCode.ENDED, "Slider has ended: its cell was run again", second.path)]
    await rig.look(second)
    assert rig.paths == [second.path]


@with_rig
async def test_callbacks_of_a_model_that_is_shown_again_run_on_the_newer_cells_stage(rig: Rig) -> None:
    slider = Slider(start=0, end=9, value=0)
    rig.cell(slider)
    (second,) = rig.cell(slider)
    ran: list[int] = []
    (session,) = second.sessions
    session.document.add_next_tick_callback(lambda: ran.append(1))
    await turns(10)
    assert ran == [1]
    assert [stage.entries for _, stage in rig.stages][-1] > 0 and rig.stages[-1][0] is second


@with_rig
async def test_a_new_model_in_a_cell_takes_the_place_of_the_old_one_which_survives(rig: Rig) -> None:
    old, new = figure(title="Speed"), figure(title="Speed")
    old.line([1], [2])
    (first,) = rig.cell(old)
    (second,) = rig.cell(new)
    await turns(10)
    assert second.path == first.path and roots_of(second) == [new]
    assert old.document is None
    the(Title, old.title).text = "still usable"
    (third,) = rig.cell(old, cell="c2")
    assert roots_of(third) == [old]


@with_rig
async def test_models_survive_the_end_of_their_app_with_their_callbacks(rig: Rig) -> None:
    slider = Slider(start=0, end=9, value=0)
    seen: list[int] = []
    slider.on_change("value", lambda attr, before, after: seen.append(after))
    (shown,) = rig.cell(slider)
    rig.registry.close(shown.path)
    await turns(10)
    slider.value = 3
    (again,) = rig.cell(slider)
    slider.value = 4
    assert seen == [3, 4] and roots_of(again) == [slider]


@with_rig
async def test_a_model_in_two_cells_has_two_apps_of_one_session_and_outlives_the_first(rig: Rig) -> None:
    slider = Slider(start=0, end=9, value=0)
    (first,), (second,) = rig.cell(slider, cell="c1"), rig.cell(slider, cell="c2")
    assert first.path != second.path and first.sessions == second.sessions
    rig.registry.close(first.path)
    await turns(10)
    assert roots_of(second) == [slider]
    await rig.look(second)
    rig.registry.close(second.path)
    await turns(10)
    assert slider.document is None


@with_rig
async def test_a_model_and_the_layout_around_it_share_a_document(rig: Rig) -> None:
    slider = Slider(start=0, end=9, value=0)
    (alone,) = rig.cell(slider, cell="c1")
    box = column(slider, Div())
    (around,) = rig.cell(box, cell="c2")
    assert alone.sessions == around.sessions and roots_of(around) == [slider, box]
    assert alone.app is not None and around.app is not None
    assert (alone.app.root, around.app.root) == (slider, box)
    rig.registry.close(alone.path)
    await turns(10)
    assert roots_of(around) == [box] and slider.document is not None


@with_rig
async def test_two_documents_become_one_when_their_models_are_shown_together(rig: Rig) -> None:
    first, second = Slider(start=0, end=9, value=0), Slider(start=0, end=9, value=0)
    (one,), (two,) = rig.cell(first, cell="c1"), rig.cell(second, cell="c2")
    viewers = [await rig.look(one), await rig.look(two)]
    assert one.sessions != two.sessions
    box = row(first, second)
    (both,) = rig.cell(box, cell="c3")
    await turns(10)
    assert one.sessions == two.sessions == both.sessions
    assert set(roots_of(both)) == {first, second, box}
    moved = [(viewer, path) for connections, _, _, path in rig.closed for viewer in connections]
    assert moved == [(viewers[1], two.path)], "only the views of the later one had to move"
    for shown in (one, two, both):
        await rig.look(shown)
    first.value = 7
    rig.registry.close(both.path)
    await turns(10)
    assert set(roots_of(one)) == {first, second} and first.value == 7


@with_rig
async def test_scheduled_callbacks_go_where_the_models_go(rig: Rig) -> None:
    first, second = Div(text="a"), Div(text="b")
    (one,), (two,) = rig.cell(first, cell="c1"), rig.cell(second, cell="c2")
    for shown in (one, two):
        await rig.look(shown)
    ran: list[tuple[str, Document]] = []
    old = the(Document, second.document)
    periodic = old.add_periodic_callback(lambda: ran.append(("periodic", curdoc())), 20)
    old.add_timeout_callback(lambda: ran.append(("timeout", curdoc())), 20)
    old.add_next_tick_callback(lambda: ran.append(("next tick", curdoc())))
    rig.cell(row(first, second), cell="c3")
    now = the(Document, second.document)
    assert now is first.document is not old
    while sum(name == "periodic" for name, _ in ran) < 3:
        await asyncio.sleep(0.02)
    assert all(document is now for _, document in ran)
    assert [name for name, _ in ran if name != "periodic"] == ["next tick", "timeout"]
    now.remove_periodic_callback(periodic)
    ran.clear()
    await asyncio.sleep(0.06)
    assert ran == [] and not now.session_callbacks and not old.session_callbacks


@with_rig
async def test_a_model_of_an_apps_session_is_refused_in_words(rig: Rig) -> None:
    (shown,) = rig.cell(hello)
    await rig.look(shown)
    stolen = shown.sessions[0].document.roots[0]
    with pytest.raises(ValueError, match="belongs to a session of an app"):
        rig.cell(stolen, cell="c2")
    with pytest.raises(ValueError, match="belongs to a session of an app"):
        rig.cell(column(stolen), cell="c2")
    assert rig.paths == [shown.path]


@with_rig
async def test_an_app_in_the_place_of_a_model_and_back(rig: Rig) -> None:
    slider = Slider(start=0, end=9, value=0)
    rig.cell(slider)
    (app,) = rig.cell(hello)
    await turns(10)
    assert slider.document is None and rig.paths == [app.path]
    (model,) = rig.cell(slider)
    assert roots_of(model) == [slider] and rig.paths == [model.path]


@with_rig
async def test_a_document_that_the_user_made_is_used(rig: Rig) -> None:
    document, slider = Document(), Slider(start=0, end=9, value=0)
    document.title = "My own"
    document.add_root(slider)
    (shown,) = rig.cell(slider)
    assert shown.sessions[0].document is document and document.title == "My own"


@contextmanager
def default_document(*roots: Model) -> Iterator[Document]:
    """What `curdoc()` is in cells, with what stock `show` has put into it."""
    before = curstate().document
    curstate().document = Document()
    for root in roots:
        curstate().document.add_root(root)
    try:
        yield curstate().document
    finally:
        curstate().document = before


@with_rig
async def test_what_stock_show_has_shown_beside_a_model_does_not_come_along(rig: Rig) -> None:
    part = Div()
    one, linked, apart = (Slider(start=0, end=9, value=0, tags=tags) for tags in ([part], [part], []))
    with default_document(one, linked, apart) as default:
        (shown,) = rig.cell(one)
        assert roots_of(shown) == [one] and default.roots == [apart]
        (again,) = rig.cell(linked, cell="c2")
        assert again.sessions == shown.sessions, "they share a part"


@with_rig
async def test_the_default_document_is_used_where_its_user_has_scheduled_something(rig: Rig) -> None:
    one, apart = (Slider(start=0, end=9, value=0) for _ in range(2))
    with default_document(one, apart) as default:
        default.add_timeout_callback(lambda: None, 1000)
        (shown,) = rig.cell(one)
        assert shown.sessions[0].document is default


PANEL = """\
import asyncio, gc, weakref
import panel as pn
from bokeh.plotting import figure
from bokehmount.kernel.naming import CellRun
from bokehmount.kernel.registry import Registry
from bokehmount.kernel.sources import source_of
from bokehmount.stage import LogStage
from bokehmount.tokens import RequestInfo

async def main():
    plot = figure()
    plot.line([1, 2], [3, 4])
    shown = pn.Column(pn.widgets.FloatSlider(), pn.pane.Bokeh(plot))
    registry = Registry(asyncio.get_running_loop(), print, lambda shown: LogStage(), print)
    context = registry.show(source_of(shown), "panel", CellRun("cell", "run")).app.context
    documents = []
    for number in range(4):
        session = await context.create_session_if_needed(f"s{number}", RequestInfo())
        documents.append(weakref.ref(session.document))
        if number:
            await context.end(context.get_session(f"s{number - 1}"))
        assert len(plot.renderers) == 1 and plot.document is session.document, number
    await context.end(session)
    assert len(plot.renderers) == 1
    session = None
    gc.collect()
    assert sum(document() is not None for document in documents) <= 1

asyncio.run(main())
"""


def test_a_figure_in_a_panel_object_stays_whole_when_one_of_its_views_is_closed() -> None:
    """In a process of its own: Panel changes Bokeh for all that runs after it."""
    run = subprocess.run([sys.executable, "-c", PANEL], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@with_rig
async def test_stock_show_of_something_else_leaves_views_of_the_default_document_as_they_are(rig: Rig) -> None:
    one, apart = (Slider(start=0, end=9, value=0) for _ in range(2))
    with default_document(one) as default:
        (shown,) = rig.cell(one)
        viewer = await rig.look(shown)
        default.add_root(apart)
        (again,) = rig.cell(one, cell="c2")
        assert one.document is default and again.sessions == shown.sessions
        assert list(again.sessions[0].connections) == [viewer]
