"""What runs inside the processes under test: each function serves the app one way.

Called by cells in kernels, and as ``python -m benchmarks.serving {stock|stock-nodelay|ours} PORT VARIANT …`` for the
stand-alone servers.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import Server
from bokeh.server.views.ws import WSHandler
from tornado.ioloop import IOLoop

from benchmarks.app import build
from benchmarks.variant import Variant


def app_function(variant: Variant) -> Any:
    """The app as a function of a Document, as a notebook's user writes it."""

    def app(document: Document) -> None:
        build(document, variant)

    return app


def applications(variants: Iterable[str]) -> dict[str, Application]:
    parsed = map(Variant.parse, variants)
    return {f"/{variant.name}": Application(FunctionHandler(app_function(variant))) for variant in parsed}


def set_nodelay_on_websockets() -> None:
    """Give Bokeh's own handler the TCP_NODELAY that it lacks as shipped, and change nothing else."""
    shipped_open = WSHandler.open

    def open_without_delay(self: WSHandler) -> Any:
        self.set_nodelay(True)
        return shipped_open(self)

    WSHandler.open = open_without_delay  # type: ignore[method-assign]  # the point of it


def start_stock(variants: Iterable[str], *, nodelay: bool, port: int = 0) -> Server:
    """Bokeh's own server on the current loop, made as ``bokeh.io.show(app)`` makes it in a kernel."""
    if nodelay:
        set_nodelay_on_websockets()
    server = Server(applications(variants), io_loop=IOLoop.current(), port=port, allow_websocket_origin=["*"])
    server.start()
    return server


def show_ours(variants: Iterable[str]) -> list[Any]:
    """bokehmount's ``show`` in the kernel that this runs in; keep what it returns."""
    show = importlib.import_module("bokehmount").show
    return [show(app_function(variant), name=variant.name) for variant in map(Variant.parse, variants)]


def start_ours(variants: Iterable[str], port: int) -> Any:
    """bokehmount's stand-alone server on the current loop."""
    module = importlib.import_module("bokehmount_server.server")
    server = module.Server(applications(variants), io_loop=IOLoop.current(), port=port)
    server.start()
    return server


STARTERS: dict[str, Callable[..., Any]] = {
    "stock": partial(start_stock, nodelay=False),
    "stock-nodelay": partial(start_stock, nodelay=True),
    "ours": start_ours,
}


def main(kind: str, port: str, *variants: str) -> None:
    loop = IOLoop.current()
    server = STARTERS[kind](variants, port=int(port))
    loop.start()
    server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
