"""Who may see the apps of a stand-alone server, by the names of ``bokeh.server.auth_provider``."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from tornado.web import RequestHandler

__all__ = ("AuthModule", "AuthProvider", "NullAuth", "load_auth_module")

GetUser = Callable[[RequestHandler], Any]
GetUserAsync = Callable[[RequestHandler], Awaitable[Any]]


class AuthProvider:
    """Says who a request comes from, and where to log in and out.  Override the properties that you need.

    Give `get_user` or `get_user_async`, and with it `login_url` or `get_login_url`; the rest is optional.

    Raises:
        ValueError: two of them contradict each other, or one lacks the other that it needs
    """

    def __init__(self) -> None:
        self._validate()

    @property
    def get_user(self) -> GetUser | None:
        """A function of a request's handler that gives who is logged in, or None for nobody."""
        return None

    @property
    def get_user_async(self) -> GetUserAsync | None:
        """The same as an async function."""
        return None

    @property
    def login_url(self) -> str | None:
        """Where a request of nobody is sent: a path below the server's prefix."""
        return None

    @property
    def get_login_url(self) -> Callable[[RequestHandler], str] | None:
        """A function of a request's handler that gives where to send it."""
        return None

    @property
    def login_handler(self) -> type[RequestHandler] | None:
        """Handles requests to `login_url`."""
        return None

    @property
    def logout_url(self) -> str | None:
        """Where users log out: a path below the server's prefix."""
        return None

    @property
    def logout_handler(self) -> type[RequestHandler] | None:
        """Handles requests to `logout_url`."""
        return None

    @property
    def knows_users(self) -> bool:
        """Whether it tells one user from another."""
        return self.get_user is not None or self.get_user_async is not None

    @property
    def endpoints(self) -> list[tuple[str, type[RequestHandler]]]:
        """The routes of its login and logout."""
        pairs = ((self.login_url, self.login_handler), (self.logout_url, self.logout_handler))
        return [(url, handler) for url, handler in pairs if url is not None and handler is not None]

    def _validate(self) -> None:
        for wrong, why in self._rules():
            if wrong:
                raise ValueError(f"{type(self).__name__}: {why}")

    def _rules(self) -> list[tuple[bool, str]]:
        has_login = self.login_url is not None or self.get_login_url is not None
        rules = [
            (
                self.get_user is not None and self.get_user_async is not None,
                "give get_user or get_user_async, not both",
            ),
            (self.knows_users and not has_login, "with a get_user, also give login_url or get_login_url"),
            (
                self.login_url is not None and self.get_login_url is not None,
                "give login_url or get_login_url, not both",
            ),
            (self.login_handler is not None and self.login_url is None, "a login_handler needs a login_url"),
            (self.logout_handler is not None and self.logout_url is None, "a logout_handler needs a logout_url"),
        ]
        for name, handler in (("login_handler", self.login_handler), ("logout_handler", self.logout_handler)):
            is_handler = isinstance(handler, type) and issubclass(handler, RequestHandler)
            rules.append(
                (handler is not None and not is_handler, f"{name} must be a class of tornado.web.RequestHandler")
            )
        for name, url in (("login_url", self.login_url), ("logout_url", self.logout_url)):
            rules.append((url is not None and _is_absolute(url), f"{name} must be a path on this server, not {url!r}"))
        return rules


def _is_absolute(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.scheme or parts.netloc)


class NullAuth(AuthProvider):
    """Everybody may see everything."""


class AuthModule(AuthProvider):
    """Reads what an `AuthProvider` gives from a Python file.

    Its names are ``get_user`` or ``get_user_async``, ``login_url`` or ``get_login_url``, ``LoginHandler``,
    ``logout_url`` and ``LogoutHandler``.

    Args:
        module_path: the file

    Raises:
        ValueError: there is no such file, or its names contradict each other
    """

    def __init__(self, module_path: str | os.PathLike[str]) -> None:
        if not Path(module_path).is_file():
            raise ValueError(f"there is no file {os.fspath(module_path)!r} to read the login from")
        self._found = vars(load_auth_module(module_path))
        super().__init__()

    get_user = property(lambda self: self._found.get("get_user"))
    get_user_async = property(lambda self: self._found.get("get_user_async"))
    login_url = property(lambda self: self._found.get("login_url"))
    get_login_url = property(lambda self: self._found.get("get_login_url"))
    login_handler = property(lambda self: self._found.get("LoginHandler"))
    logout_url = property(lambda self: self._found.get("logout_url"))
    logout_handler = property(lambda self: self._found.get("LogoutHandler"))


def load_auth_module(module_path: str | os.PathLike[str]) -> ModuleType:
    """Run a Python file as a module of its own name."""
    spec = importlib.util.spec_from_file_location(f"bokehmount_auth_{uuid4().hex}", module_path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{os.fspath(module_path)!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
