"""What an administrator may name as an app: an Application, a function, or the path of a script, notebook or folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bokeh.application import Application

from bokehmount.applications import application_of

from .tornado import as_applications

__all__ = ("app_path_of", "applications_of")


def applications_of(apps: dict[str, Any], folder: Path) -> dict[str, Application]:
    """Applications by their paths.

    Args:
        apps: what was configured, by path
        folder: where relative paths begin

    Raises:
        ValueError: an app's path is none, two are spellings of one URL, or what a file name names is none
        FileNotFoundError: it names nothing
        TypeError: something is no app
    """
    return as_applications({path: _from_file(app, folder) for path, app in apps.items()})


def app_path_of(file: str) -> str:
    """The URL path of an app that is named by its file or folder: ``apps/sliders.py`` is at ``/sliders``.

    What would mean something else in a URL is encoded: ``my app.py`` is at ``/my%20app``.  So is ``=``, up to which an
    option of traitlets reads a name.
    """
    return "/" + re.sub(r"[\s?#%=]", lambda found: quote(found[0]), Path(file).expanduser().resolve().stem)


def _from_file(app: Any, folder: Path) -> Any:
    if not isinstance(app, str | os.PathLike):
        return app
    return application_of(folder / Path(app).expanduser())()
