"""A notebook that was run on a kernel of a Jupyter server, and the apps that it shows."""

from __future__ import annotations

import math
import socket
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Final

import nbformat
from jupyter_client.asynchronous.client import AsyncKernelClient
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import ValidationError
from nbformat.reader import NotJSONError

from ..kernel.display import VIEW_MIME
from .server import START, JupyterServer, RefusedByServer
from .view import View
from .visitor import Visitor

__all__ = ("RunningNotebook",)

HEARTBEAT: Final = 10.0
"""Seconds of silence after which a kernel counts as dead; jupyter_client's own 1 s is too little under load."""


class RunningNotebook:
    """A notebook and its kernel.  `run` makes it; it is a context manager, and its kernel ends with it.

    Args:
        server: the server
        notebook: the notebook; its outputs are written into it
        session: what the server says of it
        client: executes cells
    """

    def __init__(self, server: JupyterServer, notebook: Any, session: dict[str, Any], client: NotebookClient) -> None:
        self.notebook = notebook
        self.kernel_id: str = session["kernel"]["id"]
        self._server = server
        self._session = session
        self._client = client
        self._views: list[View] = []

    @classmethod
    def run(
        cls, server: JupyterServer, notebook: Any, *, kernel: str = "python3", timeout: float = 60.0
    ) -> RunningNotebook:
        """Start a kernel for a notebook and run all of its cells.

        Args:
            server: the server
            notebook: a path, or a notebook of nbformat; its kernel works in the notebook's folder
            kernel: the kernel's name; by default that of the tests' own environment, whatever the notebook asks for
            timeout: seconds that a cell may take, whole ones: what is between them is rounded up

        Raises:
            FileNotFoundError: there is no notebook at the path
            ValueError: what is there is no notebook
            nbclient.exceptions.CellExecutionError: a cell raised
            nbclient.exceptions.CellTimeoutError: a cell took too long
            nbclient.exceptions.DeadKernelError: the kernel died; says in which cell
        """
        path = Path(notebook).resolve() if isinstance(notebook, str | Path) else server.folder / "untitled.ipynb"
        content = _read(path) if isinstance(notebook, str | Path) else notebook
        wish = {"name": path.name, "path": _free(server, path), "type": "notebook", "kernel": {"name": kernel}}
        session = server.api("POST", "sessions", wish)
        client = NotebookClient(content, timeout=math.ceil(timeout), kernel_name=kernel)
        running = cls(server, content, session, client)
        try:
            client.kc = server.background.run(_connect(server.connection_file(running.kernel_id), max(timeout, START)))
            client.reset_execution_trackers()
            for cell in list(content.cells):
                running._execute(cell)
        except BaseException:
            running.close()
            raise
        return running

    @property
    def apps(self) -> list[str]:
        """The names of the apps that its cells show, in their order."""
        found = [
            output["data"][VIEW_MIME]["app"].strip("/")
            for cell in self.notebook.cells
            for output in cell.get("outputs", ())
            if VIEW_MIME in output.get("data", {})
        ]
        return list(dict.fromkeys(found))

    def open(self, app: str | None = None, *, timeout: float = 10.0, visitor: Visitor | None = None) -> View:
        """Open a view of an app, as a browser does: page, files, WebSocket.  It is closed with the notebook.

        Args:
            app: the app's name, with arguments behind it if it takes any, as in ``"app?n=5"``; may be left out where
                the notebook shows one app
            timeout: seconds that each step and each wait may take
            visitor: who looks; somebody new where None
        """
        names = self.apps
        if app is None:
            if len(names) != 1:
                raise ValueError(
                    f"this notebook shows {len(names)} apps, say which to open: {', '.join(names) or 'none'}"
                )
            app = names[0]
        view = View(visitor or self._server.visitor(), f"bokeh/kernels/{self.kernel_id}/{app}", timeout)
        self._views.append(view)
        return view

    def execute(self, source: str) -> str:
        """Run one more cell.

        Returns:
            what it printed, and the text of its result

        Raises:
            nbclient.exceptions.DeadKernelError: the kernel is dead, or died of it
        """
        cell = _cell(source)
        self.notebook.cells.append(cell)
        self._execute(cell)
        texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
        return "".join(texts)

    def run_again(self, index: int) -> None:
        """Run a code cell of the notebook again.

        Args:
            index: its place among all cells, from 0
        """
        self._execute(self.notebook.cells[index])

    def close(self) -> None:
        """Close the views and end the kernel, unless the test has."""
        with ExitStack() as last_first:  # each is done also where the one before it raises
            last_first.callback(self._end_kernel)
            if self._client.kc is not None:
                last_first.callback(self._server.background.run, _disconnect(self._client.kc))
            for view in self._views:
                last_first.callback(view.close)

    def _end_kernel(self) -> None:
        try:
            self._server.api("DELETE", f"sessions/{self._session['id']}")
        except RefusedByServer as error:
            if error.code not in (404, 410):  # there is no such session, or its kernel has gone before it
                raise

    def _execute(self, cell: Any) -> None:
        if cell.cell_type == "code":
            index = self.notebook.cells.index(cell)
            try:
                self._server.background.run(self._client.async_execute_cell(cell, index))
            except DeadKernelError:
                raise DeadKernelError(f"the kernel died in this cell, or was dead already:\n{cell.source}") from None

    def __enter__(self) -> RunningNotebook:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _free(server: JupyterServer, path: Path) -> str:
    """The path by which to ask for a kernel, since Jupyter gives the one that runs to who asks for a notebook again."""
    taken = {session["path"] for session in server.api("GET", "sessions")}
    free, others = path, count(2)
    while str(free).lstrip("/") in taken:
        free = path.with_stem(f"{path.stem}-{next(others)}")
    return str(free).lstrip("/")


def _read(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"there is no notebook at {str(path)!r}")
    try:
        return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except (NotJSONError, ValidationError) as error:
        raise ValueError(f"{str(path)!r} is no notebook: {error}") from None


def _cell(source: str) -> Any:
    return nbformat.v4.new_code_cell(source)  # type: ignore[no-untyped-call]


class _Client(AsyncKernelClient):
    async def is_alive(self) -> bool:
        """Whether the kernel lives.  Nobody listens on the ports of one that died; its heart would be missed later."""
        return bool(await super().is_alive()) and self._is_somebody_there()

    def _is_somebody_there(self) -> bool:
        if self.transport != "tcp":
            return True
        try:
            socket.create_connection((self.ip, self.hb_port), timeout=1).close()
        except ConnectionError:
            return False
        except OSError:  # says nothing of the kernel
            pass
        return True


async def _connect(connection_file: Path, timeout: float) -> AsyncKernelClient:
    client = _Client(connection_file=str(connection_file))
    client.load_connection_file()
    client.hb_channel.time_to_dead = HEARTBEAT
    client.start_channels()
    await client.wait_for_ready(timeout=timeout)
    return client


async def _disconnect(client: Any) -> None:
    client.stop_channels()
