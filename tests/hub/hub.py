"""A real JupyterHub with its real proxy on the loopback, and the people who have accounts on it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from bokehmount.testing.background import Background
from bokehmount.testing.server import JupyterServer
from bokehmount.testing.visitor import Visitor

ROOT = Path(__file__).parents[2]
PROXY = ROOT / ".tools/node_modules/.bin/configurable-http-proxy"
API_TOKEN = "hub-test-token-0123456789abcdef"
PASSWORD = "pw"
HEARTBEAT = 0.4
"""Seconds, of bob's server."""

OTHER_EXTENSIONS = (
    "jupyterlab",
    "jupyter_lsp",
    "jupyter_server_proxy",
    "jupyter_server_terminals",
    "notebook",
    "notebook_shim",
    "panel.io.jupyter_server_extension",
)

# No setting of ours is in here: installing the package is all that an administrator does.  Only bob's server has a
# quicker heart and a shorter memory for logins, so that tests needn't wait long.  JupyterLab and what else is installed
# is alice's alone: it takes most of the time in which a server starts.
CONFIG = """\
import os
import sys

c = get_config()
HERE = os.path.dirname(os.path.abspath(__file__))
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/hub-prefix/"
c.JupyterHub.hub_bind_url = c.JupyterHub.hub_connect_url = "http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = ["{proxy}"]
c.ConfigurableHTTPProxy.pid_file = HERE + "/proxy.pid"
c.JupyterHub.cookie_secret_file = HERE + "/cookie_secret"
c.JupyterHub.db_url = "sqlite:///:memory:"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "{password}"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = HERE + "/home/{{username}}"
c.Spawner.cmd = [os.path.join(os.path.dirname(sys.executable), "jupyterhub-singleuser")]
# as root, and without the search for language servers, which takes longer than all else
c.Spawner.args = ["--allow-root", "--LanguageServerManager.autodetect=False", "--LabApp.expose_app_in_browser=True"]
c.Spawner.default_url = "/lab"
c.Spawner.environment = {{
    "JUPYTER_CONFIG_DIR": HERE + "/config",
    "JUPYTER_RUNTIME_DIR": HERE + "/runtime",
    "JUPYTER_DATA_DIR": HERE + "/data",
    "IPYTHONDIR": HERE + "/ipython",
    "JUPYTERHUB_ACTIVITY_INTERVAL": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}}
c.JupyterHub.activity_resolution = 0
c.JupyterHub.last_activity_interval = 1  # how often the hub asks its proxy

def tell_apart(spawner):
    if spawner.user.name != "alice":
        spawner.args = [*spawner.args, "--ServerApp.jpserver_extensions={others}"]
    if spawner.user.name == "bob":
        spawner.args = [*spawner.args, "--BokehMount.ping_interval={heartbeat}", "--HubOAuth.cache_max_age=1"]
        spawner.args = [*spawner.args, f"--BokehMount.apps=/hosted={{HERE}}/hosted"]

c.Spawner.pre_spawn_hook = tell_apart
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}  # servers start side by side
c.Spawner.http_timeout = c.Spawner.start_timeout = 120
c.JupyterHub.load_roles = [
    {{"name": "tester", "scopes": ["admin:users", "admin:servers", "access:servers", "tokens"], "services": ["tester"]}}
]
c.JupyterHub.services = [{{"name": "tester", "api_token": "{token}"}}]
"""

