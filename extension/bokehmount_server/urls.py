"""The routes of a stand-alone server, by the names of ``bokeh.server.urls``.

`BokehTornado` reads both lists when it is made, so a program may replace a handler or add one before that.
"""

from __future__ import annotations

from typing import Any

from bokeh.embed.bundle import extension_dirs
from tornado.web import RequestHandler

from .app_handlers import (
    AutoloadJsHandler,
    DocHandler,
    MetadataHandler,
    MultiRootStaticHandler,
    RootHandler,
    StaticHandler,
    WSHandler,
)
from .paths import COMPONENT

__all__ = ("per_app_patterns", "toplevel_patterns")

RouteContext = dict[str, Any]
URLRoutes = list[tuple[str, type[RequestHandler]] | tuple[str, type[RequestHandler], RouteContext]]

toplevel_patterns: URLRoutes = [
    (r"/?", RootHandler),
    (r"/static/extensions/(.*)", MultiRootStaticHandler, {"root": extension_dirs}),
    (r"/static/(.*)", StaticHandler),
    (f"/{COMPONENT}", StaticHandler),
]
"""Below the prefix: the index, and the files of extensions, of BokehJS and of Panel's components."""

per_app_patterns: URLRoutes = [
    (r"/?", DocHandler),
    (r"/ws", WSHandler),
    (r"/metadata", MetadataHandler),
    (r"/autoload.js", AutoloadJsHandler),
]
"""Below each app's path: its page, its WebSocket, what it says of itself, and its script for other pages."""
