"""What models bring to a page beside BokehJS: a library's files, or source code that Bokeh compiles with Node.js.

Bokeh keeps a class that a script made when the script's module has gone with its session, and then fails to import that
module for every page of every app; here such a class goes too, or what Bokeh asks the module for is noted in time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterator
from contextlib import redirect_stderr
from functools import lru_cache
from io import StringIO
from typing import Any, TypeVar

from bokeh.core.has_props import HasProps, _default_resolver
from bokeh.util import compiler
from bokeh.util.compiler import CustomModel

from .errors import AppError

__all__ = ("compiling", "what_models_bring")

T = TypeVar("T")


def what_models_bring() -> Hashable:
    """Tells what pages need now from what they needed before: how many classes there are, and the code of some."""
    known = tuple(HasProps.model_class_reverse_map.values())
    return len(known), frozenset(_code(_others(known)))


@lru_cache(maxsize=1)
def _others(known: tuple[Any, ...]) -> list[Any]:
    """Those of compiled models and of scripts: few, and hundreds of Bokeh's own need not be asked for each page."""
    return [
        cls
        for cls in known
        if not cls.__module__.startswith("bokeh.") and (_is_compiled(cls) or cls.__module__.startswith("bokeh_app_"))
    ]


def _code(classes: list[Any]) -> Iterator[tuple[str, str]]:
    for cls in classes:
        if cls.__module__.startswith("bokeh_app_"):
            if cls.__module__ in sys.modules:
                _note(cls)
            elif not _is_noted(cls):
                _forget(cls)
                continue
        if _is_compiled(cls):
            yield cls.__qualified_model__, _implementation(cls).code


def _is_compiled(cls: Any) -> bool:
    return getattr(cls, "__implementation__", None) is not None


def _note(cls: Any) -> None:
    """Other sessions may still need the class when its own is over: only the last one of a name is known to Bokeh."""
    if _is_compiled(cls) and not _is_noted(cls):
        cls.__implementation__, cls.__base_path__ = _implementation(cls), CustomModel(cls).path


def _is_noted(cls: Any) -> bool:
    code = vars(cls).get("__implementation__")
    return "__base_path__" in vars(cls) and getattr(code, "file", None) is not None


def _forget(cls: Any) -> None:
    if HasProps.model_class_reverse_map.get(cls.__qualified_model__) is cls:
        _default_resolver.remove(cls)  # type: ignore[attr-defined]  # the stub lacks it


def _implementation(cls: Any) -> Any:
    try:
        return CustomModel(cls).implementation
    except OSError as error:
        raise AppError(f"the code of {cls.__name__} can't be read: {error}") from error


def compiling(make: Callable[[], T]) -> T:
    """Make something for which Bokeh may have to compile models.

    Raises:
        AppError: one can't be compiled; Bokeh would end the process
    """
    # Bokeh takes a model for the one that it compiled before if it has the same name, also when its code is another
    compiler._bundle_cache.clear()
    said = StringIO()
    try:
        with redirect_stderr(said):
            return make()
    except SystemExit:
        raise AppError("a model's code can't be compiled", said.getvalue()) from None
    except RuntimeError as error:
        raise AppError(f"a model's code can't be compiled: {error}", said.getvalue()) from error
    finally:
        sys.stderr.write(said.getvalue())
