"""Which hosts a pattern means: the origin check of a WebSocket.  No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

__all__ = ("check_allowlist", "match_host", "origin_allowed")


def match_host(host: str, pattern: str) -> bool:
    """Whether a host, with or without a port, is one that a pattern means.

    Args:
        host: such as ``alice``, ``alice:80``, ``10.0.0.1:5006`` or ``[::1]:80``
        pattern: the same, where ``*`` stands for any one part of the name, for all of it, and for any port; a pattern
            without a port means any port

    >>> match_host("192.168.0.1:80", "192.168.0.1:80"), match_host("192.168.0.1:80", "192.168.0.1:8080")
    (True, False)
    >>> match_host("192.168.0.1", "192.168.*.*"), match_host("alice:80", "alice"), match_host("alice", "bob")
    (True, True, False)
    >>> match_host("alice:80", "*:80"), match_host("alice:8080", "*:80"), match_host("a.example.com", "example.com")
    (True, False, False)
    """
    host_name, host_port = _split(host)
    name, port = _split(pattern)
    if port is not None and port != "*" and port != host_port:
        return False
    if name == "*" or (name == "" and port is not None):
        return True
    if host_name.startswith("[") or name.startswith("["):
        return host_name == name
    host_parts, parts = host_name.split("."), name.split(".")
    return len(parts) == len(host_parts) and all(
        part in ("*", own) for own, part in zip(host_parts, parts, strict=True)
    )


def _split(host: str) -> tuple[str, str | None]:
    """A host's name and port; an IPv6 address keeps its brackets."""
    host = host.lower()
    if host.startswith("["):
        name, bracket, rest = host.partition("]")
        return name + bracket, rest[1:] if rest.startswith(":") else None
    if host.count(":") > 1:  # a bare IPv6 address
        return f"[{host}]", None
    name, colon, port = host.partition(":")
    return name, port if colon else None


def check_allowlist(host: str, allowlist: Iterable[str]) -> bool:
    """Whether a host is one of those that a list of patterns means; without a port it is asked for port 80."""
    name, port = _split(host)
    asked = host if port is not None else f"{name}:80"
    return any(match_host(asked, pattern) for pattern in allowlist)


def origin_allowed(origin: str, allowlist: Collection[str]) -> bool:
    """Whether an Origin header names an allowed host; one of https without a port is asked for 443 too."""
    try:
        scheme, host, *_ = urlsplit(origin)
    except ValueError:  # it is no URL
        return False
    hosts = [host, f"{host}:443"] if scheme == "https" and _split(host)[1] is None else [host]
    return any(check_allowlist(each, allowlist) for each in hosts)
