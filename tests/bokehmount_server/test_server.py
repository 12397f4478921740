"""A server from its start to its end: ports, sockets, certificates, processes, signals and hooks."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from bokeh.application import Application
from bokeh.application.application import ServerContext, SessionContext
from bokeh.application.handlers import Handler
from bokeh.document import Document
from bokeh.models.widgets import Div
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.ioloop import IOLoop
from tornado.process import cpu_count

from bokehmount.contexts import BokehSessionContext
from bokehmount.errors import TokenError
from bokehmount_server import server as server_module
from bokehmount_server import tornado as tornado_module
from bokehmount_server.server import BaseServer, Server
from bokehmount_server.signals import signals_heeded
from bokehmount_server.tornado import BokehTornado
from bokehmount_server.util import bind_sockets
from tests.server_apps.serving import Running, serving

from ..kinds import the


def app(doc: Document) -> None:
    request: Any = the(BokehSessionContext, doc.session_context).request
    doc.add_root(Div(text=f"{request.remote_ip} {request.protocol} {request.host}", name="request"))


def text(running: Running) -> str:
    return str(running.session().document.get_model_by_name("request").text)


def test_a_single_application_is_at_the_root_below_the_prefix() -> None:
    with serving(app, prefix="some/where/") as running:
        server = running.server
        assert server.prefix == "/some/where"
        assert running.url.endswith("/some/where")
        assert requests.get(f"{running.url}/", timeout=20).status_code == 200
        assert requests.get(running.url, timeout=20).status_code == 200
        assert len(server.get_sessions()) == len(server.get_sessions("/")) == 2
        session = server.get_sessions("/")[0]
        assert server.get_session("/", session.id) is session
        with pytest.raises(ValueError, match="'/nowhere'"):
            server.get_session("/nowhere", session.id)
        with pytest.raises(ValueError, match="'/nowhere'"):
            server.get_sessions("/nowhere")
        with pytest.raises(Exception, match="no such session"):
            server.get_session("/", "unknown")
        assert server.port == int(server.url.split(":")[2].split("/")[0])
        assert (server.address, server.index, server.unix_socket) == (None, None, None)
        assert server.io_loop is running.io_loop


def test_a_server_is_started_and_stopped_once() -> None:
    with serving(app) as running:
        with pytest.raises(RuntimeError, match="started already"):
            running.do(running.server.start)
        running.do(running.server.stop)
        with pytest.raises(RuntimeError, match="stopped already"):
            running.do(running.server.stop)
        with pytest.raises(requests.ConnectionError):
            requests.get(running.url, timeout=20)


class Hooked(Handler):
    """Notes its hooks, of which that for a session's end takes a while."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    def modify_document(self, doc: Document) -> None:
        doc.add_root(Div())

    async def on_session_destroyed(self, session_context: SessionContext) -> None:
        await asyncio.sleep(0.2)
        self.noted.append("session destroyed")

    def on_server_unloaded(self, server_context: ServerContext) -> None:
        self.noted.append("server unloaded")


def test_a_thread_that_is_not_the_loops_stops_a_server_and_its_loop_after_all_hooks() -> None:
    handler = Hooked()
    with serving(Application(handler)) as running:
        requests.get(running.url, timeout=20)
        running.server.stop()
        assert handler.noted == ["session destroyed", "server unloaded"]


def test_a_thread_that_need_not_wait_gives_up_a_loop_that_a_callback_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tornado_module, "_HASTE", 0.2)
    free = threading.Event()
    with serving(app) as running:
        running.io_loop.add_callback(free.wait, 20)
        running.server.stop(wait=False)
        free.set()


def test_a_server_whose_loop_is_closed_stops_with_the_hooks_that_need_none() -> None:
    handler = Hooked()
    io_loop = IOLoop(make_current=False)
    server = Server(Application(handler), io_loop=io_loop, port=0)
    server.start()
    io_loop.run_sync(lambda: asyncio.sleep(0.1))
    io_loop.close()
    server.stop()
    assert handler.noted == ["server unloaded"]


def test_a_server_that_stops_listening_keeps_its_sessions() -> None:
    with serving(app) as running:
        requests.get(running.url, timeout=20)
        running.do(running.server.unlisten)
        with pytest.raises(requests.ConnectionError):
            requests.get(running.url, timeout=20)
        assert len(running.server.get_sessions()) == 1


