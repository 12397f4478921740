"""A shell of ours stands where a page isn't ready yet: listen, as its script does, until it says that the page is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import quote

import orjson

from benchmarks import websocket

SHELL_TOKEN = re.compile(r'data-bokehmount-token="([^"]+)"')


class NoPage(RuntimeError):
    """The shell says that the page will never come."""


class StatusListener:
    """Hears the states that a view's status socket tells."""

    def __init__(self) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def received(self, payload: str | bytes, now: float) -> None:
        status = orjson.loads(payload)
        if self.ready.done():
            return
        if status["state"] == "ready":
            self.ready.set_result(None)
        elif status["state"] not in ("busy", "starting"):
            self.ready.set_exception(NoPage(f"{status['state']}: {status.get('text')} {status.get('detail') or ''}"))

    def closed(self, code: int, reason: str) -> None:
        if not self.ready.done():
            self.ready.set_exception(NoPage(f"the status socket closed with {code} {reason}"))


async def page_behind(
    shell: str, page_url: str, websocket_url: str, headers: Mapping[str, str], patience: float
) -> str | None:
    """The URL of the page that will replace this shell, once it is there; None if it isn't a shell."""
    match = SHELL_TOKEN.search(shell)
    if match is None:
        return None
    listener = StatusListener()
    socket = await websocket.connect(websocket_url, listener, subprotocols=("bokehmount", match[1]), headers=headers)
    try:
        await asyncio.wait_for(listener.ready, patience)
    finally:
        await socket.close()
    return f"{page_url}{'&' if '?' in page_url else '?'}bokeh-token={quote(match[1])}"
