"""Joins a kernel's apps, its links and its IPython: what the first app sets up and ``%unload_ext`` takes down."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import threading
from pathlib import Path
from typing import Any, Final

import bokeh
from bokeh.document import Document
from bokeh.model import Model

from .. import __version__
from ..contexts import raise_failures
from ..errors import CloseCode
from ..putting_back import filled
from ..repeating import forever
from ..sending import Connection
from .cell import cell_of
from .control_carrier import ControlCarrier, ControlDoor
from .display import linked_to_tab, live_bundle, opened_in_tab, public_files, static_bundle
from .handle import Handle
from .io_thread import IOThread, Paced
from .link_end import LinkEnd, hello
from .naming import CellRun, checked_path
from .registry import Registry, Shown
from .shortcut import Loans
from .socket_carrier import SocketCarrier, connect
from .sources import Source, source_of
from .stage import CellStage, OutputTap
from .stock import install_hook, remove_hook

__all__ = ("Bridge",)

_UUID: Final = re.compile(r"kernel-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.json")

LINGER: Final = 15.0
"""Seconds that a session outlives a view that was closed or reloaded, unless the server says otherwise."""

LINGER_LOST: Final = 300.0
"""Seconds that it waits for a view whose connection broke, or has not come yet: a laptop's nap, a slow line."""


