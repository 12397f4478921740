"""A real nginx on the loopback, with the configuration of docs/deploy.md."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

from bokehmount.testing.server import JupyterServer
from bokehmount.testing.visitor import Visitor

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"## A plain Jupyter server behind nginx\n(.*?)\n## ", re.DOTALL)

WRAPPING = """\
{user}
worker_processes 1;
error_log {folder}/error.log info;
pid {folder}/nginx.pid;
events {{ }}
http {{
access_log {folder}/access.log;
client_body_temp_path {folder}/body;
proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi;
scgi_temp_path {folder}/scgi;
{more}
{documented}
}}
"""


def documented(language: str) -> str:
    """The one block of this language in the document's section."""
    section = SECTION.search((ROOT / "docs/deploy.md").read_text())
    assert section is not None, "docs/deploy.md has lost its section on nginx"
    (block,) = re.findall(rf"```{language}\n(.*?)```", section[1], re.DOTALL)
    return str(block)


def put(text: str, **values: tuple[str, str]) -> str:
    """Put this test's ports and files in place of the document's."""
    for old, new in values.values():
        assert text.count(old) == 1, f"docs/deploy.md should say {old!r} once:\n{text}"
        text = text.replace(old, new)
    return text


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own making for 127.0.0.1, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2"]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", *made, *name], check=True, capture_output=True)
    return cert, key


class Nginx:
    """nginx before a Jupyter server.  A context manager: it runs while you are in it.

    Args:
        folder: for all that it writes
        server: the Jupyter server
        more: what else its http block says
    """

    def __init__(self, folder: Path, server: JupyterServer, more: str = "") -> None:
        program = shutil.which(os.environ.get("NGINX", "nginx"), path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        assert program is not None, "no nginx: install it (see tools/nginx) or set NGINX to its path"
        folder.mkdir()
        self._program = program
        self._server = server
        self.certificate, key = certificate(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        text = put(
            documented("nginx"),
            listen=("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;"),
            certificate=("/etc/ssl/jupyter.pem", str(self.certificate)),
            key=("/etc/ssl/jupyter.key", str(key)),
            server=("127.0.0.1:8198", str(urlsplit(server.url).netloc)),
        )
        self._config = folder / "nginx.conf"
        user = "user root;" if os.getuid() == 0 else ""
        self._config.write_text(WRAPPING.format(user=user, folder=folder, more=more, documented=text))
        self.log = folder / "error.log"
        self.origin = f"https://127.0.0.1:{self.port}"
        self.url = self.origin + urlsplit(server.url).path

    def __enter__(self) -> Nginx:
        command = [self._program, "-c", str(self._config), "-g", "daemon off;", "-e", str(self.log)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(f"nginx did not start:\n{self.log.read_text()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def visitor(self) -> Visitor:
        """A browser, not logged in."""
        return Visitor(self._server.background, self.url, certificates=str(self.certificate))

    def login(self) -> Visitor:
        """A browser that has logged in, as with the URL that the server prints."""
        visitor = self.visitor()
        visitor.get(f"api/me?token={self._server.token}")
        return visitor
