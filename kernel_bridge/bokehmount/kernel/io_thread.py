"""The kernel's own thread for links: it answers and sends also while a cell runs."""

from __future__ import annotations

import asyncio
import threading

__all__ = ("IOThread",)


class IOThread:
    """An asyncio loop on a daemon thread.  `start` it, and `stop` it when nothing runs on it any more."""

    def __init__(self) -> None:
        self.loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._run, name="bokehmount-io", daemon=True)
        # debuggers that stop all threads at a breakpoint must leave this one running, as they do ipykernel's own
        self._thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
        self._thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def start(self) -> None:
        """Begin to run."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)
