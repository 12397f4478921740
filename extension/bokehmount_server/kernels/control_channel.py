"""The control channel of a kernel: of one that this server runs, and of one that a gateway runs for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from jupyter_client.session import Session
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from jupyter_server.utils import url_path_join
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, WebSocketError, websocket_connect

from bokehmount.errors import AppNotFound, KernelLost
from bokehmount.link.messages import Part
from bokehmount.link.stream import MAX_MESSAGE

__all__ = ("ChannelClosed", "ControlChannel", "ControlMessage", "GatewayControlChannel", "LocalControlChannel")

log = logging.getLogger(__name__)

_V1: Final = "v1.kernel.websocket.jupyter.org"


class ChannelClosed(Exception):
    """Nothing will come over this channel any more."""


@dataclass(frozen=True, slots=True)
class ControlMessage:
    """A message of the kernel.

    Args:
        msg_type: its type
        parent: the id of the message that it answers
        content: what it says
        buffers: its binary parts
    """

    msg_type: str
    parent: str
    content: Mapping[str, Any]
    buffers: Sequence[bytes]


class ControlChannel(Protocol):
    """One client's control channel."""

    def send(self, msg_type: str, content: Mapping[str, Any], buffers: Sequence[Part] = ()) -> str:
        """Send a message; gives its id."""

    async def receive(self) -> ControlMessage:
        """The next message of the kernel; raises `ChannelClosed` when there will be none."""

    def close(self) -> None:
        """Let the channel go.  Doing it again does nothing."""


class _Writing:
    """What is being written; where it can't be, nothing will come either, and whoever receives is told."""

    def __init__(self) -> None:
        self._writing: set[asyncio.Future[None]] = set()

    def add(self, writing: Awaitable[None]) -> None:
        """Hold on to a write until it is done."""
        written = asyncio.ensure_future(writing)
        self._writing.add(written)
        written.add_done_callback(self._done)

    def _done(self, written: asyncio.Future[None]) -> None:
        self._writing.discard(written)
        if not written.cancelled() and (error := written.exception()) is not None:
            log.debug("bokehmount: a control channel did not take a message: %r", error)


class LocalControlChannel:
    """Of a kernel that this server runs.

    Args:
        client: a client of it, as its kernel manager makes them
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._writing = _Writing()
        client.start_channels(shell=False, iopub=False, stdin=False, hb=False, control=True)

    def send(self, msg_type: str, content: Mapping[str, Any], buffers: Sequence[Part] = ()) -> str:
        """Send a message; gives its id."""
        session = self._client.session
        message = session.msg(msg_type, dict(content))
        # not Session.send, which goes past zmq.asyncio: what arrived just then would lie there unread, because a ZMQ
        # socket tells only once that something came (its FD is edge-triggered)
        self._writing.add(self._client.control_channel.socket.send_multipart([*session.serialize(message), *buffers]))
        return str(message["header"]["msg_id"])

    async def receive(self) -> ControlMessage:
        """The next message of the kernel."""
        message = await self._client.get_control_msg()
        parent = str(message["parent_header"].get("msg_id", ""))
        return ControlMessage(message["msg_type"], parent, message["content"], [bytes(b) for b in message["buffers"]])

    def close(self) -> None:
        """Let the channel go."""
        self._client.stop_channels()


class GatewayControlChannel:
    """Of a kernel that a gateway runs.  Make it with `open`.

    jupyter_server's own client of a gateway's kernels can't be used: it sends no authorisation, drops binary parts,
    and waits without an event loop.

    Args:
        connection: a WebSocket to the kernel's channels, which speaks Jupyter's v1 protocol
    """

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self._connection = connection
        self._session = Session(key=b"")
        self._writing = _Writing()

    @classmethod
    async def open(cls, kernel_id: str) -> GatewayControlChannel:
        """Connect to a kernel of the gateway that this server is configured for.

        Raises:
            AppNotFound: the gateway has no such kernel
            KernelLost: the gateway can't be reached, or speaks another protocol
        """
        gateway = GatewayClient.instance()
        url = url_path_join(gateway.ws_url or "", gateway.kernels_endpoint or "", kernel_id, "channels")
        arguments: dict[str, Any] = gateway.load_connection_args()  # type: ignore[no-untyped-call]
        request = HTTPRequest(f"{url}?session_id={uuid.uuid4().hex}", **arguments)
        try:
            connection = await websocket_connect(
                request, subprotocols=[_V1], max_message_size=MAX_MESSAGE, ping_interval=25
            )
        except (HTTPClientError, OSError, WebSocketError) as error:
            code = error.code if isinstance(error, HTTPClientError) else None
            if code == 404:
                raise AppNotFound("the gateway has no such kernel any more: start one and run the app's cell") from None
            if code in (401, 403):
                raise KernelLost(f"the gateway refuses this server ({error}): ask who runs it") from None
            raise KernelLost(f"the gateway can't be reached ({error}): try again") from None
        if connection.selected_subprotocol != _V1:
            connection.close()
            raise KernelLost(f"the gateway does not speak {_V1}: it needs a newer jupyter-server")
        return cls(connection)

    def send(self, msg_type: str, content: Mapping[str, Any], buffers: Sequence[Part] = ()) -> str:
        """Send a message; gives its id."""
        message = self._session.msg(msg_type, dict(content))
        pack = self._session.pack
        parts = [pack(message["header"]), pack({}), pack({}), pack(message["content"]), *map(bytes, buffers)]
        data: bytes = serialize_msg_to_ws_v1(parts, "control")  # type: ignore[no-untyped-call]
        with contextlib.suppress(WebSocketClosedError):  # receive() will say so
            self._writing.add(self._connection.write_message(data, binary=True))
        return str(message["header"]["msg_id"])

    async def receive(self) -> ControlMessage:
        """The next message of the kernel on its control channel."""
        while True:
            data = await self._connection.read_message()
            if data is None:
                raise ChannelClosed("the connection to the gateway is lost")
            if not isinstance(data, bytes):
                continue
            channel, parts = deserialize_msg_from_ws_v1(data)  # type: ignore[no-untyped-call]
            if channel == "control":
                header, parent, _, content = (self._session.unpack(part) for part in parts[:4])
                return ControlMessage(header["msg_type"], str(parent.get("msg_id", "")), content, parts[4:])

    def close(self) -> None:
        """Let the channel go."""
        self._connection.close()
