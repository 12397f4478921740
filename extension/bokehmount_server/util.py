"""Hosts and ports by the names of ``bokeh.server.util``: what may connect, and where a server listens."""

from __future__ import annotations

import errno
import logging
import re
import socket
from collections.abc import Sequence
from typing import Final

from tornado import netutil

from .hosts import check_allowlist, match_host

__all__ = (
    "bind_sockets",
    "check_allowlist",
    "check_whitelist",
    "create_hosts_allowlist",
    "create_hosts_whitelist",
    "match_host",
)

log = logging.getLogger(__name__)

_LAST_PORT: Final = 65535

_ADVICE = {
    errno.EADDRINUSE: "it is in use by another program; give another port, or port=0 for any free one",
    errno.EACCES: "this user may not use it; give a port above 1023",
    errno.EADDRNOTAVAIL: "no network interface of this machine has this address; leave address out for all of them",
}


def bind_sockets(address: str | None, port: int) -> tuple[list[socket.socket], int]:
    """Listen on a port, of one address or of all.

    Args:
        address: such as ``"localhost"`` or ``"0.0.0.0"``; all where None
        port: 0 for any free one

    Returns:
        the sockets, and the port

    Raises:
        OSError: the port or the address can't be had; says why and what to do
        ValueError: it is no port
    """
    if not 0 <= (port or 0) <= _LAST_PORT:
        raise ValueError(f"{port!r} is no port: expected a number from 0, for any free one, to {_LAST_PORT}")
    try:
        sockets = netutil.bind_sockets(port or 0, address or None)
    except OSError as error:
        where = f"port {port}" + (f" of address {address!r}" if address else "")
        number = getattr(error, "errno", None)
        why = _ADVICE.get(number or 0, str(error) if number != socket.EAI_NONAME else "there is no such address")
        raise OSError(number, f"can't listen on {where}: {why}") from error
    return sockets, int(sockets[0].getsockname()[1])


def check_whitelist(request_host: str, whitelist: Sequence[str]) -> bool:
    """Whether a host is one of a list; the first seed's name for `check_allowlist`."""
    return check_allowlist(request_host, whitelist)


def create_hosts_allowlist(host_list: Sequence[str] | None, port: int | None) -> list[str]:
    """The patterns that a list of hosts stands for, each with a port.

    Args:
        host_list: hosts with or without a port, also ``*`` and IPv6 in brackets; port 80 where none is given
        port: ``localhost`` with this port is the list where ``host_list`` is empty or None

    Raises:
        ValueError: a host is empty or none, such as a URL, or its port is no number
    """
    return [_with_port(host) for host in host_list] if host_list else [f"localhost:{port}"]


def create_hosts_whitelist(host_list: Sequence[str] | None, port: int | None) -> list[str]:
    """The name that `create_hosts_allowlist` had at the time of the seeds."""
    return create_hosts_allowlist(host_list, port)


def _with_port(host: str) -> str:
    if re.search(r"[\s/?#@,]", host):
        raise ValueError(f"{host!r} is no host: give it alone, as in 'example.com' or 'example.com:5006'")
    if "*" in host:
        log.warning("the pattern %r lets pages of many hosts, perhaps of all, open WebSockets", host)
    if host == "*":
        return host
    name, colon, port = host, "", ""
    if not host.endswith("]"):
        name, colon, port = host.rpartition(":") if ":" in host else (host, "", "")
    if not name:
        raise ValueError(f"{host!r} names no host: expected something like 'example.com' or 'example.com:5006'")
    if ":" in name and not (name.startswith("[") and name.endswith("]")):
        raise ValueError(f"{host!r} is no host: write an IPv6 address in brackets, such as '[::1]:5006'")
    if colon and not (port.isdigit() or port == "*"):
        raise ValueError(f"{port!r} in {host!r} is no port: expected a number")
    return host if colon else f"{host}:80"
