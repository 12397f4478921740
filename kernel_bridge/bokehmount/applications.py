"""Applications of handlers and of files: scripts, notebooks, and folders with one of these that is called main."""

from __future__ import annotations

import dis
import inspect
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from bokeh.application import Application
from bokeh.application.handlers import DirectoryHandler, FunctionHandler, Handler, NotebookHandler, ScriptHandler
from bokeh.core.validation import silence
from bokeh.core.validation.warnings import EMPTY_LAYOUT
from bokeh.document import Document

__all__ = ("application_of", "application_of_function", "application_with", "tell_panel", "why_no_app")

_HANDLERS: Final[dict[str, Callable[..., Handler]]] = {".py": ScriptHandler, ".ipynb": NotebookHandler}

_PANEL: Final = "panel.io.application"

_BRING_PANEL: Final = ("panel", "holoviews", "hvplot")

_IMPORTS_PANEL: Final = re.compile(
    rb'(?:^|[\n"]|\\n)\s*(?:from\s+|import\s(?:[^\n#"]*[\s,])?)(?:%s)\b' % "|".join(_BRING_PANEL).encode(), re.ASCII
)
"""In a script, or in a notebook's JSON."""


def application_with(handler: Handler) -> Application:
    """An application; where Panel is in use one of its kind, by which Panel learns when a view is there."""
    panel = _panel()
    make: Callable[[Handler], Application] = Application if panel is None else panel.Application
    return make(handler)


def application_of_function(function: Callable[..., Any], app: Callable[[Document], None]) -> Application:
    """The application of a user's function; Panel is there before it is made if the function imports it.

    Args:
        function: the user's
        app: calls it and fills a Document
    """
    if _code_imports_panel(function):
        _load_panel()
    return application_with(FunctionHandler(app, trap_exceptions=False))


def _code_imports_panel(function: Callable[..., Any]) -> bool:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is not None and any(
        step.opname == "IMPORT_NAME" and step.argval.partition(".")[0] in _BRING_PANEL
        for step in dis.get_instructions(code)
    )


def tell_panel(application: Application, document: Document) -> None:
    """Have Panel do what its kind of application does with a new Document, where the app's is of another kind.

    So it is where an app imports Panel only when it is run, and where its user has made the application.
    """
    panel = _panel()
    if panel is not None and not isinstance(application, panel.Application):
        panel.Application().initialize_document(document)


def _panel() -> Any:
    """What knows Panel's applications, where Panel is in use: its own server has Bokeh say nothing of empty layouts."""
    panel = sys.modules.get(_PANEL)
    if panel is not None:
        silence(EMPTY_LAYOUT)
    return panel


def application_of(path: Path) -> Callable[[], Application]:
    """What makes the application of a file or folder; nothing of it is read or run before it is called.

    Args:
        path: where it is, without a ``~``

    Raises:
        FileNotFoundError: there is nothing
        ValueError: what is there is no app
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no app at {str(path)!r} (looked in {str(Path.cwd())!r})")
    handler: Any = DirectoryHandler if path.is_dir() else _HANDLERS.get(path.suffix)
    if handler is None:
        raise ValueError(f"{str(path)!r} is no app: expected a .py or .ipynb file, or a folder with a main.py in it")
    if path.is_dir() and not any((path / f"main{suffix}").is_file() for suffix in _HANDLERS):
        raise ValueError(f"the folder {str(path)!r} is no app: it has neither a main.py nor a main.ipynb")
    return partial(_made, handler, path.resolve())


def why_no_app(function: Callable[..., Any]) -> str | None:
    """Why what takes a Document would still not fill it, which its first view would learn too late; None where it may.

    Returns:
        what the function is, in words that go on after its name
    """
    if inspect.isbuiltin(function) and _module_of(function) in sys.stdlib_module_names:
        return "is Python's own, and puts nothing into a Document"
    if any(map(inspect.iscoroutinefunction, (function, type(function).__call__))):
        return "is async: an app is an ordinary function; its callbacks may be async"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "is a generator, which does nothing when it is called: an app is a function without yield"
    return None


def _module_of(function: Any) -> str:
    """Where a function written in C is from; a method has no module of its own, but its class has."""
    if function.__module__ is not None:
        return str(function.__module__)
    bound = function.__self__
    return (bound if isinstance(bound, type) else type(bound)).__module__


def _made(handler: Callable[..., Handler], path: Path) -> Application:
    if any(map(_imports_panel, _sources(path))):
        _load_panel()
    return application_with(handler(filename=str(path)))


def _load_panel() -> None:
    """Panel has to be there before an app that uses it is made; it takes too long to be imported for others."""
    with suppress(ImportError):  # the app itself will say so
        import_module(_PANEL)


def _sources(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for suffix in _HANDLERS for file in path.glob(f"*{suffix}")]


def _imports_panel(file: Path) -> bool:
    return _IMPORTS_PANEL.search(file.read_bytes()) is not None
