"""The kernel's end of a link over its control channel: works wherever the kernel does.

ipykernel answers control messages in a thread of their own, also while a cell runs.  Our messages have one type of
their own; each names its link.  Answers and pushes go back on the same channel, to the socket that opened the link, so
that no notebook's tab receives app traffic (but ipykernel's own "busy" and "idle") and no rate limit of IOPub applies.

The channel itself takes all that is sent; what paces it is `bokehmount.link.flow`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from ..errors import ProtocolError
from ..link.carrier import Receiver
from ..link.flow import Flow, Words
from ..link.messages import MESSAGE_TYPE, Part, Parts
from ..link.stream import kept_by
from .socket_reader import MOST

__all__ = ("ControlCarrier", "ControlDoor")

log = logging.getLogger(__name__)

SILENCE: Final = 60.0
"""Seconds after which a server that says nothing is gone; one that lives asks every 5 s whether we do."""

STUCK: Final = 30.0
"""Seconds after which a server that took nothing is gone."""

SIGN: Final = 1.0
"""Seconds after which a server hears again from a kernel that takes nothing for now: it holds its questions back."""


class ControlCarrier:
    """One link's carrier.  Made by `ControlDoor`.

    Args:
        kernel: the ipykernel
        main: the main thread's loop
        link: the link's name
        ident: the server's address on the channel
        parent: the header of the message that opened the link
        server: names the server and its life, where it says so
        lose: called on the control thread, with the reason, when the server takes nothing any more
    """

    name = "control"

    def __init__(
        self,
        kernel: Any,
        main: asyncio.AbstractEventLoop,
        link: str,
        ident: list[bytes],
        parent: dict[str, Any],
        server: str | None = None,
        lose: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._kernel = kernel
        self._main = main
        self._lose = lose
        self._changed = threading.Condition()
        self._flow = Flow(self._write)
        self._waiting = 0  # bytes of memory that the main thread has not come to yet
        self._link = link
        self._ident = ident
        self._parent = parent
        self.server = server
        self._closed = False
        self.receiver: Receiver | None = None
        self.heard = time.monotonic()

    def send(self, parts: Sequence[Part]) -> None:
        """Send a message of the link; the main thread waits for a server that falls behind, up to `STUCK` seconds."""
        with self._changed:
            try:
                if threading.current_thread() is threading.main_thread():
                    self._wait_for_room()
            finally:  # who interrupts a cell that waits here does not want its changes lost
                if not self._closed:
                    self._flow.put(parts)

    def _write(self, words: Words, parts: Parts) -> None:
        self.send_content({"link": self._link, **words}, parts)

    @property
    def is_full(self) -> bool:
        """Whether `send` lets the main thread wait."""
        return not self._closed and self._flow.is_full

    def _wait_for_room(self) -> None:
        while self.is_full:
            before = self._flow.arrived
            if not self._changed.wait(STUCK) and self._flow.arrived == before:
                why = f"the server has taken nothing for {STUCK:.0f} s"
                self._kernel.control_stream.io_loop.add_callback(self._lose, why)
                self._closed = True

    def take(self, content: dict[str, Any], parts: Sequence[Part]) -> None:
        """Take what the server sent: a message, a piece of one, or word of how much it took.

        Raises:
            ProtocolError: it is nothing of these
        """
        self.heard = time.monotonic()
        with self._changed:
            if self._closed:
                return
            whole = self._flow.take(content, parts)
            if "taken" in content:
                self._changed.notify_all()
        if whole is not None and self.receiver is not None:
            self.receiver.received(whole)
            self._wait_for_main(kept_by(whole))

    def _wait_for_main(self, size: int) -> None:
        """The message may be work for the main thread: while more than `MOST` waits there, the server sends no more."""
        with self._changed:
            self._waiting += size
            begins = self._waiting > MOST and not self._flow.is_holding
            self._flow.is_holding = self._flow.is_holding or begins
        if begins:
            self._show_life()
        self._main.call_soon_threadsafe(self._caught_up, size)

    def _caught_up(self, size: int) -> None:
        with self._changed:
            self._waiting -= size
            if self._flow.is_holding and self._waiting <= MOST and not self._closed:
                self._flow.is_holding = False
                self.heard = time.monotonic()
                self._flow.tell()

    def _show_life(self) -> None:
        with self._changed:
            if self._closed or not self._flow.is_holding:
                return
            self._flow.tell()
        self._kernel.control_stream.io_loop.call_later(SIGN, self._show_life)

    @property
    def is_holding(self) -> bool:
        """Whether the server is not to send: then it may be silent."""
        return self._flow.is_holding

    def send_content(self, content: dict[str, Any], parts: Sequence[Part] = ()) -> None:
        """Send what also the opening of a link is made of."""
        # zmq sockets belong to one thread: that of the control channel
        self._kernel.control_stream.io_loop.add_callback(self.send_now, content, list(parts))

    def send_now(self, content: dict[str, Any], parts: Sequence[Part] = ()) -> None:
        """The same, from the control thread."""
        self._kernel.session.send(
            self._kernel.control_stream,
            MESSAGE_TYPE,
            content,
            parent=self._parent,
            ident=self._ident,
            buffers=list(parts),
        )

    def close(self) -> None:
        """Send nothing any more, but the word that this link is not known here any longer."""
        with self._changed:
            if self._closed:
                return
            self._flow.flush()
            self.receiver = None
            self.release()
            self.send_content({"link": self._link, "unknown": True})

    def release(self) -> None:
        """Send nothing any more: the server knows."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class ControlDoor:
    """Takes link messages off a kernel's control channel.

    Args:
        kernel: the ipykernel
        main: the main thread's loop
        opened: called on the control thread when a server opens a link, with the carrier and what the server says of
            itself; gives what the kernel says of itself and who receives the messages of a link that stays on this
            channel, or None where another carrier has it
    """

    def __init__(
        self,
        kernel: Any,
        main: asyncio.AbstractEventLoop,
        opened: Callable[[ControlCarrier, dict[str, Any]], tuple[dict[str, Any], Receiver | None]],
    ) -> None:
        self._kernel = kernel
        self._main = main
        self._opened = opened
        self._carriers: dict[str, ControlCarrier] = {}
        self._name = uuid.uuid4().hex  # by which a server knows that what it lost is a link, and no kernel
        self._looked = time.monotonic()
        kernel.control_handlers[MESSAGE_TYPE] = self._on_message

    def _on_message(self, _stream: Any, ident: list[bytes], message: dict[str, Any]) -> None:
        content = message["content"]
        link = content.get("link")
        if not isinstance(link, str):
            log.error("bokehmount: a link message without a link's name")
        elif "hello" in content:
            self._open(link, ident, message, content["hello"])
        elif content.get("bye"):
            self._lose(link, "the server closed the link")
        else:
            carrier = self._carriers.get(link)
            if carrier is None:
                unknown = ControlCarrier(self._kernel, self._main, link, ident, message["header"])
                unknown.send_content({"link": link, "unknown": True, "door": self._name})
            else:
                try:
                    carrier.take(content, [bytes(part) for part in message["buffers"]])
                except ProtocolError as error:
                    log.error("bokehmount: a server sent something else than a link message: %s", error)
                    self._lose(link, str(error))

    def _open(self, link: str, ident: list[bytes], message: dict[str, Any], hello: dict[str, Any]) -> None:
        server = hello.get("server")
        carrier = ControlCarrier(
            self._kernel, self._main, link, ident, message["header"], server, lambda why: self._lose(link, why)
        )
        answer, carrier.receiver = self._opened(carrier, hello)
        for earlier, known in tuple(self._carriers.items()):  # over a line that broke, which nobody tells us
            if earlier == link or (server is not None and known.server == server):
                self._lose(earlier, "the server opened it anew")
        if carrier.receiver is not None:
            self._carriers[link] = carrier
        # now, on this thread: the server takes an answer to its next message for the sign that we are not here
        carrier.send_now({"link": link, "hello": answer, "door": self._name})

    def _lose(self, link: str, why: str) -> None:
        carrier = self._carriers.pop(link, None)
        if carrier is not None and carrier.receiver is not None:
            carrier.release()
            carrier.receiver.lost(why)

    def lose_silent(self, patience: float = SILENCE) -> None:
        """Give up the links of servers that vanished without a word, or lost their way here.  Safe on any thread.

        One that comes back is told that its link is unknown, and opens another.
        """
        now = time.monotonic()
        has_slept, self._looked = now - self._looked > patience / 2, now
        if has_slept:  # this process did, and perhaps all of it: what servers said may lie unread
            return
        for link, carrier in tuple(self._carriers.items()):
            if now - carrier.heard > patience and not carrier.is_holding:
                why = f"the server has said nothing for {patience:.0f} s"
                self._kernel.control_stream.io_loop.add_callback(self._lose, link, why)

    def forget(self, carrier: ControlCarrier) -> None:
        """A link was ended from this side."""
        for link, known in tuple(self._carriers.items()):
            if known is carrier:
                del self._carriers[link]

    def close(self) -> None:
        """Take no link messages any more."""
        if self._kernel.control_handlers.get(MESSAGE_TYPE) == self._on_message:
            del self._kernel.control_handlers[MESSAGE_TYPE]
