"""How paths are spelled in URLs.  No I/O.

A path that somebody gives is text or a part of a URL already: ``/größe`` and ``/gr%C3%B6%C3%9Fe`` are the same.
Browsers and other clients differ in what they encode: ``+`` and ``@`` come either way, and so do the digits of ``%c3``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote_to_bytes

__all__ = ("COMPONENT", "as_url", "check_distinct", "is_of_component", "pattern_of")

COMPONENT: Final = r"(components/[^/]+/[^/]+/(?:_\w+|(?:base_)?css|modifiers)/.+)"
"""A file of a component of Panel's: its module, its class, and what in the class names the file."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]")
"""What nobody encodes."""

_KEPT: Final = "!#$%&'()*+,/:;=?@[]~"
"""What may stand in a URL, as RFC 3986 has it, beside the plain characters."""

_LONE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def is_of_component(path: str) -> bool:
    """Whether a path below an app's static files is that of a component's file, which may be the user's own code."""
    return path.startswith("components/")


def as_url(path: str) -> str:
    """A path as it stands in a link: what can't be in a URL is encoded, and what is encoded already is left."""
    return quote(_LONE.sub("%25", path), safe=_KEPT)


def pattern_of(path: str) -> str:
    """A regular expression, without groups that capture, for a path as Tornado gets it, however it is spelled there."""
    return "/".join("".join(map(_either, unquote_to_bytes(part))) for part in path.split("/"))


def check_distinct(paths: Iterable[str]) -> None:
    """Check that apps are at URLs of their own, since of two at the same one nobody would see the second.

    Raises:
        ValueError: two paths are spellings of one URL; names both
    """
    known: dict[tuple[bytes, ...], str] = {}
    for path in paths:
        url = tuple(map(unquote_to_bytes, path.removesuffix("/").split("/")))
        if url in known:
            raise ValueError(
                f"{known[url]!r} and {path!r} are one URL, and only one app can be there: neither a slash at the end "
                "makes a difference nor whether a letter is written as it is or as %XX; give one app another path"
            )
        known[url] = path


def _either(byte: int) -> str:
    raw = chr(byte)  # Tornado reads the request's bytes as Latin-1
    return re.escape(raw) if _PLAIN.fullmatch(raw) else f"(?:{re.escape(raw)}|%(?i:{byte:02X}))"
