"""A real jupyter_server process and real kernels in it, driven through the REST API and the channels' WebSocket."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from benchmarks import http, websocket
from benchmarks.cores import Cores, Role
from benchmarks.processes import Server, free_port


class CellFailed(RuntimeError):
    """A cell raised; the message is its traceback's last line."""


class Jupyter:
    """One Jupyter server that loads only the extensions asked for and reads nobody's configuration."""

    def __init__(self, server: Server, folder: tempfile.TemporaryDirectory[str], token: str, cores: Cores) -> None:
        self._server = server
        self._folder = folder
        self._cores = cores
        self.headers = {"Authorization": f"token {token}"}
        self.url = f"http://127.0.0.1:{server.port}/"

    @classmethod
    async def start(cls, extensions: Iterable[str], cores: Cores, files: dict[str, str] | None = None) -> Jupyter:
        """Start it with these extension modules and these text files in its root folder."""
        folder = tempfile.TemporaryDirectory(prefix="bm-", ignore_cleanup_errors=True)
        root = Path(folder.name)
        for name, text in (files or {}).items():
            (root / name).write_text(text)
        token, port = secrets.token_hex(16), free_port()
        arguments = (
            *("-m", "jupyter_server", "--no-browser", "--allow-root", f"--ServerApp.port={port}"),
            *("--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}"),
            f"--ServerApp.jpserver_extensions={dict.fromkeys(extensions, True)}",
            "--KernelManager.transport=ipc",
        )
        environment = {
            "JUPYTER_NO_CONFIG": "1",
            "JUPYTER_CONFIG_DIR": str(root / "config"),
            "JUPYTER_DATA_DIR": str(root / "data"),
            "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
            "IPYTHONDIR": str(root / "ipython"),
        }
        try:
            server = await Server.start(*arguments, port=port, folder=root, environment=environment)
        except BaseException:
            folder.cleanup()
            raise
        cores.keep(server.pid, Role.JUPYTER)
        return cls(server, folder, token, cores)

    @property
    def pid(self) -> int:
        return self._server.pid

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the REST API; the answer's JSON, or None where there is none."""
        data = b"" if body is None else orjson.dumps(body)
        response = await http.request(method, f"{self.url}api/{path}", headers=self.headers, body=data)
        if response.status >= 400:
            raise http.RequestFailed(f"{method} api/{path}: {response.status} {response.text[:200]!r}")
        return orjson.loads(response.body) if response.body else None

    async def start_kernel(self) -> Kernel:
        kernel_id = (await self.api("POST", "kernels", {"name": "python3"}))["id"]
        kernel = await Kernel.connect(self, kernel_id)
        self._cores.keep(kernel.pid, Role.APP)
        return kernel

    async def stop(self) -> None:
        await self._server.stop()
        self._folder.cleanup()


class Cell:
    """One running cell: its text on stdout and a future for its end."""

    def __init__(self) -> None:
        self.text = ""
        self._replied = False
        self._idle = False
        self._error: CellFailed | None = None
        #: The clock (s) when the end of the cell was heard of.
        self.ended = 0.0
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def take(self, msg_type: str, content: dict[str, Any]) -> None:
        match msg_type:
            case "stream" if content["name"] == "stdout":
                self.text += content["text"]
            case "error":
                self._error = CellFailed(f"{content['ename']}: {content['evalue']}")
            case "execute_reply":
                self._replied = True
            case "status":
                self._idle = self._idle or content["execution_state"] == "idle"
        if self._replied and self._idle and not self.done.done():
            self.ended = time.perf_counter()
            if self._error is None:
                self.done.set_result(self.text)
            else:
                self.done.set_exception(self._error)


class Kernel:
    """One kernel and one front end's WebSocket to its channels."""

    def __init__(self, jupyter: Jupyter, kernel_id: str) -> None:
        self.kernel_id = kernel_id
        self.jupyter = jupyter
        self._session = uuid.uuid4().hex
        self._cells: dict[str, Cell] = {}
        self._socket: websocket.WebSocket
        self.pid = 0

    @classmethod
    async def connect(cls, jupyter: Jupyter, kernel_id: str) -> Kernel:
        """Returns when the kernel executes cells."""
        self = cls(jupyter, kernel_id)
        url = f"{jupyter.url}api/kernels/{kernel_id}/channels?session_id={self._session}"
        self._socket = await websocket.connect(url.replace("http", "ws", 1), self, headers=jupyter.headers)
        self.pid = int(await asyncio.wait_for(self.execute("import os; print(os.getpid())"), timeout=30))
        return self

    def received(self, payload: str | bytes, now: float) -> None:
        if isinstance(payload, bytes):
            return
        message = orjson.loads(payload)
        cell = self._cells.get(message["parent_header"].get("msg_id", ""))
        if cell is not None:
            cell.take(message["header"]["msg_type"], message["content"])

    def closed(self, code: int, reason: str) -> None:
        for cell in self._cells.values():
            if not cell.done.done():
                cell.done.set_exception(ConnectionError(f"the kernel's channels closed with {code} {reason}"))
                cell.done.exception()  # whoever awaits it hears of it; nobody has to

    def submit(self, code: str) -> Cell:
        """Start a cell without waiting for it."""
        msg_id = uuid.uuid4().hex
        cell = self._cells[msg_id] = Cell()
        header = {
            "msg_id": msg_id,
            "msg_type": "execute_request",
            "session": self._session,
            "username": "benchmark",
            "version": "5.3",
            "date": "",
        }
        content = {
            "code": code,
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        self._socket.write(websocket.frame(websocket.TEXT, orjson.dumps(message)))
        return cell

    async def execute(self, code: str) -> str:
        """Run a cell to its end; what it printed.  Raises CellFailed."""
        return await self.submit(code).done

    async def stop(self) -> None:
        await self._socket.close()
        await self.jupyter.api("DELETE", f"kernels/{self.kernel_id}")
