"""What an administrator may name as an app: an Application, a function, or the path of a script, notebook or folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bokeh.application import Application
from bokeh.application.handlers import DirectoryHandler, NotebookHandler, ScriptHandler

from .tornado import as_applications

__all__ = ("app_path_of", "applications_of", "checked_file")

_HANDLERS: dict[str, Callable[..., Any]] = {".py": ScriptHandler, ".ipynb": NotebookHandler}


def applications_of(apps: dict[str, Any], folder: Path) -> dict[str, Application]:
    """Applications by their paths.

    Args:
        apps: what was configured, by path
        folder: where relative paths begin

    Raises:
        ValueError: an app's path is none, or there is no app where one was named
        TypeError: something is no app
    """
    return as_applications({path: _from_file(app, folder) for path, app in apps.items()})


def app_path_of(file: str) -> str:
    """The URL path of an app that is named by its file or folder: ``apps/sliders.py`` is at ``/sliders``.

    What would mean something else in a URL is encoded: ``my app.py`` is at ``/my%20app``.  So is ``=``, up to which an
    option of traitlets reads a name.
    """
    return "/" + re.sub(r"[\s?#%=]", lambda found: quote(found[0]), Path(file).expanduser().resolve().stem)


def checked_file(app: str | os.PathLike[str], folder: Path) -> Path:
    """The script, notebook or folder that was named as an app; nothing of it is run.

    Args:
        app: its path
        folder: where relative paths begin

    Raises:
        ValueError: there is no app
    """
    path = (folder / Path(app).expanduser()).resolve()
    if path.is_dir():
        if not any((path / name).is_file() for name in ("main.py", "main.ipynb")):
            raise ValueError(f"the folder {str(path)!r} is no app: it has neither a main.py nor a main.ipynb")
    elif not path.is_file():
        raise ValueError(f"there is no app at {str(path)!r}: expected a .py or .ipynb file, or a folder with a main.py")
    elif path.suffix not in _HANDLERS:
        raise ValueError(f"{str(path)!r} is no app: expected a .py or .ipynb file, or a folder with a main.py")
    return path


def _from_file(app: Any, folder: Path) -> Any:
    if not isinstance(app, str | os.PathLike):
        return app
    path = checked_file(app, folder)
    handler: Callable[..., Any] = DirectoryHandler if path.is_dir() else _HANDLERS[path.suffix]
    return Application(handler(filename=str(path)))