class Bridge:
    """The apps of this kernel and the links to the servers that show them.

    Args:
        shell: the interactive shell
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._kernel = getattr(shell, "kernel", None)
        self.kernel_id = _kernel_id(self._kernel)
        self._loop = _main_loop(self._kernel)
        self.linger, self.linger_lost = LINGER, LINGER_LOST
        self.links: list[LinkEnd] = []  # replaced, never changed: any thread may go through it
        self._linking = threading.Lock()
        self._io = IOThread()
        # a cell's edits are sent while it runs, on the I/O thread, which no cell holds up
        self.registry = Registry(self._loop, Paced(self._io.loop), self._make_stage, self._close_connections)
        self.registry.host.changed = self._tell_apps
        self.host = self.registry.host
        self._tap = OutputTap()
        self._door: ControlDoor | None = None
        self._expiry: asyncio.Task[None] | None = None

    @property
    def served(self) -> bool:
        """Whether a Jupyter server runs this kernel."""
        return self.kernel_id is not None

    def open(self) -> None:
        """Begin to answer servers and to take part in IPython."""
        if self._kernel is not None:
            install_hook(self.show)
        if not self.served:
            return
        self._io.start()
        self._tap.open()
        self._shell.events.register("post_run_cell", self._cell_ended)
        self._door = ControlDoor(self._kernel, self._loop, self._link_opened)
        self._expiry = self._loop.create_task(forever(self._expire, 1.0))

    def close(self) -> None:
        """End all apps and links."""
        if self._kernel is not None:
            remove_hook()
        if not self.served:
            return
        self._shell.events.unregister("post_run_cell", self._cell_ended)
        self._tap.close()
        if self._expiry is not None:
            self._expiry.cancel()
        self._loop.create_task(self._close_all())

    async def _close_all(self) -> None:
        try:
            await self.registry.close_all()
        finally:
            for link in list(self.links):
                link.close()
            if self._door is not None:
                self._door.close()
            self._io.stop()

    # Showing ---------------------------------------------------------------------------------------------------------

    def show(self, obj: Any, name: str | None, width: int | None, height: int | None, new: str | None) -> Handle:
        """See `bokehmount.show`."""
        source = source_of(obj)
        if name is not None:
            checked_path(name)
        if not self.served:
            return self._show_static(source, name, width, height)
        _check_thread("show()")
        run = self._cell_run()
        shown = self.registry.show(source, name, run)
        assert self.kernel_id is not None
        look = (self.kernel_id, shown.path, shown.title)
        if new == "tab":
            self._publish(opened_in_tab(*look), then=linked_to_tab(*look))
        else:
            self._publish(live_bundle(*look, width, height, run.run))
        return Handle(
            shown.path,
            f"bokeh/kernels/{self.kernel_id}{shown.path}",
            lambda: shown.sessions if shown in self.registry else [],
            lambda: self._close_shown(shown),
        )

    def _close_shown(self, shown: Shown) -> None:
        _check_thread("close()")
        if shown in self.registry:
            self.registry.close(shown.path)

    def _show_static(self, source: Source, name: str | None, width: int | None, height: int | None) -> Handle:
        shown: Model | Document
        if source.model is not None:
            shown = source.model
        else:
            assert source.application is not None, "a source is an application or a model"
            application = source.application()
            shown = Document()
            with public_files(), filled(shown):
                application.initialize_document(shown)
            raise_failures(application)
        self._publish(static_bundle(source.title, shown, width, height))
        return Handle(f"/{name or source.title}", None, list, lambda: None)

    def _publish(self, bundle: dict[str, Any], then: dict[str, Any] | None = None) -> None:
        from IPython.display import publish_display_data

        transient = {"display_id": secrets.token_hex(8)} if then is not None else {}
        publish_display_data(bundle, transient=transient)  # type: ignore[no-untyped-call]
        if then is not None:
            publish_display_data(then, transient=transient, update=True)  # type: ignore[no-untyped-call]

    def _cell_run(self) -> CellRun:
        parent = cell_of(self._shell)
        run = parent.get("header", {}).get("msg_id", "")
        cell = parent.get("metadata", {}).get("cellId")
        if not cell:  # the front end does not say; the same source is the same cell
            cell = hashlib.sha256(str(parent.get("content", {}).get("code", "")).encode()).hexdigest()
        return CellRun(cell, run)

    def _cell_ended(self, result: Any) -> None:
        if result.success:
            self.registry.close_left_over(self._cell_run())

    # Apps ------------------------------------------------------------------------------------------------------------

    def listing(self) -> list[dict[str, Any]]:
        """This kernel's apps, as a link tells them."""
        return self.registry.listing()

    def close_app(self, path: str) -> None:
        """End an app."""
        _check_thread("%bokehmount close")  # which a subshell of the kernel's may run
        self.registry.close(path)

    def _make_stage(self, shown: Shown) -> CellStage:
        def listen(text: str, error: bool) -> None:
            connections = self.registry.connections_of(shown)
            for link in self.links:
                link.output(connections, text, error=error)  # type: ignore[arg-type]

        return CellStage(self._shell, cell_of(self._shell), listen)

    async def _expire(self) -> None:
        if self._door is not None:
            self._door.lose_silent()
        await self.registry.expire(self.linger, self.linger_lost)

    # Links -----------------------------------------------------------------------------------------------------------

    def _link_opened(self, control: ControlCarrier, server: dict[str, Any]) -> tuple[dict[str, Any], LinkEnd | None]:
        """On the control thread: a server opens a link."""
        self.linger = float(server.get("linger", LINGER))
        self.linger_lost = float(server.get("linger_lost", LINGER_LOST))
        offer = server.get("socket")
        connection = connect(offer)
        loans = Loans.offered(offer) if connection is not None else None
        local = SocketCarrier(connection, self._loop, self._io.loop, loans) if connection is not None else None
        link = LinkEnd(self, self._loop, self._io.loop, local or control, self._link_lost, loans)
        link.server = str(server.get("bokehmount", "unknown"))
        with self._linking:
            self.links = [*self.links, link]
        answer = {**hello(self), "socket": local is not None, "borrows": loans is not None}
        if local is None:
            return answer, link
        local.start(link)
        return answer, None

    def _link_lost(self, link: LinkEnd) -> None:
        with self._linking:
            self.links = [other for other in self.links if other is not link]
        if self._door is not None and isinstance(link.carrier, ControlCarrier):
            self._door.forget(link.carrier)

    def _tell_apps(self) -> None:
        for link in self.links:
            link.tell_apps()

    def _close_connections(
        self, connections: list[Connection], code: CloseCode, reason: str, moved: str | None
    ) -> None:
        for link in self.links:
            link.close_connections(connections, code, reason, moved)  # type: ignore[arg-type]

    def status(self) -> str:
        """What ``%bokehmount`` prints."""
        lines = [f"bokehmount {__version__} in this kernel, Bokeh {bokeh.__version__}"]
        if not self.served:
            lines.append("No Jupyter server runs this kernel: show() displays static pictures.")
        elif not self.links:
            lines.append("No server has opened a link yet: it does when a view is opened.")
        for link in self.links:
            lines.append(
                f"Linked to bokehmount {link.server} in the Jupyter server, over its {link.carrier.name} carrier."
            )
        apps = self.listing()
        lines += [
            f"  {app['app'].strip('/')}: {app['title']}, {app['sessions']} session(s), {app['views']} view(s)"
            for app in apps
        ]
        return "\n".join(lines if apps else [*lines, "No app is shown."])


def _check_thread(what: str) -> None:
    thread = threading.current_thread()
    if thread is not threading.main_thread():
        raise RuntimeError(
            f"{what} was called in thread {thread.name!r}, but apps live on the kernel's main thread: call it in a "
            "cell, and let threads change what is shown with doc.add_next_tick_callback(function)"
        )


def _kernel_id(kernel: Any) -> str | None:
    """The id by which a Jupyter server knows this kernel; None where none runs it (nbclient, a console, IPython)."""
    config = getattr(kernel, "config", None) or {}
    found = _UUID.fullmatch(Path(str(config.get("IPKernelApp", {}).get("connection_file", ""))).name)
    return found[1] if found else None


def _main_loop(kernel: Any) -> asyncio.AbstractEventLoop:
    io_loop = getattr(kernel, "io_loop", None)
    if io_loop is not None:
        loop: asyncio.AbstractEventLoop = io_loop.asyncio_loop
        return loop
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.new_event_loop()
