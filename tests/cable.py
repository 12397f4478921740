"""A network that breaks, and one that is slow."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ("Cable",)

T = TypeVar("T")


class Cable:
    """A way to the server that can be cut and mended, as a laptop's network is; it passes bytes on.

    Args:
        port: the server's
        rate: bytes a second that it passes on in each direction; as many as come where None
    """

    def __init__(self, port: int, rate: float | None = None) -> None:
        self._to = port
        self._rate = rate
        self._whole = True
        self._holds = False
        self._held = asyncio.Event()  # what those that are held wait for
        self._ends: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._holds:
            await self._hold(writer)
        if not self._whole:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _hold(self, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        await self._held.wait()
        self._ends.discard(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        with contextlib.suppress(OSError):
            while data := await reader.read(65536 if self._rate is None else 16384):
                writer.write(data)
                await writer.drain()
                if self._rate is not None:
                    await asyncio.sleep(len(data) / self._rate)
        self._ends.discard(writer)
        writer.close()

    async def _cut(self, hold: bool = False) -> None:
        self._whole, self._holds = False, hold
        for writer in self._ends:
            writer.transport.abort()
        self._held.set()
        self._held = asyncio.Event()

    def cut(self, *, hold: bool = False) -> None:
        """Break all connections, and let no new one through.

        Args:
            hold: new ones neither open nor fail, as where packets are swallowed; they are refused else
        """
        self._do(self._cut(hold))

    async def _mend(self, late: bool) -> None:
        self._whole, self._holds = True, False
        if late:
            self._held.set()

    def mend(self, *, late: bool = True) -> None:
        """Let connections through again.

        Args:
            late: also those that were held, else they are for good
        """
        self._do(self._mend(late))

    async def _close(self) -> None:
        await self._cut()
        self._server.close()
        while self._ends:
            await asyncio.sleep(0.01)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.gather(*others, return_exceptions=True)

    def close(self) -> None:
        """Cut it for good."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()
