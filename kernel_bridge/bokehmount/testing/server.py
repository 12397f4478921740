"""A real Jupyter server in a process of its own, with folders of its own: nothing of the user's is read or written."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from .background import Background
from .visitor import Visitor

__all__ = ("JupyterServer", "RefusedByServer")

START: Final = 60.0


class RefusedByServer(RuntimeError):
    """The server's REST API answered with an error.

    Args:
        code: the HTTP status
        text: what was asked, and what it said
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class JupyterServer:
    """A server.  A context manager: it runs while you are in it.

    Args:
        folder: for its configuration, its data and its log
        args: more command line arguments
        base_url: the server's base URL
    """

    def __init__(self, folder: Path, args: Sequence[str] = (), base_url: str = "/testing/") -> None:
        self.folder = folder
        self.token = secrets.token_hex(16)
        self.background = Background()
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}{base_url}"
        self._command = [
            *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"),
            *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.base_url={base_url}"),
            *("--ServerApp.root_dir=/", "--ServerApp.jpserver_extensions={'bokehmount': True}"),
            "--KernelManager.autorestart=False",  # an empty kernel in the place of one that died would hide its death
            *args,
        ]
        self.log = folder / "server.log"

    def __enter__(self) -> JupyterServer:
        environment = {
            **os.environ,
            "JUPYTER_NO_CONFIG": "1",
            "JUPYTER_TOKEN": self.token,
            "JUPYTER_CONFIG_DIR": str(self.folder / "config"),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "IPYTHONDIR": str(self.folder / "ipython"),
        }
        with self.log.open("w") as log:
            self._process = subprocess.Popen(self._command, env=environment, stdout=log, stderr=log, cwd=self.folder)
        self.background.__enter__()
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.background.__exit__()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def visitor(self) -> Visitor:
        """A browser that is logged in."""
        visitor = Visitor(self.background, self.url)
        visitor.get(f"api/me?token={self.token}")
        return visitor

    def api(self, method: str, path: str, data: Any = None) -> Any:
        """Ask the server's REST API.

        Raises:
            RefusedByServer: the answer is an error
        """
        visitor = Visitor(self.background, self.url, {"Authorization": f"token {self.token}"})
        response = visitor.ask(method, f"api/{path}", body=None if data is None else json.dumps(data))
        if response.code >= 400:
            text = f"{method} api/{path}: {response.code} {response.reason}: {response.body.decode()[:500]}"
            raise RefusedByServer(response.code, text)
        return json.loads(response.body) if response.body else None

    def connection_file(self, kernel_id: str) -> Path:
        """How to reach a kernel of this server."""
        return self.folder / "runtime" / f"kernel-{kernel_id}.json"

    def _wait(self) -> None:
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the Jupyter server did not start:\n{self.log.read_text()[-3000:]}")
            try:
                self.api("GET", "status")
                return
            except (OSError, RuntimeError):
                time.sleep(0.05)
        raise RuntimeError(f"the Jupyter server did not answer in {START:g} s:\n{self.log.read_text()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
