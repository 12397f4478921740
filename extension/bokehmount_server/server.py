"""A server of Bokeh apps that listens by itself, by the names of ``bokeh.server.server``."""

from __future__ import annotations

import atexit
import logging
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import bokeh
from bokeh.core.types import ID
from bokeh.settings import settings
from bokeh.util.browser import view
from tornado import netutil, version
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop

from .paths import as_url
from .processes import fork
from .signals import signals_heeded
from .tornado import Applications, BokehTornado
from .util import bind_sockets, create_hosts_allowlist

if TYPE_CHECKING:
    from asyncio import Future

    from bokehmount.session import ServerSession

__all__ = ("BaseServer", "Server", "bind_sockets")  # the last since Bokeh 3.10

log = logging.getLogger(__name__)


class BaseServer:
    """Joins a loop, a `BokehTornado` and an `HTTPServer` that was made with it.  Then `start` or `run_until_shutdown`.

    Args:
        io_loop: where everything runs
        tornado_app: the apps
        http_server: listens, or will
    """

    def __init__(self, io_loop: IOLoop, tornado_app: BokehTornado, http_server: HTTPServer) -> None:
        self._loop = io_loop
        self._app = tornado_app
        self._http = http_server
        self._started = self._stopped = False
        tornado_app.initialize(io_loop)

    @property
    def io_loop(self) -> IOLoop:
        """The loop on which everything runs."""
        return self._loop

    @property
    def tornado_app(self) -> BokehTornado:
        """The apps."""
        return self._app

    def start(self) -> None:
        """Begin to serve on the loop, which is yours to run; see `run_until_shutdown` where you run none.

        Raises:
            RuntimeError: it was started already
        """
        if self._started:
            raise RuntimeError("this server was started already")
        self._started = True
        self._app.start()

    def stop(self, wait: bool = True, *, fast: bool | None = None) -> None:
        """Stop: no new connections, sessions end with their hooks, open connections are closed.

        On a loop that runs, this begins it; `closed` can be awaited then.  A thread that is not the loop's waits
        here until the hooks have run; see `BokehTornado.stop`.

        Args:
            wait: whether to wait for sessions that are at work
            fast: the opposite; the name in the first seed

        Raises:
            RuntimeError: it was stopped already
        """
        if self._stopped:
            raise RuntimeError("this server was stopped already")
        self._stopped = True
        self._http.stop()
        self._app.stop(wait if fast is None else not fast)
        if not self._loop.asyncio_loop.is_closed():  # type: ignore[attr-defined]
            self._soon(self._http.close_all_connections)

    async def closed(self) -> None:
        """Wait until all that `stop` began is done."""
        await self._app.closed()
        await self._http.close_all_connections()

    async def stop_async(self) -> None:
        """Stop, and wait until all is done; raises as `stop` does."""
        self.stop()
        await self.closed()

    wait_until_stopped = closed  # its name in Bokeh

    def _soon(self, work: Callable[[], Any]) -> None:
        if self._loop.asyncio_loop.is_running():  # type: ignore[attr-defined]
            self._loop.add_callback(work)
        else:
            with suppress(TimeoutError):
                self._loop.run_sync(work, timeout=5)

    def unlisten(self) -> None:
        """Stop listening and drop the connections, while the apps live on; the server can't be used after that."""
        self._http.stop()
        self._loop.add_callback(self._http.close_all_connections)

    def run_until_shutdown(self) -> None:
        """Start if that was not done, and serve until Ctrl-C or SIGTERM; then stop in good order.

        Where a callback never ends, the second Ctrl-C breaks it off, with its traceback in the log.
        This runs the loop and returns when all is over: the sessions' and the apps' hooks have run.
        """
        if not self._started:
            self.start()
        atexit.register(self._at_exit)
        try:
            # the end in good order included: a second signal changes nothing there
            with signals_heeded(self._loop.asyncio_loop, self._on_signal):  # type: ignore[attr-defined]
                try:
                    self._loop.start()
                except KeyboardInterrupt:
                    print("\nInterrupted, shutting down")
                if not self._stopped:
                    self.stop()
                else:
                    self._loop.run_sync(self.closed)
        finally:
            atexit.unregister(self._at_exit)

    def _on_signal(self) -> None:
        if not self._stopped:
            self._loop.stop()

    def _at_exit(self) -> None:
        if not self._stopped:
            self.stop(wait=False)

    def get_session(self, app_path: str, session_id: ID | str) -> ServerSession:
        """A session that lives.

        Raises:
            ValueError: there is no such app
            bokehmount.errors.ProtocolError: there is no such session
        """
        return self._app.get_session(app_path, session_id)

    def get_sessions(self, app_path: str | None = None) -> list[ServerSession]:
        """The sessions that live, of one app or of all.

        Raises:
            ValueError: there is no such app
        """
        paths = [app_path] if app_path is not None else sorted(self._app.app_paths)
        return [session for path in paths for session in self._app.get_sessions(path)]

    def run_in_background(self, _func: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function that takes long beside the loop; see `BokehTornado.run_in_background`."""
        return self._app.run_in_background(_func, *args, **kwargs)

    def show(self, app_path: str, browser: str | None = None, new: str = "tab") -> None:
        """Open an app in a browser on this machine.

        Args:
            app_path: the app, with its slash
            browser: which one, as `webbrowser` calls it
            new: ``"tab"`` or ``"window"``

        Raises:
            ValueError: the path has no slash in front
        """
        if not app_path.startswith("/"):
            raise ValueError(f"app_path must begin with a slash, as '/sliders', not {app_path!r}")
        view(f"{self.url}{as_url(app_path)}", browser=browser, new=new)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        """Where the server is, for a browser on this machine."""
        return _origin(self.address, self.port, tls=self._http.ssl_options is not None) + as_url(self.prefix)

    @property
    def port(self) -> int | None:
        """The port it listens on; None on a Unix socket."""
        name = self._socket_name()
        return name[1] if name is not None else None

    @property
    def address(self) -> str | None:
        """The address it listens on; None where it listens on all or on a Unix socket."""
        name = self._socket_name()
        return name[0] if name is not None else None

    def _socket_name(self) -> tuple[str, int] | None:
        for listening in self._http._sockets.values():
            if listening.family in (socket.AF_INET, socket.AF_INET6):
                host, port, *_ = listening.getsockname()
                return host, port
        return None

    @property
    def prefix(self) -> str:
        """Stands before all paths."""
        return self._app.prefix

    @property
    def index(self) -> str | None:
        """The path of the index's template."""
        return self._app.index


class Server(BaseServer):
    """Serves Bokeh apps on a port of its own.  Then `run_until_shutdown`, or `start` on a loop that you run.

    Args:
        applications: Bokeh applications, or functions ``app(doc)``, by path; a single one is at ``/``
        io_loop: where everything runs; the current one where None
        http_server_kwargs: arguments of `tornado.httpserver.HTTPServer`, such as ``max_buffer_size``
        tornado_server_kwargs: the same; the name in the first seed
        num_procs: how many processes serve; as many as there are cores where 0 or less.  Sessions are not shared
            between them: where a page's WebSocket reaches another than its request did, the app is made there once
            more, and a page that comes back may find a new session.  A proxy that keeps a user at one process spares
            both.
        address: the address to listen on; all where None
        port: the port to listen on; 0 for any free one; BOKEH_DEFAULT_SERVER_PORT where None, which is 5006 if unset
        unix_socket: a path of a Unix socket to listen on instead
        prefix: stands before all paths
        index: a template of the index
        allow_websocket_origin: hosts whose pages may open WebSockets; ``localhost`` with the port where None
        use_xheaders: whether a proxy's X-Real-Ip, X-Forwarded-For, X-Scheme and X-Forwarded-Proto are believed
        trusted_proxies: addresses of proxies, one behind another, whose X-Forwarded-For entries are passed over
        ssl_certfile: a certificate, for HTTPS; BOKEH_SSL_CERTFILE where None
        ssl_keyfile: its private key, where that is another file; BOKEH_SSL_KEYFILE where None
        ssl_password: the key's password; BOKEH_SSL_PASSWORD where None
        websocket_max_message_size: bytes of the largest message from a browser
        kwargs: all other arguments of `BokehTornado`

    Raises:
        ValueError: a value makes no sense
        OSError: the port can't be had, or a certificate can't be read
        RuntimeError: the values don't go together
    """

    def __init__(
        self,
        applications: Applications,
        io_loop: IOLoop | None = None,
        http_server_kwargs: dict[str, Any] | None = None,
        *,
        tornado_server_kwargs: dict[str, Any] | None = None,
        num_procs: int | str = 1,
        address: str | None = None,
        port: int | None = None,
        unix_socket: str | None = None,
        prefix: str = "",
        index: str | None = None,
        allow_websocket_origin: Sequence[str] | None = None,
        use_xheaders: bool = False,
        trusted_proxies: Sequence[str] = (),
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
        ssl_password: str | None = None,
        websocket_max_message_size: int = 20 * 2**20,
        **kwargs: Any,
    ) -> None:
        _log_as_bokeh_does()
        log.info("Starting bokehmount's server with Bokeh %s on Tornado %s", bokeh.__version__, version)
        processes = int(num_procs)
        if processes != 1:
            _check_forking(io_loop)
        given = _joined(http_server_kwargs, tornado_server_kwargs)
        given.setdefault("xheaders", use_xheaders or bool(trusted_proxies))
        if trusted_proxies:
            given.setdefault("trusted_downstream", list(trusted_proxies))
        certificate = settings.ssl_certfile(ssl_certfile)
        if certificate is not None:
            key, password = settings.ssl_keyfile(ssl_keyfile), settings.ssl_password(ssl_password)
            given["ssl_options"] = _tls(certificate, key, password)

        self._unix_socket = unix_socket
        self._address = None if unix_socket else address
        self._port: int | None = None
        # all that can be wrong with the apps is found before the port is taken
        options = {"prefix": prefix, "index": index, "websocket_max_message_size_bytes": websocket_max_message_size}
        origins = list(kwargs.pop("extra_websocket_origins", None) or ())
        tornado_app = BokehTornado(applications, extra_websocket_origins=(), **{**options, **kwargs})
        if unix_socket:
            sockets = [_bind_unix(unix_socket)]
        else:
            sockets, self._port = bind_sockets(address, settings.default_server_port(port))
        try:
            if not unix_socket or allow_websocket_origin:
                origins += create_hosts_allowlist(allow_websocket_origin, self._port)
            tornado_app.websocket_origins.update(origins)
            tornado_app.set_absolute_url(self._absolute_url(tls="ssl_options" in given))
            if processes != 1:
                _check_apps_may_fork(tornado_app)
                fork(processes)
            http_server = HTTPServer(tornado_app, **given)
            http_server.add_sockets(sockets)
            super().__init__(io_loop or IOLoop.current(), tornado_app, http_server)
        except BaseException:
            for listening in sockets:
                listening.close()
            raise

    @classmethod
    def from_settings(
        cls,
        applications: Applications,
        io_loop: IOLoop | None = None,
        http_server_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Server:
        """A server by the ``BOKEH_*`` variables, as each of ours is; Bokeh's heeds them only when it is made so."""
        return cls(applications, io_loop, http_server_kwargs, **kwargs)

    def _absolute_url(self, *, tls: bool) -> str | None:
        if self._unix_socket:
            return None
        return f"{_origin(self._address, self._port, tls=tls)}/"

    @property
    def port(self) -> int | None:
        """The port it listens on; None on a Unix socket."""
        return self._port

    @property
    def address(self) -> str | None:
        """The address it was told to listen on."""
        return self._address

    @property
    def unix_socket(self) -> str | None:
        """The path of the Unix socket it listens on; None where it listens on a port."""
        return self._unix_socket


def _log_as_bokeh_does() -> None:
    """At the level that BOKEH_PY_LOG_LEVEL names, if it names any; to stderr, where nobody has said anything else."""
    level = settings.py_log_level()
    if level is None:
        return
    for name in ("bokehmount", "bokehmount_server"):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        if not logger.hasHandlers():
            logger.addHandler(logging.StreamHandler())


def _check_forking(io_loop: IOLoop | None) -> None:
    if io_loop is not None:
        raise RuntimeError(
            "num_procs and io_loop don't go together: each process needs a loop of its own; leave io_loop out"
        )
    if sys.platform == "win32":
        raise RuntimeError("Windows can't fork: use num_procs=1, or several servers behind a proxy")


def _check_apps_may_fork(tornado_app: BokehTornado) -> None:
    for path, context in tornado_app.applications.items():
        if not context.application.safe_to_fork:
            raise RuntimeError(f"the app at {path!r} has run code already, so num_procs must be 1")


def _joined(first: dict[str, Any] | None, second: dict[str, Any] | None) -> dict[str, Any]:
    """Both spellings of the HTTP server's arguments."""
    joined = {**(first or {}), **(second or {})}
    if first and second and any(joined[name] != first[name] for name in first):
        raise ValueError("http_server_kwargs and tornado_server_kwargs are the same thing and contradict each other")
    return joined


def _tls(certfile: str, keyfile: str | None, password: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    for name, path in (("ssl_certfile", certfile), ("ssl_keyfile", keyfile)):
        if path is not None:
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                raise OSError(
                    error.errno, f"{name} {path!r} can't be read ({error.strerror}): give the path of a PEM file"
                ) from error
    try:
        # without a password OpenSSL would ask on the terminal, and a server would hang
        context.load_cert_chain(certfile, keyfile, password or "")
    except ssl.SSLError as error:
        raise ValueError(
            f"ssl_certfile {certfile!r} and ssl_keyfile {keyfile!r} can't be used ({error.reason or error}): expected "
            "a certificate and its private key as PEM, with ssl_password where the key has one"
        ) from error
    return context


def _bind_unix(path: str) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise RuntimeError("this system has no Unix sockets: give a port instead")
    try:
        return netutil.bind_unix_socket(path)
    except (OSError, ValueError) as error:
        raise OSError(getattr(error, "errno", None), f"can't listen on unix_socket {path!r}: {error}") from error


def _origin(address: str | None, port: int | None, *, tls: bool) -> str:
    host = address or "localhost"
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
