"""What an app may know of the request that opened its session.  No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .tokens import RequestInfo

__all__ = ("RequestProxy", "proxy_of")


class RequestProxy:
    """What an app may know of the HTTP request that opened its session.

    ``arguments`` (lists of bytes by name), ``cookies`` and ``headers`` (text by name) are always there; other
    attributes of the request, such as ``path``, ``uri`` or ``host``, where the request had them.
    """

    __slots__ = ("_arguments", "_cookies", "_headers", "_request")

    def __init__(
        self,
        request: Any,
        arguments: Mapping[str, list[bytes]] | None = None,
        cookies: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        absolute_url: str | None = None,
    ) -> None:
        self._request = request
        given = dict(arguments if arguments is not None else getattr(request, "arguments", {}))
        self._arguments = {name: value for name, value in given.items() if not name.startswith("bokeh-")}
        if absolute_url is not None:
            self._arguments["bokeh-absolute-url"] = [absolute_url.encode()]
        found = cookies if cookies is not None else getattr(request, "cookies", {})
        self._cookies = {name: value if isinstance(value, str) else value.value for name, value in found.items()}
        seen = headers if headers is not None else getattr(request, "headers", {})
        self._headers = seen if isinstance(seen, dict) else dict(seen)

    @property
    def arguments(self) -> dict[str, list[bytes]]:
        """The query's values by name."""
        return self._arguments

    @property
    def cookies(self) -> dict[str, str]:
        """Cookies by name, as far as the server lets an app see them."""
        return self._cookies

    @property
    def headers(self) -> dict[str, str]:
        """Headers by name, as far as the server lets an app see them."""
        return self._headers

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._request, name)


def proxy_of(request: Any, payload: Mapping[str, Any], app: str) -> RequestProxy:
    """What an app at the path ``app`` may know of a request.

    Args:
        request: a `RequestInfo`, or what a server of its own has, such as Tornado's
        payload: what the session's token holds, which counts before a request that is no `RequestInfo`
        app: the app's path
    """
    if isinstance(request, RequestInfo):
        url = request.absolute_url
        # from which Panel takes the app's path away, wherever it is in it
        return RequestProxy(request, absolute_url=url if url is not None and url.count(app) == 1 else None)
    return RequestProxy(request, payload.get("arguments"), payload.get("cookies"), payload.get("headers"))
