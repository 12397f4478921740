"""How a question to a door is read from a request and its answer written, whatever the server around the handler."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from tornado import web

from bokehmount.assets import Asset
from bokehmount.errors import BokehMountError

from .door import ScriptWishes

__all__ = ("as_http_error", "script_wishes", "send_asset", "send_metadata", "send_page", "send_script")


def script_wishes(handler: web.RequestHandler) -> ScriptWishes:
    """What a request for an autoload script wants.

    Raises:
        tornado.web.HTTPError: it names no element, its bokeh-absolute-url is no URL, or one of these would not stay
            within the quotes between which Bokeh's template writes them as they are; Tornado lets no line break through
    """
    element_id = handler.get_query_argument("bokeh-autoload-element", "")
    if not element_id:
        raise web.HTTPError(400, reason="No bokeh-autoload-element query parameter")
    app_path = handler.get_query_argument("bokeh-app-path", "/")
    absolute_url = handler.get_query_argument("bokeh-absolute-url", None)
    if any(mark in text for mark in '"\\' for text in (element_id, app_path, absolute_url or "")):
        raise web.HTTPError(400, reason="No quote and no backslash may be in what is asked for")
    try:
        urlsplit(absolute_url or "")
    except ValueError:
        raise web.HTTPError(400, reason="The bokeh-absolute-url query parameter is no URL") from None
    return ScriptWishes(
        element_id,
        app_path,
        absolute_url,
        handler.get_query_argument("resources", "default") != "none",
    )


def send_page(handler: web.RequestHandler, page: str, status: int = 200) -> None:
    """Answer with a page that belongs to one session or moment."""
    handler.set_status(status)
    handler.set_header("Content-Type", "text/html; charset=utf-8")
    handler.set_header("Cache-Control", "no-store")
    handler.finish(page)


def send_script(handler: web.RequestHandler, script: str) -> None:
    """Answer with a script that belongs to one session."""
    handler.set_header("Content-Type", "text/javascript; charset=utf-8")
    handler.set_header("Cache-Control", "no-store")
    handler.finish(script)


def send_metadata(handler: web.RequestHandler, metadata: Mapping[str, Any]) -> None:
    """Answer with JSON."""
    handler.set_header("Content-Type", "application/json")
    handler.finish(json.dumps(metadata))


def send_asset(handler: web.RequestHandler, asset: Asset | None, *, scope: str = "private") -> None:
    """Answer with a file, which a browser may keep for good where the request names its version.

    Raises:
        tornado.web.HTTPError: there is none
    """
    if asset is None:
        raise web.HTTPError(404, reason="No such file in this Bokeh and its extensions")
    handler.set_header("Content-Type", asset.content_type)
    handler.set_header("X-Content-Type-Options", "nosniff")
    versioned = handler.get_query_argument("v", None) is not None
    handler.set_header("Cache-Control", f"{scope}, max-age=31536000, immutable" if versioned else "no-cache")
    handler.set_header("Etag", f'"{asset.version}"')
    if handler.check_etag_header():
        handler.set_status(304)
        handler.finish()
        return
    handler.finish(asset.content)


class as_http_error:
    """Errors of ours become HTTP errors with their sentence.

    Args:
        told: gives an error as a browser is told of it
    """

    def __init__(self, told: Callable[[BokehMountError], BokehMountError] = lambda error: error) -> None:
        self._told = told

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, BokehMountError):
            text = " ".join(str(self._told(error)).split())
            reason = re.sub(r"[^ -;=?-~]", "?", text)[:200]  # with "<" Tornado says "Unknown"
            raise web.HTTPError(error.http_status, log_message=reason.replace("%", "%%"), reason=reason) from error
