"""The server's end of a link over a kernel's control channel (see `bokehmount.kernel.control_carrier`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from typing import Any, Final

from bokehmount import __version__
from bokehmount.errors import KernelLost, ProtocolError
from bokehmount.link.carrier import Receiver
from bokehmount.link.flow import Flow
from bokehmount.link.messages import MESSAGE_TYPE, PROTOCOL, Part

from .control_channel import ChannelClosed, ControlChannel

__all__ = ("LINE_LOST", "RESTARTED", "ControlCarrier")

log = logging.getLogger(__name__)

LINE_LOST: Final = "the connection to the kernel is lost; trying again"

RESTARTED: Final = "the kernel was restarted or has stopped: run the app's cell again"

_OPENING: Final = 10.0
"""Seconds after which a kernel is asked once more that does not answer; most do in 10 ms, also while a cell runs."""

_PROBING: Final = 3.0
"""Seconds in which it answers what any kernel understands."""


class ControlCarrier:
    """Carries one link over a control channel.

    Args:
        channel: an open channel, which is this carrier's from now on
    """

    name = "control"

    def __init__(self, channel: ControlChannel) -> None:
        self._channel = channel
        self._link = uuid.uuid4().hex
        self._door: str | None = None
        self._closed = False
        self._flow = Flow(self._send)
        self.heard = time.monotonic()
        self._probe = ""
        self._probed: asyncio.Future[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._receiver: Receiver | None = None

    async def open(self, hello: Mapping[str, Any], silent: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        """Say hello to the kernel, and wait for its answer: it may still start, or compute.

        Args:
            hello: what it is told of this server
            silent: called now and then while it does not answer; raises where there is nothing to wait for

        Returns:
            what the kernel says of itself

        Raises:
            KernelLost: it has not loaded bokehmount, speaks another protocol, or can't be reached any more
        """
        self._send({"hello": {**hello, "protocol": PROTOCOL}})
        # a kernel without bokehmount, or one that was restarted meanwhile, does not answer our message; but it answers
        # this one, and in order
        probes = {self._channel.send("kernel_info_request", {})}
        answering = asyncio.ensure_future(self._answer(probes))
        try:
            while not (await asyncio.wait([answering], timeout=_OPENING))[0]:
                await silent()
                probes.add(self._channel.send("kernel_info_request", {}))
            answer = answering.result()
        except ChannelClosed as error:
            raise KernelLost(f"{error}: try again") from None
        finally:
            answering.cancel()
        if answer.get("protocol") != PROTOCOL:
            raise KernelLost(
                f"bokehmount {answer.get('bokehmount')} in the kernel and {__version__} in the Jupyter server do not "
                "understand each other: install the same version in both environments, and restart a server that ran "
                "while it was updated"
            )
        return answer

    async def _answer(self, probes: Set[str]) -> dict[str, Any]:
        while True:
            message = await self._channel.receive()
            if message.parent in probes and message.msg_type == "kernel_info_reply":
                raise KernelLost("bokehmount is not loaded in this kernel: run %load_ext bokehmount and the app's cell")
            content = message.content
            if message.msg_type == MESSAGE_TYPE and content.get("link") == self._link and "hello" in content:
                answer: dict[str, Any] = content["hello"]
                self._door = content.get("door")
                return answer

    def start(self, receiver: Receiver) -> None:
        """Begin to hand messages over."""
        self._receiver = receiver
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self._receiver is not None, "start() sets it"
        while not self._closed:
            try:
                message = await self._channel.receive()
            except ChannelClosed:
                self._receiver.lost(LINE_LOST)
                return
            content = message.content
            if message.parent == self._probe and self._probed is not None and not self._probed.done():
                self._probed.set_result(None)
            if message.msg_type != MESSAGE_TYPE or content.get("link") != self._link:
                continue
            if content.get(
                "unknown"
            ):  # a kernel that has given the link up, or that started anew and loaded bokehmount
                gave_up = self._door is not None and content.get("door") == self._door
                self._receiver.lost(LINE_LOST if gave_up else RESTARTED)
                return
            self.heard = time.monotonic()
            try:
                parts = self._flow.take(content, message.buffers)
            except ProtocolError as error:
                self._receiver.lost(str(error))
                return
            if parts is not None:
                self._receiver.received(parts)

    async def answers(self) -> bool:
        """Whether the kernel answers at all, though it may know nothing of this link."""
        self._probed = asyncio.get_running_loop().create_future()
        self._probe = self._channel.send("kernel_info_request", {})
        done, _ = await asyncio.wait([self._probed], timeout=_PROBING)
        return bool(done)

    @property
    def waiting(self) -> int:
        """Bytes that the kernel has not taken, beyond what may be on the way."""
        return self._flow.waiting

    def send(self, parts: Sequence[Part]) -> None:
        """Send a message of the link."""
        if not self._closed:
            self._flow.put(parts)

    def _send(self, content: dict[str, Any], parts: Sequence[Part] = ()) -> None:
        self._channel.send(MESSAGE_TYPE, {"link": self._link, **content}, parts)

    def close(self) -> None:
        """Say goodbye and let the channel go."""
        if not self._closed:
            with contextlib.suppress(Exception):
                self._flow.flush()
                self._send({"bye": True})
        self.release()

    def release(self) -> None:
        """Let the channel go without a word: another carrier has taken over."""
        if self._closed:
            return
        self._closed = True
        if self._reader is not None:
            self._reader.cancel()
        self._channel.close()
