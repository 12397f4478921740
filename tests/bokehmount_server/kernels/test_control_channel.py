"""A control channel over a real ZMQ socket, whose kernel is played by the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.session import Session

from bokehmount_server.kernels.control_channel import ControlMessage, LocalControlChannel

KEY = b"the kernel's key"
PATIENCE = 10.0


class Kernel:
    """The control channel's other end."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.rcvtimeo = int(1000 * PATIENCE)
        self.port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self._session = Session(key=KEY)

    def receive(self) -> tuple[list[bytes], dict[str, Any]]:
        """The next message and who sent it."""
        ident, parts = self._session.feed_identities(self._socket.recv_multipart())
        return ident, self._session.deserialize(parts)

    def send(self, ident: list[bytes], number: int) -> None:
        """Send a message with a number and a buffer."""
        self._session.send(self._socket, "test", {"number": number}, ident=ident, buffers=[b"buffer"])

    def close(self) -> None:
        """Let go."""
        self._context.destroy(linger=0)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """A kernel."""
    kernel = Kernel()
    yield kernel
    kernel.close()


def channel_to(kernel: Kernel) -> LocalControlChannel:
    client = AsyncKernelClient()
    key = KEY.decode()
    client.load_connection_info({"ip": "127.0.0.1", "transport": "tcp", "control_port": kernel.port, "key": key})
    return LocalControlChannel(client)


async def received(channel: LocalControlChannel) -> ControlMessage:
    async with asyncio.timeout(PATIENCE):
        return await channel.receive()


def test_what_is_sent_arrives_with_its_buffers(kernel: Kernel) -> None:
    async def exchange() -> None:
        channel = channel_to(kernel)
        sent = channel.send("ask", {"what": "page"}, [b"one", memoryview(b"two")])
        ident, message = await asyncio.to_thread(kernel.receive)
        assert (message["header"]["msg_id"], message["msg_type"]) == (sent, "ask")
        assert message["content"] == {"what": "page"}
        assert [bytes(buffer) for buffer in message["buffers"]] == [b"one", b"two"]
        kernel.send(ident, 1)
        answer = await received(channel)
        assert (answer.msg_type, answer.content, list(answer.buffers)) == ("test", {"number": 1}, [b"buffer"])
        channel.close()

    asyncio.run(exchange())


def test_an_answer_that_comes_just_before_something_is_sent_is_not_left_lying(kernel: Kernel) -> None:
    async def exchange() -> None:
        channel = channel_to(kernel)
        channel.send("ask", {})
        ident, _ = await asyncio.to_thread(kernel.receive)
        for number in range(20):
            waiting = asyncio.ensure_future(received(channel))
            await asyncio.sleep(0)
            kernel.send(ident, number)
            time.sleep(0.02)  # it is here, and the loop has not looked yet
            channel.send("ask", {})
            assert (await waiting).content == {"number": number}
        channel.close()

    asyncio.run(exchange())
