"""Lets stock ``output_notebook(); show(app)`` of `bokeh.io` take our road.  Figures stay Bokeh's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from weakref import ref

from bokeh.document import Document
from bokeh.document.events import DocumentChangedEvent
from bokeh.io import notebook
from bokeh.model import Model

__all__ = ("install_hook", "remove_hook")


def install_hook(show: Callable[[Any, str | None, int | None, int | None, str | None], Any]) -> None:
    """Have Bokeh show apps through a function that takes what `bokehmount.show` takes."""

    def show_app(app: Any, state: Any, notebook_url: Any = None, port: int = 0, **ignored: Any) -> None:
        """``notebook_url``, ``port`` and the other settings of a server of its own mean nothing here."""
        show(app, None, None, None, None)

    notebook.install_notebook_hook("jupyter", notebook.load_notebook, _show_doc, show_app, overwrite=True)


def remove_hook() -> None:
    """Have Bokeh show apps as it did before."""
    notebook.install_notebook_hook(
        "jupyter", notebook.load_notebook, notebook.show_doc, notebook.show_app, overwrite=True
    )


def _show_doc(obj: Any, state: Any, notebook_handle: Any = None) -> Any:
    """Show a figure as Bokeh does, also where it is live: Bokeh puts it into ``curdoc()`` first, and it can be in one
    Document only.  What is drawn is a copy in any case."""
    live = _sessions_with(obj)
    if not live:
        return notebook.show_doc(obj, state, notebook_handle)

    def follow(handle: Any) -> None:  # what push_notebook pushes
        dispatch = _dispatch_to(ref(handle))
        for document in live:
            document.callbacks.on_change(dispatch)

    # what show_doc needs of a state: a Document that has the object, and whose changes the handle may be told
    callbacks = SimpleNamespace(on_change_dispatch_to=follow)
    shown_from: Any = SimpleNamespace(document=SimpleNamespace(roots=[obj], callbacks=callbacks))
    handle: Any = notebook.show_doc(obj, shown_from, notebook_handle)
    if handle is not None:
        state.last_comms_handle = handle
    return handle


def _dispatch_to(handle: ref[Any]) -> Callable[[DocumentChangedEvent], None]:
    """A callback of Documents that ends with the handle: one that nobody can push would gather changes for ever."""

    def dispatch(event: DocumentChangedEvent) -> None:
        receiver = handle()
        if receiver is not None:
            event.dispatch(receiver)
            return
        with suppress(KeyError):  # a callback that ran before this one made a change too
            event.document.callbacks.remove_on_change(dispatch)

    return dispatch


def _sessions_with(obj: Any) -> set[Document]:
    """The sessions' Documents in which a model or parts of it live."""
    found = {part.document for part in obj.references()} if isinstance(obj, Model) else set()
    return {document for document in found if document is not None and document.session_context is not None}
