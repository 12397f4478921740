"""What `show` takes, and what becomes of it: an application, or a model that lives in one shared Document."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bokeh.application.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.document import Document
from bokeh.model import Model
from bokeh.models.ui import UIElement

from ..applications import application_of, application_of_function, application_with, why_no_app
from ..of_panel import has_template

__all__ = ("ACCEPTED", "Source", "source_of")

ACCEPTED = (
    "a function app(doc), a function without arguments that returns what is to be seen, a Bokeh Application, a Bokeh "
    "model, figure or layout, a path to a .py app, an app directory or an .ipynb, or a Panel or HoloViews object"
)


@dataclass(frozen=True, slots=True)
class Source:
    """Something that can be shown.

    Args:
        title: what people may call it
        application: makes a new Document for each view; None for a model
        model: lives in one Document that all its views share; None for an application
        files: the file or folder it is read from; it is read again when that changes
        owns_models: whether the models of a Document are of no use any more when its session ends; a function
            and a Panel object may put their user's own figure into each Document
    """

    title: str
    application: Callable[[], Application] | None = None
    model: Model | None = None
    files: Path | None = None
    owns_models: bool = True


def source_of(obj: object) -> Source:
    """Find out what an object is.

    Raises:
        TypeError: it is nothing that can be shown, or a function that takes other arguments
        FileNotFoundError: it is a path at which there is nothing
        ValueError: it is a path to something else than an app
    """
    if isinstance(obj, Application):
        return Source(_application_title(obj), lambda: obj)
    if isinstance(obj, Model):
        return _of_model(obj)
    if isinstance(obj, str | os.PathLike):
        return _of_path(Path(os.fspath(obj)).expanduser())
    if (viewable := _panel_viewable(obj)) is not None:
        return Source(
            _panel_title(obj, viewable),
            lambda: application_with(FunctionHandler(_panel_app(viewable), trap_exceptions=False)),
            owns_models=False,
        )
    if isinstance(obj, list | tuple) and obj and all(isinstance(item, UIElement) for item in obj):
        from bokeh.layouts import column

        return _of_model(column(*obj))
    if callable(obj) and not inspect.isclass(obj):
        return _of_function(obj)
    raise TypeError(f"show() can't show {_described(obj)}; it takes {ACCEPTED}")


def _described(obj: object) -> str:
    if obj is None:
        return "None: give it the app function itself, show(app), not what a call of it returns"
    if inspect.isclass(obj):
        return f"the class {obj.__name__}: make one, as in show({obj.__name__}(...))"
    return f"a value of type {_type_name(obj)}"


def _type_name(obj: object) -> str:
    kind = type(obj)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _of_model(model: Model) -> Source:
    if not isinstance(model, UIElement):
        raise TypeError(
            f"show() can't show a {type(model).__name__}: it is a part of a figure or layout; show() takes {ACCEPTED}"
        )
    title = getattr(getattr(model, "title", None), "text", None) or model.name or type(model).__name__
    return Source(title if isinstance(title, str) else type(model).__name__, model=model)


def _of_function(function: Callable[..., Any]) -> Source:
    name = getattr(function, "__name__", type(function).__name__)
    takes_document = _takes(function, Document()) and not _does_without(function)
    if not takes_document and not _takes(function):
        raise TypeError(
            f"show() can't show the function {name!r}: an app is called with one argument, the Document, as app(doc), "
            "or with none, and returns what is to be seen"
        )
    if (why := why_no_app(function)) is not None:
        raise TypeError(f"show() can't show {name!r}, which {why}; show() takes {ACCEPTED}")

    def app(doc: Document) -> None:  # a handler refuses some that can be called like this: def app(doc, **options)
        made = function(doc) if takes_document else function()
        if takes_document and _is_filled(doc):
            return
        if not (_put(made, doc) or _is_filled(doc) or takes_document):
            raise TypeError(
                f"{name}() returned {made!r:.100}: a function without arguments returns what is to be seen, a Bokeh "
                "model, figure or layout, or a Panel or HoloViews object; one with an argument fills the Document, as "
                "app(doc)"
            )

    return Source(
        "app" if name == "<lambda>" else name,
        partial(application_of_function, function, app),
        owns_models=False,
    )


def _takes(function: Callable[..., Any], *args: object) -> bool:
    try:
        inspect.signature(function).bind(*args)
    except (TypeError, ValueError):
        return False
    return True


def _does_without(function: Callable[..., Any]) -> bool:
    """Whether a function that could be called with a Document has another value for its first argument."""
    first = next(iter(inspect.signature(function).parameters.values()))
    return not (first.default is first.empty or isinstance(first.default, Document | None))


def _is_filled(doc: Document) -> bool:
    return bool(doc.roots) or has_template(doc)


def _put(made: object, doc: Document) -> bool:
    """Put what a function returned into its Document, where it has not done so itself, as by ``.servable()``.

    Returns:
        whether it is something that can be seen
    """
    models: Sequence[Any] = made if isinstance(made, list | tuple) else [made]
    if (viewable := _panel_viewable(made)) is not None:
        if not _is_filled(doc):
            _panel_app(viewable)(doc)
        return True
    if not models or not all(isinstance(model, UIElement) for model in models):
        return False
    try:
        for model in models:
            if model.document is not doc:
                doc.add_root(model)
    except RuntimeError as error:
        raise RuntimeError(
            f"{error}: another view has it. Make all that is to be seen within the function, which is called for each "
            "view, or show() the figure itself, which its views share"
        ) from error
    return True


def _application_title(application: Application) -> str:
    for handler in application.handlers:
        function = getattr(handler, "_func", None)
        if function is not None:
            return getattr(function, "__name__", "app").replace("<lambda>", "app")
        path = handler.url_path()
        if path:
            return path.strip("/")
    return "app"


def _of_path(path: Path) -> Source:
    make, files = application_of(path), path.resolve()
    return Source(files.name if files.is_dir() else files.stem, make, files=files)


def _panel_viewable(obj: object) -> Any:
    """A Panel object for what is one, or what only Panel can show; None for all else, without importing Panel."""
    panel = sys.modules.get("panel.viewable")
    if panel is not None and hasattr(obj, "_dinfo"):  # of pn.bind or pn.depends, as param marks it
        import panel as pn

        return pn.panel(obj)
    if panel is not None and isinstance(obj, panel.Viewable | panel.Viewer):
        return obj
    module = type(obj).__module__.partition(".")[0]
    if module == "panel":  # such as a template, which is none of the two
        return obj if hasattr(obj, "server_doc") else None
    holoviews = sys.modules.get("holoviews")
    if holoviews is not None and isinstance(
        obj, holoviews.core.Dimensioned | holoviews.core.Layout | holoviews.core.AdjointLayout
    ):
        import panel as pn

        return pn.pane.HoloViews(obj)  # type: ignore[no-untyped-call]
    return None


def _panel_title(obj: object, viewable: Any) -> str:
    title = getattr(viewable, "title", None) or getattr(viewable, "name", None)
    if not isinstance(title, str) or not title:
        return type(obj).__name__
    return re.sub(r"\d{5}$", "", title)  # the number with which Panel makes a name where its user gave none


def _panel_app(viewable: Any) -> Callable[[Document], None]:
    def panel_app(doc: Document) -> None:
        import panel as pn

        servable: Any = viewable if hasattr(viewable, "server_doc") else pn.panel(viewable)
        servable.server_doc(doc=doc)

    return panel_app