def test_a_browser_is_opened_at_an_app(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(server_module, "view", lambda url, **kwargs: opened.append((url, kwargs)))
    with serving({"/a": app}, prefix="p") as running:
        running.server.show("/a", browser="some", new="window")
        assert opened == [(f"http://localhost:{running.server.port}/p/a", {"browser": "some", "new": "window"})]
        with pytest.raises(ValueError, match="slash"):
            running.server.show("a")


def test_both_spellings_of_the_http_servers_arguments() -> None:
    for name in ("http_server_kwargs", "tornado_server_kwargs"):
        with serving(app, **{name: {"xheaders": True}}) as running:
            requests.get(running.url, headers={"X-Real-Ip": "10.9.8.7"}, timeout=20)
            assert text(running).startswith("10.9.8.7 ")
    with pytest.raises(ValueError, match="the same thing"):
        Server(app, port=0, http_server_kwargs={"xheaders": True}, tornado_server_kwargs={"xheaders": False})


def test_a_proxys_headers_are_believed_only_where_that_was_asked_for() -> None:
    headers = {"X-Forwarded-For": "10.1.1.1, 10.2.2.2", "X-Scheme": "https"}
    for kwargs, seen in (
        ({}, "127.0.0.1 http"),
        ({"use_xheaders": True}, "10.2.2.2 https"),
        ({"trusted_proxies": ["10.2.2.2"]}, "10.1.1.1 https"),
    ):
        with serving(app, address="127.0.0.1", **kwargs) as running:
            requests.get(running.url, headers=headers, timeout=20)
            assert text(running).startswith(seen)


tornado_drops_its_socket = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@tornado_drops_its_socket
def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with serving(app, unix_socket=path) as running:
        assert (running.server.unix_socket, running.server.port, running.server.address) == (path, None, None)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b"GET / HTTP/1.0\r\nHost: here\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
    with pytest.raises(OSError, match="unix_socket '/nowhere/s'"):
        Server(app, unix_socket="/nowhere/s")


def make_certificate(folder: Path) -> tuple[str, str]:
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-keyout", key, "-out", cert, "-days", "2"]  # noqa: RUF005
        + ["-passout", "pass:sesame", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True,
        capture_output=True,
    )
    return cert, key


def test_tls_and_what_can_be_wrong_with_it(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    with serving(app, ssl_certfile=cert, ssl_keyfile=key, ssl_password="sesame") as running:
        assert running.server.url.startswith("https://")
        page = requests.get(running.server.url, verify=cert, timeout=20)
        assert page.status_code == 200
    with pytest.raises(OSError, match=r"ssl_certfile '/nowhere.pem' can't be read.*PEM"):
        Server(app, port=0, ssl_certfile="/nowhere.pem")
    with pytest.raises(ValueError, match=r"can't be used.*ssl_password"):
        Server(app, port=0, ssl_certfile=cert, ssl_keyfile=key, ssl_password="wrong")
    (tmp_path / "bad.pem").write_text("nonsense")
    with pytest.raises(ValueError, match=r"bad.pem.*expected a certificate"):
        Server(app, port=0, ssl_certfile=str(tmp_path / "bad.pem"))


@tornado_drops_its_socket
def test_a_program_makes_sessions_for_requests_and_waits_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names that Bokeh has for it since 3.10."""
    monkeypatch.setenv("BOKEH_SIGN_SESSIONS", "yes")
    monkeypatch.setenv("BOKEH_SECRET_KEY", "a secret of many letters")

    def asking(uri: str) -> HTTPServerRequest:
        headers = HTTPHeaders({"Host": "localhost"})
        return HTTPServerRequest(start_line=RequestStartLine("GET", uri, "HTTP/1.1"), headers=headers)

    async def main() -> None:
        server = Server.from_settings({"/a": app}, port=0)
        assert server.tornado_app.sign_sessions
        server.start()
        tornado_app, context = server.tornado_app, server.tornado_app.applications["/a"]
        made = await tornado_app.create_session(context, asking("/a?n=5"))
        seen = the(BokehSessionContext, made.document.session_context)
        assert seen.request is not None and seen.request.arguments == {"n": [b"5"]}
        assert await tornado_app.create_session(context, asking(f"/a?bokeh-token={made.token}")) is made
        assert await tornado_app.create_session_if_needed(context, made.id) is made
        with pytest.raises(TokenError):
            await tornado_app.create_session(context, asking("/a?bokeh-session-id=unsigned"))
        await server.stop_async()
        await server.wait_until_stopped()
        assert made.destroyed
        with pytest.raises(RuntimeError, match="stopped already"):
            await server.stop_async()

    asyncio.run(main())


def test_what_makes_no_sense_is_named() -> None:
    with serving(app) as running, pytest.raises(OSError, match=rf"port {running.server.port}.*in use.*port=0"):
        Server(app, port=running.server.port)
    for prefix in ("a b", "a?b", "../a", "a//b", "a#b"):
        with pytest.raises(ValueError, match="is no URL prefix"):
            Server(app, port=0, prefix=prefix)
    with pytest.raises(ValueError, match="'sliders' is no app path"):
        Server({"sliders": app}, port=0)
    with pytest.raises(TypeError, match="expected a Bokeh Application"):
        Server({"/sliders": 5}, port=0)  # type: ignore[dict-item]
    with pytest.raises(RuntimeError, match="num_procs and io_loop"):
        Server(app, io_loop=IOLoop(make_current=False), num_procs=2)
    with pytest.raises(ValueError, match="keep_alive_milliseconds must be 0 or more, not -1"):
        Server(app, port=0, keep_alive_milliseconds=-1)


def test_the_parts_can_be_joined_by_hand() -> None:
    loop = IOLoop(make_current=False)

    async def run() -> tuple[int, str | None]:
        tornado_app = BokehTornado({"/": app})
        with pytest.raises(RuntimeError, match="initialize"):
            _ = tornado_app.io_loop
        http = HTTPServer(tornado_app)
        http.listen(0, "127.0.0.1")
        server = BaseServer(IOLoop.current(), tornado_app, http)
        server.start()
        assert server.tornado_app.io_loop is server.io_loop
        url = server.url

        def ask() -> int:
            return requests.get(url, timeout=20).status_code

        status = await server.run_in_background(ask)
        address = server.address
        server.stop()
        await server.closed()
        return status, address

    assert loop.run_sync(run) == (200, "127.0.0.1")
    loop.close(all_fds=True)


PROGRAM = textwrap.dedent(
    """
    import asyncio, os, sys, time
    from bokeh.application import Application
    from bokeh.application.handlers import Handler
    from bokeh.application.handlers.function import FunctionHandler
    from bokehmount_server.server import Server

    def say(*words):
        os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # at once, while other processes write too

    class Hooks(Handler):
        def modify_document(self, doc):
            doc.title = f"process {os.getpid()}"
            time.sleep(0.1)  # while one is busy, others answer
            doc.on_session_destroyed(lambda context: say("document destroyed"))
        def on_server_loaded(self, context):
            say("loaded", os.getpid())
        def on_server_unloaded(self, context):
            say("unloaded", os.getpid())
        async def on_session_destroyed(self, context):
            await asyncio.sleep(0.05)
            say("session destroyed")

    server = Server(Application(Hooks()), port=int(sys.argv[1]), num_procs=int(sys.argv[2]), address="127.0.0.1")
    say("port", server.port, os.getpid())
    time.sleep(float(sys.argv[3]))
    server.run_until_shutdown()
    say("returned")
    """
)


class Program:
    """A server in a process of its own."""

    def __init__(self, *arguments: object, program: str = PROGRAM) -> None:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": ""}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
        self.said: list[str] = []

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        """End it, with the processes that it made, where a test has not."""
        with self.process:
            self.process.kill()

    def until(self, condition: Callable[[str], bool]) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())
            if condition(line):
                return line
        raise AssertionError(f"it ended: {self.said}")

    def end(self, number: int) -> list[str]:
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=60)
        self.said += out.split("\n")
        return self.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_after_all_hooks(number: int) -> None:
    with Program(0, 1, 0) as program:
        port = int(program.until(lambda line: line.startswith("port")).split()[1])
        program.until(lambda line: line.startswith("loaded"))
        assert requests.get(f"http://127.0.0.1:{port}/", timeout=20).status_code == 200
        said = program.end(number)
        assert program.process.returncode == 0
        assert {"session destroyed", "document destroyed", "returned"} <= set(said)
        assert said.index("session destroyed") < next(i for i, line in enumerate(said) if line.startswith("unloaded"))


def test_who_heeded_a_signal_before_does_so_again() -> None:
    def mine(number: int, frame: Any) -> None: ...

    async def main() -> None:
        with signals_heeded(asyncio.get_running_loop(), lambda: None):
            assert signal.getsignal(signal.SIGTERM) is not mine
        assert signal.getsignal(signal.SIGTERM) is mine

    before = signal.signal(signal.SIGTERM, mine)
    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_address_of_ipv6_stands_in_brackets_in_all_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    # not every machine can listen there
    monkeypatch.setattr(server_module, "bind_sockets", lambda _, port: bind_sockets("127.0.0.1", port))

    async def main() -> None:
        server = Server({"/app": lambda doc: None}, address="::1", port=0)
        assert server.url == f"http://[::1]:{server.port}"
        assert server.tornado_app.resources(True).root_url == f"{server.url}/"
        server.stop()
        await server.closed()

    asyncio.run(main())


ENDLESS = textwrap.dedent(
    """
    import sys
    from bokehmount_server.server import Server

    def endless(doc):
        print("endless begins", flush=True)
        while True:
            pass

    def hello(doc):
        doc.on_session_destroyed(lambda context: print("destroyed", flush=True))

    server = Server({"/endless": endless, "/hello": hello}, port=0, address="127.0.0.1")
    print("port", server.port, flush=True)
    server.run_until_shutdown()
    print("returned", flush=True)
    """
)


def test_the_second_ctrl_c_breaks_off_a_callback_that_never_ends() -> None:
    with Program(program=ENDLESS) as program:
        url = f"http://127.0.0.1:{program.until(lambda line: line.startswith('port')).split()[1]}"
        assert requests.get(f"{url}/hello", timeout=20).status_code == 200
        with ThreadPoolExecutor(1) as asker:
            asker.submit(requests.get, f"{url}/endless", timeout=60)
            program.until(lambda line: line.startswith("endless begins"))
            program.process.send_signal(signal.SIGINT)
            time.sleep(1)
            assert program.process.poll() is None, "the first is for the loop"
            said = program.end(signal.SIGINT)
        assert program.process.returncode == 0
        assert {"destroyed", "returned"} <= set(said)
        assert any("in endless" in line for line in said), "where it was broken off"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pid_in(line: str) -> int:
    return int(line.split()[-1])


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually_ends(pids: set[int]) -> None:
    deadline = time.monotonic() + 30
    while any(map(lives, pids)):
        assert time.monotonic() < deadline, f"of {pids} some still run"
        time.sleep(0.05)


def loaded(program: Program, count: int) -> set[int]:
    return {pid_in(program.until(lambda line: line.startswith("loaded"))) for _ in range(count)}


def test_several_processes_serve_one_port_and_end_together() -> None:
    port = free_port()
    with Program(port, 3, 0) as program:
        pids = loaded(program, 3)
        assert len(pids) == 3

        def ask(_: int) -> int:
            page = requests.get(f"http://127.0.0.1:{port}/", timeout=20)
            return int(page.text.partition("<title>process ")[2].partition("<")[0])

        answered: set[int] = set()
        deadline = time.monotonic() + 60
        with ThreadPoolExecutor(12) as many:
            while answered != pids:
                assert time.monotonic() < deadline, f"of {pids} only {answered} answer"
                answered |= set(many.map(ask, range(12)))
        said = program.end(signal.SIGTERM)
        assert {pid_in(line) for line in said if line.startswith("unloaded")} == pids
        assert program.process.returncode == 0
        eventually_ends(pids)
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}/", timeout=5)


def test_a_number_of_processes_below_one_means_as_many_as_there_are_cores() -> None:
    with Program(free_port(), -1, 0) as program:
        assert len(loaded(program, cpu_count())) == cpu_count()
        program.end(signal.SIGTERM)


def test_a_process_that_crashes_is_replaced_and_ends_with_the_others() -> None:
    with Program(free_port(), 3, 0) as program:
        pids = loaded(program, 3)
        os.kill(min(pids), signal.SIGKILL)
        (new,) = loaded(program, 1)
        assert new not in pids
        said = program.end(signal.SIGINT)
        assert {pid_in(line) for line in said if line.startswith("unloaded")} == pids - {min(pids)} | {new}
        eventually_ends(pids | {new})


HELPER = """
import subprocess
print("helper", subprocess.Popen(["sh", "-c", "sleep 1; exit 1"]).pid, flush=True)
"""


def children_of(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def test_another_process_that_fails_is_not_taken_for_one_of_them() -> None:
    with Program(free_port(), 2, 0, program=HELPER + PROGRAM) as program:
        helper = pid_in(program.until(lambda line: line.startswith("helper")))
        pids = loaded(program, 2)
        eventually_ends({helper})
        time.sleep(0.5)
        assert children_of(program.process.pid) == pids
        program.end(signal.SIGTERM)
        assert program.process.returncode == 0


def test_processes_end_with_the_one_that_waits_for_them_also_where_that_is_killed() -> None:
    with Program(free_port(), 3, 0) as program:
        pids = loaded(program, 3)
        said = program.end(signal.SIGKILL)
        assert {pid_in(line) for line in said if line.startswith("unloaded")} == pids
        eventually_ends(pids)


def test_processes_that_are_told_to_end_before_they_serve_are_not_replaced() -> None:
    with Program(free_port(), 3, 30) as program:
        pids = {pid_in(program.until(lambda line: line.startswith("port"))) for _ in range(3)}
        said = program.end(signal.SIGTERM)
        assert program.process.returncode == 0
        assert len([line for line in said if line.startswith("port")]) == 3
        eventually_ends(pids)
