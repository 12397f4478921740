"""Puts back what Bokeh changes while it runs somebody's code, where that code raises: Bokeh itself forgets to.

Else one callback that raised in a cell, or one patch that was refused, would leave its Document to be what ``curdoc()``
is in all later cells, and an app file that exits would leave ``bokeh.io.show`` without effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import bokeh.io
from bokeh.application.handlers.code import CodeHandler
from bokeh.document import Document
from bokeh.io import doc as _doc
from bokeh.io.state import curstate

__all__ = ("CurdocPutBack", "filled", "io_put_back")

_PATCHED: Final[Any] = _doc._PATCHED_CURDOCS
_FORGETS: Final = isinstance(_PATCHED, list)
"""Whether this Bokeh forgets what ``curdoc()`` was: before 3.10."""


class CurdocPutBack:
    """A context after which ``curdoc()`` is what it was before.  It is entered for each change of each property."""

    __slots__ = ("_depth",)

    def __enter__(self) -> None:
        self._depth = len(_PATCHED) if _FORGETS else 0

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and _FORGETS:
            del _PATCHED[self._depth :]


@contextmanager
def io_put_back() -> Iterator[None]:
    """The same for the functions of `bokeh.io` that an app file must not call."""
    functions = {name: getattr(bokeh.io, name) for name in CodeHandler._io_functions}
    try:
        with CurdocPutBack():
            yield
    except BaseException:
        for name, function in functions.items():
            setattr(bokeh.io, name, function)
        raise


@contextmanager
def filled(document: Document) -> Iterator[None]:
    """``curdoc()`` is this Document while its app fills it, as it is in the app's callbacks.

    Bokeh does so for scripts only; Panel takes what it is asked for outside of a session's Document for all sessions'.
    """
    state = curstate()
    default = state.document
    try:
        with _doc.patch_curdoc(document):
            yield
    finally:
        state.document = default  # Panel leaves there what ``curdoc()`` was
