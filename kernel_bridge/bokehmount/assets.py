"""Hands out the files that pages of this process need: its BokehJS, its extensions' files, its apps' static folders."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from bokeh.embed.bundle import extension_dirs
from bokeh.settings import settings

from .of_panel import component_file

__all__ = ("Asset", "bokehjs_version", "file_below", "read_asset", "versioned")

_MOST_KEPT = 4 * 2**20
"""Bytes of a file that is kept in memory: BokehJS and Panel's bundle are within it."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file: its bytes, MIME type, and a version that changes when its content does."""

    content: bytes
    content_type: str
    version: str


def read_asset(path: str, app_static: str | None = None) -> Asset | None:
    """A file by its path below ``static/``.

    Args:
        path: such as ``js/bokeh.min.js`` or ``extensions/panel/panel.min.js``, or below the app's folder;
            ``components/…`` as Panel has it
        app_static: the app's own static folder, where the file is asked of an app

    Returns:
        the file, or None where there is none or the path leads out of its folder
    """
    found = _locate(path, app_static)
    if found is None:
        return None
    facts = found.stat()
    if app_static is not None or facts.st_size > _MOST_KEPT:
        return _read(found)
    return _kept(found, facts.st_mtime_ns)


def versioned(path: str) -> str:
    """A path below ``static/`` with the version of its content, which lets a browser keep it for good."""
    asset = read_asset(path)
    return f"{path}?v={asset.version}" if asset is not None else path


@lru_cache(maxsize=1)
def bokehjs_version() -> str:
    """Tells the BokehJS of one installation from that of another."""
    return hashlib.sha256(repr((str(settings.bokehjs_path()), versioned("js/bokeh.min.js"))).encode()).hexdigest()[:16]


def _locate(path: str, app_static: str | None) -> Path | None:
    parts = path.split("/")
    if app_static is not None:
        root, rest = Path(app_static), parts
    elif parts[0] == "extensions" and len(parts) > 2:
        folder = extension_dirs.get(parts[1])
        if folder is None:
            return None
        root, rest = Path(folder), parts[2:]
    else:
        root, rest = Path(settings.bokehjs_path()), parts
    if parts[0] == "components" and app_static is None:
        return component_file("/".join(parts[1:]))
    return file_below(root, *rest)


def file_below(folder: Path, *parts: str) -> Path | None:
    """The file at this path in a folder; None where there is none, or it is elsewhere."""
    try:
        root = folder.resolve()
        found = root.joinpath(*parts).resolve()
        return found if found.is_relative_to(root) and found.is_file() else None
    except (OSError, ValueError):  # a name that no file can have
        return None


_VERSIONED: Final = re.compile(r"@\d[\w.]*$")
"""The end of the name of a script that Panel took from a CDN, as ``vega@6``: a page takes no script of unknown kind."""


@lru_cache(maxsize=64)
def _kept(path: Path, modified: int) -> Asset:
    return _read(path)


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if path.suffix in (".js", ".mjs") or _VERSIONED.search(path.name):
        kind = "text/javascript"
    return Asset(content, kind, hashlib.sha256(content).hexdigest()[:32])
