"""The apps of this kernel: what replaces what, and which models share a Document.  On the main thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bokeh.application.application import Application
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.document.document import DEFAULT_TITLE
from bokeh.io.state import curstate
from bokeh.model import Model
from bokeh.util.token import generate_session_id

from .. import documents
from ..apphost import App, AppHost
from ..contexts import ApplicationContext
from ..errors import CloseCode
from ..sending import Connection
from ..session import ServerSession
from ..stage import Stage
from .naming import CellRun, Slot, Slots, checked_path
from .sources import Source

__all__ = ("Closer", "Registry", "Shown")

Closer = Callable[[list[Connection], CloseCode, str, str | None], None]
MakeStage = Callable[["Shown"], Stage]

_PATIENCE: Final = 2.0
"""Seconds that the end of all apps waits for sessions that are at work."""

_LEAVE: Final = 60.0
"""Seconds that a session may still be at work, as in a callback that awaits, when its app is over."""


@dataclass(eq=False)
class Shown:
    """An app that a cell showed.

    Args:
        path: where it is
        title: what people call it
        slot: the place in its cell; None for an app that its user named
        run: the execution that showed it
        stage: where its callbacks run
    """

    path: str
    title: str
    slot: Slot | None
    run: CellRun
    app: App | None = None
    stage: Stage | None = None

    @property
    def sessions(self) -> list[ServerSession]:
        """Its living sessions."""
        return list(self.app.context.sessions) if self.app is not None else []


class Registry:
    """All apps of a kernel.

    Args:
        loop: the main thread's loop
        flush_later: see `ServerSession`
        make_stage: where the callbacks of an app run
        close: closes connections with a code, a sentence and the path to go to instead
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        flush_later: Callable[[Callable[[], None]], object],
        make_stage: MakeStage,
        close: Closer,
    ) -> None:
        self.host = AppHost()
        self._loop = loop
        self._flush_later = flush_later
        self._make_stage = make_stage
        self._close = close
        self._shown: dict[str, Shown] = {}
        self._slots = Slots()
        self._tasks: set[asyncio.Task[Any]] = set()

    def __iter__(self) -> Iterator[Shown]:
        return iter(tuple(self._shown.values()))

    def listing(self) -> list[dict[str, Any]]:
        """Each app's path, title, the run of the cell that showed it, number of sessions and views."""
        return [
            {
                "app": shown.path,
                "title": shown.title,
                "run": shown.run.run,
                "sessions": len(shown.sessions),
                "views": len(self.host.connections_of(shown.app)) if shown.app is not None else 0,
            }
            for shown in tuple(self._shown.values())
        ]

    def show(self, source: Source, name: str | None, run: CellRun) -> Shown:
        """Have an app for this; it replaces the one of the same name, or of the same place in the same cell.

        Raises:
            ValueError: the name can't be one, or a model belongs to another app's session
        """
        slot = self._slots.take(run) if name is None else None
        path = checked_path(name) if name is not None else self._path_of(source, slot)
        try:
            return self._show(source, Shown(path, source.title, slot, run))
        except BaseException:
            if slot is not None:  # what is shown in its stead is the cell's app then
                self._slots.give_back(run)
            raise

    def _show(self, source: Source, shown: Shown) -> Shown:
        if source.model is not None:
            # before what it replaces is taken out: where that shows the same Document, its session goes on
            shown.app = self._app_of_model(shown, source.model, self._document_for(source.model))
            replaced = self._take_out(shown)
        else:
            assert source.application is not None, "a source is an application or a model"
            # before what it replaces is taken out, which goes on where this raises
            context = self._context(shown, _renewed(source.application, source.files), source.owns_models)
            replaced = self._take_out(shown)
            shown.app = App(shown.path, context, source.title)
        self._shown[shown.path] = shown
        self.host.add(shown.app)
        for earlier in replaced:
            self._end(earlier, "its cell was run again", moved=shown.path)
        return shown

    def _path_of(self, source: Source, slot: Slot | None) -> str:
        assert slot is not None, "an app that its user did not name has a place in its cell"
        if source.files is not None and source.files.is_dir():
            # where its own pages expect it, as in href="its-name/static/style.css", unless another app is there
            with suppress(ValueError):
                path = checked_path(source.files.name)
                there = self._shown.get(path)
                if there is None or there.slot == slot:
                    return path
        return slot.path(source.title)

    def __contains__(self, shown: Shown) -> bool:
        """Whether it has neither ended nor been replaced."""
        return self._shown.get(shown.path) is shown

    def close(self, path: str) -> None:
        """End an app; nothing happens where there is none."""
        shown = self._shown.pop(path, None)
        if shown is not None:
            self.host.remove(path)
            self._end(shown, "it was closed")

    def close_left_over(self, run: CellRun) -> None:
        """A cell's run has ended: end the apps that only its earlier runs showed."""
        slots = {shown.slot: path for path, shown in self._shown.items() if shown.slot is not None}
        for slot in self._slots.left_over(run, list(slots)):
            self.close(slots[slot])

    async def close_all(self) -> None:
        """End all apps, and wait until their hooks have run; sessions that are at work end later."""
        for path in list(self._shown):
            self.close(path)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_PATIENCE)

    async def expire(self, linger: float, linger_lost: float) -> None:
        """End the sessions that nobody looks at any more."""
        before = sum(len(shown.sessions) for shown in self._shown.values())
        await self.host.expire(linger, linger_lost)
        if before != sum(len(shown.sessions) for shown in self._shown.values()):
            self.host.changed()

    def _take_out(self, shown: Shown) -> list[Shown]:
        """Those that this one replaces, out of the host already."""
        replaced = [
            earlier
            for earlier in self._shown.values()
            if earlier.path == shown.path or (shown.slot is not None and earlier.slot == shown.slot)
        ]
        for earlier in replaced:
            del self._shown[earlier.path]
            self.host.remove(earlier.path)
        return replaced

    def _end(self, shown: Shown, why: str, moved: str | None = None) -> None:
        app = shown.app
        assert app is not None, "an app that is shown has been made"
        self._close(self.host.connections_of(app), CloseCode.ENDED, f"{shown.title} has ended: {why}", moved)
        if app.shared_session is not None:
            self._leave_document(app)
        else:
            self._start(self._end_context(app.context))

    async def _end_context(self, context: ApplicationContext) -> None:
        await context.end_all(_LEAVE)
        context.run_unload_hook()

    def _start(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _context(
        self, shown: Shown, application: Application | Callable[[], Application], owns_models: bool = True
    ) -> ApplicationContext:
        context = ApplicationContext(
            application,
            self._loop,  # type: ignore[arg-type]  # a session takes either kind of loop
            url=shown.path,
            stage=self._set_stage(shown),
            make_session=partial(self._session, shown.title, owns_models),
            reads_requests=True,
        )
        context.run_load_hook()
        return context

    def _set_stage(self, shown: Shown) -> Stage:
        shown.stage = stage = self._make_stage(shown)
        return stage

    def _session(self, title: str, owns_models: bool, session_id: ID, document: Document, **more: Any) -> ServerSession:
        if document.title == DEFAULT_TITLE:  # what stands on its tab
            document.title = title
        return ServerSession(session_id, document, flush_later=self._flush_later, owns_models=owns_models, **more)

    # Models that share a Document ------------------------------------------------------------------------------------

    def _document_for(self, model: Model) -> Document:
        """The Document in which a model and all that it refers to shall live: that in which they live, or a new one."""
        if not self._apps_of(curstate().document):  # else there are views of what is in it
            _leave_default_document(model)
        found = {id(part.document): part.document for part in model.references() if part.document is not None}
        if not found:
            return Document()
        for document in found.values():
            self._check_free(document, model)
        first, *others = sorted(found.values(), key=self._age)
        for other in others:
            self._merge(other, first)
        return first

    def _age(self, document: Document) -> int:
        """How many apps were shown before the one that shows this Document first."""
        shows = (any(session.document is document for session in shown.sessions) for shown in self._shown.values())
        return next((age for age, it_does in enumerate(shows) if it_does), len(self._shown))

    def _check_free(self, document: Document, model: Model) -> None:
        if document.session_context is not None and not self._apps_of(document):
            raise ValueError(
                f"show() can't show this {type(model).__name__}: it or a part of it belongs to a session of an app; "
                "make a new model, or show the app"
            )

    def _apps_of(self, document: Document) -> list[Shown]:
        return [
            shown
            for shown in self._shown.values()
            if shown.app is not None
            and shown.app.shared_session is not None
            and any(session.document is document for session in shown.sessions)
        ]

    def _merge(self, document: Document, into: Document) -> None:
        """Models of two Documents are shown together: they live in one from now on, and so do their views."""
        moved = self._apps_of(document)
        documents.move(document, into)
        for shown in moved:
            assert shown.app is not None and shown.app.root is not None
            self.host.remove(shown.path)
            self._close(self.host.connections_of(shown.app), CloseCode.ENDED, "it moved", shown.path)
            self._start(self._end_context(shown.app.context))
            shown.app = self._app_of_model(shown, shown.app.root, into)
            self.host.add(shown.app)

    def _app_of_model(self, shown: Shown, model: Model, document: Document) -> App:
        if model not in document.roots:
            document.add_root(model)
        sharing = self._apps_of(document)
        if sharing and sharing[0].app is not None:
            context, session_id = sharing[0].app.context, sharing[0].app.shared_session
            _run_on(context, self._set_stage(shown))  # the cell that showed it last
        else:
            context, session_id = self._context(shown, Application()), generate_session_id(signed=False)
            context.adopt(session_id, document)
        return App(shown.path, context, shown.title, root=model, shared_session=session_id)

    def _leave_document(self, app: App) -> None:
        """An app of a model is over: the model leaves the Document unless another app shows it there."""
        sharing = self._beside(app)
        session = app.context.living(app.shared_session or "")
        if session is None:
            return
        if app.root is not None and all(other.app is None or other.app.root is not app.root for other in sharing):
            session.document.remove_root(app.root)
        if not sharing:
            session.document.clear()
            self._start(self._end_context(app.context))
        elif sharing[-1].stage is not None:
            _run_on(app.context, sharing[-1].stage)

    def _beside(self, app: App) -> list[Shown]:
        """What is shown of the same context: the app itself, and those that share its Document."""
        return [
            shown for shown in tuple(self._shown.values()) if shown.app is not None and shown.app.context is app.context
        ]

    def connections_of(self, shown: Shown) -> list[Connection]:
        """Who looks at an app, or at another that shares its Document.  Safe on any thread."""
        beside = self._beside(shown.app) if shown.app is not None else []
        return [
            connection for each in beside if each.app is not None for connection in self.host.connections_of(each.app)
        ]


def _run_on(context: ApplicationContext, stage: Stage) -> None:
    context.stage = stage
    for session in context.sessions:
        session.stage = stage


def _leave_default_document(model: Model) -> None:
    """Take a model out of ``curdoc()`` where stock ``show`` has put it among all else that it showed; and with it those
    that share a part with it, as a model can live in one Document only.

    One that its user has filled with nothing else, or where something is scheduled, is used as any other Document.
    """
    default, family, leaving = curstate().document, model.references(), list[Model]()
    others = {root: root.references() for root in default.roots}
    while related := [root for root, parts in others.items() if not family.isdisjoint(parts)]:
        family = family.union(*(others.pop(root) for root in related))
        leaving += related
    if others and not default.session_callbacks:
        for root in leaving:
            default.remove_root(root)


def _renewed(make: Callable[[], Application], files: Path | None) -> Callable[[], Application]:
    """Makes an application that is read from files anew when they change, or when it failed."""
    made: list[tuple[float, Application]] = []

    def application() -> Application:
        stamp = _stamp(files) if files is not None else 0.0
        if not made or made[0][0] != stamp or any(handler.failed for handler in made[0][1].handlers):
            made[:] = [(stamp, make())]
        return made[0][1]

    return application


def _stamp(files: Path) -> float:
    found = [files, *files.rglob("*")] if files.is_dir() else [files]
    times = (path.stat().st_mtime for path in found if path.exists() and "__pycache__" not in path.parts)
    return max(times, default=0.0)  # none where all is gone, of which reading it will tell
