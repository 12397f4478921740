"""Tests of notebooks and apps, as a pytest plugin: a real Jupyter server, a real kernel, a view as a browser has one.

Importing this package costs nothing that a test run without our fixtures would notice; the parts are imported by them.
See docs/testing.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .notebook import RunningNotebook
    from .server import JupyterServer
    from .view import View, ViewClosed, WaitedInVain
    from .visitor import Visitor

__all__ = ("JupyterServer", "RunningNotebook", "View", "ViewClosed", "Visitor", "WaitedInVain")

_HOMES = {
    "JupyterServer": "server",
    "RunningNotebook": "notebook",
    "View": "view",
    "ViewClosed": "view",
    "Visitor": "visitor",
    "WaitedInVain": "view",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
