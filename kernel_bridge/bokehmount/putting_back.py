"""Puts back what Bokeh changes while it runs somebody's code, where that code raises: Bokeh itself forgets to.

Else one callback that raised in a cell, or one patch that was refused, would leave its Document to be what ``curdoc()``
is in all later cells, and an app file that exits would leave ``bokeh.io.show`` without effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bokeh.io
from bokeh.application.handlers.code import CodeHandler
from bokeh.io import doc as _doc

__all__ = ("curdoc_put_back", "io_put_back")


@contextmanager
def curdoc_put_back() -> Iterator[None]:
    """Afterwards ``curdoc()`` is what it was before."""
    depth = len(_doc._PATCHED_CURDOCS)
    try:
        yield
    except BaseException:
        del _doc._PATCHED_CURDOCS[depth:]
        raise


@contextmanager
def io_put_back() -> Iterator[None]:
    """The same for the functions of `bokeh.io` that an app file must not call."""
    functions = {name: getattr(bokeh.io, name) for name in CodeHandler._io_functions}
    try:
        with curdoc_put_back():
            yield
    except BaseException:
        for name, function in functions.items():
            setattr(bokeh.io, name, function)
        raise
