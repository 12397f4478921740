"""`show`: the one function that a notebook's user needs."""

from __future__ import annotations

from math import inf
from numbers import Real
from typing import TYPE_CHECKING, Any

from .loading import current

if TYPE_CHECKING:
    from .handle import Handle

__all__ = ("show",)


def show(
    obj: Any, name: str | None = None, width: float | None = None, height: float | None = None, new: str | None = None
) -> Handle:
    """Show something as a live Bokeh app, in the output of this cell or in a browser tab.

    Running the cell again replaces the app; its open views move to the new one.  Without a Jupyter server around,
    the app runs once and a static picture of it is displayed.

    Args:
        obj: a function ``app(doc)``, which gets a new Document for each view, or one without arguments that returns
            what each view is to show; a Bokeh ``Application``; a Bokeh model, figure or layout, which lives in one
            Document that all its views share; a path to a ``.py`` app, an app directory or an ``.ipynb``; a Panel or
            HoloViews object
        name: the app's name in its URL; made from the cell where None
        width: CSS pixels; as wide as the cell where None
        height: CSS pixels; as high as its content where None
        new: ``"tab"`` opens it in a browser tab, instead of in the cell

    Returns:
        a handle with ``url``, ``sessions``, ``documents`` and ``close()``

    Raises:
        TypeError: obj is nothing that can be shown; the message names its type and what is accepted
        ValueError: name, width, height or new is not what it may be, obj is a path to something else than an app, or a
            model that belongs to a session of another; the message says the rule
        FileNotFoundError: obj is a path at which there is nothing
        RuntimeError: it is called in another thread than the kernel's main thread, where apps live
    """
    width, height = _pixels("width", width), _pixels("height", height)
    if new not in (None, "tab"):
        raise ValueError(f'new={new!r}: give "tab" for a browser tab, or None for the cell')
    return current().show(obj, name, width, height, new)


def _pixels(what: str, value: float | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < inf or value != int(value):
        raise ValueError(f"{what}={value!r}: give a whole number of pixels above 0, or None")
    return int(value)