HOSTED = """\
import panel as pn
import panel_material_ui as pmui

slider = pmui.FloatSlider(name="amplitude", end=8)
pn.Column(slider, pn.bind("it is {}".format, slider)).servable()
"""
"""An app of bob's server itself; its widgets are JavaScript modules."""


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Hub:
    """The hub.  A context manager: it runs while you are in it.

    Args:
        folder: for all that it writes
    """

    def __init__(self, folder: Path) -> None:
        assert PROXY.exists(), (
            f"JupyterHub needs {PROXY}: run `npm install --prefix .tools configurable-http-proxy` in {ROOT}"
        )
        self.folder = folder
        self.background = Background()
        self.port, hub_port, proxy_port = free_ports(3)
        self.origin = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.origin}/hub-prefix/"
        (folder / "config/labconfig").mkdir(parents=True)
        news = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
        (folder / "config/labconfig/page_config.json").write_text(json.dumps(news))
        (folder / "hosted/static").mkdir(parents=True)
        (folder / "hosted/main.py").write_text(HOSTED)
        (folder / "hosted/static/notes.js").write_text("// of bob's own")
        self._config = folder / "jupyterhub_config.py"
        self._config.write_text(
            CONFIG.format(
                port=self.port,
                hub_port=hub_port,
                proxy_port=proxy_port,
                proxy=PROXY,
                password=PASSWORD,
                token=API_TOKEN,
                heartbeat=HEARTBEAT,
                others=dict.fromkeys(OTHER_EXTENSIONS, False),
            )
        )
        self.log = folder / "hub.log"

    def __enter__(self) -> Hub:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        command = [sys.executable, "-m", "jupyterhub", "-f", str(self._config)]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, "PATH": path}, stdout=log, stderr=log
            )
        self.background.__enter__()
        try:
            self.until(lambda: self._answers(), "the hub to answer", 60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.background.__exit__()
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def until(self, condition: Any, what: str, timeout: float = 30.0) -> Any:
        deadline = time.monotonic() + timeout
        while not (held := condition()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"waited for {what}; the hub's log ends:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.1)
        return held

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}hub/api", timeout=5).ok
        except requests.ConnectionError:
            return False

    def api(self, method: str, path: str, data: Any = None) -> Any:
        """Ask the hub's REST API as an administrator."""
        headers = {"Authorization": f"token {API_TOKEN}"}
        response = requests.request(method, f"{self.url}hub/api/{path}", headers=headers, json=data, timeout=60)
        assert response.ok, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def start(self, names: Sequence[str]) -> dict[str, HubUser]:
        """Make users and start their servers, all at once."""
        for name in names:
            self.api("POST", f"users/{quote(name, safe='')}")
            self.api("POST", f"users/{quote(name, safe='')}/server", {})
        self.until(lambda: all(self.is_ready(name) for name in names), f"the servers of {', '.join(names)}", 170)
        return {name: HubUser(self, name) for name in names}

    def is_ready(self, name: str) -> bool:
        servers = self.api("GET", f"users/{quote(name, safe='')}")["servers"]
        return bool(servers) and bool(servers[""]["ready"])

    def expire_logins(self, name: str) -> None:
        """End somebody's logins at their own server, but not at the hub."""
        path = f"users/{quote(name, safe='')}/tokens"

        def logins() -> list[str]:
            return [token["id"] for token in self.api("GET", path)["api_tokens"] if token["session_id"]]

        assert logins(), "nobody is logged in"
        while left := logins():  # one takes others of its session with it
            self.api("DELETE", f"{path}/{left[0]}")
        time.sleep(2)  # their server remembers them for a second

    def new_token(self, name: str) -> str:
        return str(self.api("POST", f"users/{quote(name, safe='')}/tokens", {"expires_in": 3600})["token"])


class HubUser(JupyterServer):
    """Somebody's own server behind the hub.  The hub starts and stops it."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub = hub
        self.name = name
        self.folder = hub.folder
        self.log = hub.log
        self.background = hub.background
        self.token = hub.new_token(name)
        self.url = hub.origin + hub.api("GET", f"users/{quote(name, safe='')}")["servers"][""]["url"]

    def visitor(self) -> Visitor:
        """A browser of this user's, logged in."""
        return Login(self).visitor()

    def script(self) -> Visitor:
        """A script with this user's token."""
        return Visitor(self.background, self.url, {"Authorization": f"token {self.token}"})


class Login:
    """A browser session at the hub.

    Args:
        user: who logs in
        at: whose server is looked at; the user's own where None
    """

    def __init__(self, user: HubUser, at: HubUser | None = None) -> None:
        self.hub = user.hub
        self.at = at or user
        self.session = requests.Session()
        self.session.get(f"{self.hub.url}hub/login", timeout=30)
        xsrf = self.session.cookies.get("_xsrf", path="/hub-prefix/hub/")
        form = {"username": user.name, "password": PASSWORD, "_xsrf": xsrf}
        landed = self.session.post(f"{self.hub.url}hub/login", data=form, timeout=30, allow_redirects=False)
        assert landed.status_code == 302, landed.text
        # the login at the server itself: a round of redirects through the hub
        self.landed = self.session.get(f"{self.at.url}api/me", timeout=60, headers={"Sec-Fetch-Mode": "navigate"})
        if not self.landed.ok or "hub" in self.landed.url.replace("hub-prefix", ""):
            self.landed = self.session.get(f"{self.at.url}bokeh", timeout=60, headers={"Sec-Fetch-Mode": "navigate"})

    def visitor(self) -> Visitor:
        request = requests.Request("GET", self.at.url).prepare()
        cookie = requests.cookies.get_cookie_header(self.session.cookies, request)
        return Visitor(self.at.background, self.at.url, {"Cookie": cookie or ""})

    @property
    def xsrf(self) -> str:
        """What only pages of that server can read."""
        return str(self.session.cookies.get("_xsrf", path=urlsplit(self.at.url).path))

    def logout(self) -> None:
        self.session.get(f"{self.hub.url}hub/logout", timeout=30)


class Wire:
    """A proxy before the hub's, which cuts connections: those idle for too long, or all at once.

    Args:
        port: where the hub is
        idle: seconds without a byte after which a connection is cut; never where None
    """

    def __init__(self, port: int, idle: float | None = None) -> None:
        self._target = port
        self.idle = idle
        self.cuts = 0
        self._cut = threading.Event()
        self._stop = threading.Event()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Wire:
        self._threads[0].start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in list(self._threads):
            thread.join(timeout=5)
        self._listener.close()

    def cut(self) -> None:
        """Cut all connections that are open now."""
        for end in list(self._open):
            end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._stop.is_set():
            if select.select([self._listener], [], [], 0.1)[0]:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                thread = threading.Thread(target=self._carry, args=(near, far), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        self._open.add(near)
        other = {near: far, far: near}
        last = time.monotonic()
        try:
            while not self._stop.is_set():
                for end in select.select([near, far], [], [], 0.1)[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    other[end].sendall(data)
                    last = time.monotonic()
                if self.idle is not None and time.monotonic() - last > self.idle:
                    self.cuts += 1
                    return
        except OSError:
            return
        finally:
            self._open.discard(near)
            near.close()
            far.close()
