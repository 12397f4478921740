"""Which files and folders are apps: scripts, notebooks, and folders with one of these that is called main."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from bokeh.application.handlers import DirectoryHandler, Handler, NotebookHandler, ScriptHandler

__all__ = ("handler_of",)

_HANDLERS: Final[dict[str, Callable[..., Handler]]] = {".py": ScriptHandler, ".ipynb": NotebookHandler}


def handler_of(path: Path) -> Callable[[], Handler]:
    """What reads an app from a file or folder; nothing of it is read or run before it is called.

    Args:
        path: where it is, without a ``~``

    Raises:
        FileNotFoundError: there is nothing
        ValueError: what is there is no app
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no app at {str(path)!r} (looked in {str(Path.cwd())!r})")
    make: Any = DirectoryHandler if path.is_dir() else _HANDLERS.get(path.suffix)
    if make is None:
        raise ValueError(f"{str(path)!r} is no app: expected a .py or .ipynb file, or a folder with a main.py in it")
    if path.is_dir() and not any((path / f"main{suffix}").is_file() for suffix in _HANDLERS):
        raise ValueError(f"the folder {str(path)!r} is no app: it has neither a main.py nor a main.ipynb")
    return partial(make, filename=str(path.resolve()))
