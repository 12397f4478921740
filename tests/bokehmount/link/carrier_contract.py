"""What every carrier of a link must do, whatever it runs over.  Its own tests call `check_carrier`."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bokehmount.link.carrier import Carrier
from bokehmount.link.messages import Part

PATIENCE = 10.0
"""Seconds after which a carrier has failed."""


class End(Protocol):
    """One end of a link, as a test of a carrier makes it."""

    @property
    def carrier(self) -> Carrier:
        """What sends from this end."""

    @property
    def inbox(self) -> Inbox:
        """What the carrier hands over at this end."""

    @property
    def any_thread(self) -> bool:
        """Whether it may be sent from any thread, as a kernel's end."""


class Inbox:
    """Receives what a carrier hands over, on whichever thread, and copies it: a carrier may use its memory again."""

    def __init__(self) -> None:
        self.messages: list[list[bytes]] = []
        self.ends: list[str] = []

    def received(self, parts: Sequence[Part]) -> None:
        self.messages.append([bytes(part) for part in parts])

    def lost(self, why: str) -> None:
        self.ends.append(why)


class JoinedEnd:
    """An `End` of these two."""

    def __init__(self, carrier: Carrier, inbox: Inbox, any_thread: bool = True) -> None:
        self.carrier = carrier
        self.inbox = inbox
        self.any_thread = any_thread


async def check_carrier(server_end: End, kernel_end: End) -> None:
    """Hold the two ends of a fresh, open link to the contract of `bokehmount.link.carrier`; afterwards it is closed."""
    await _check_each_way(server_end, kernel_end)
    await _check_each_way(kernel_end, server_end)
    await _check_both_ways_at_once(server_end, kernel_end)
    await _check_threads(server_end, kernel_end)
    await _check_close(server_end, kernel_end)


MESSAGES: list[list[bytes]] = [
    [b"{}"],
    [b""],
    [b"{}", b"", b"\0\xff", "ü".encode()],
    [b"part"] * 300,
    [b"{}", random.Random(1).randbytes(3_000_000), b"after a large part"],
    [b"{}", *(bytes([number]) * 65_536 for number in range(5))],
    [b"{}", b"x" * 65_535, b"y" * 65_537],
    [b"last"],
]


async def _check_each_way(sender: End, receiver: End) -> None:
    start = len(receiver.inbox.messages)
    for message in MESSAGES:
        sender.carrier.send(message)
    await _until(lambda: len(receiver.inbox.messages) >= start + len(MESSAGES), "all messages")
    assert receiver.inbox.messages[start:] == MESSAGES, "messages come whole and in order"


async def _check_both_ways_at_once(left: End, right: End) -> None:
    starts = {id(end): len(end.inbox.messages) for end in (left, right)}
    block = b"z" * 100_000
    for number in range(50):
        for end in (left, right):
            end.carrier.send([str(number).encode(), block])
    for end in (left, right):
        start = starts[id(end)]
        await _until(lambda end=end, start=start: len(end.inbox.messages) >= start + 50, "all of both ways")
        assert end.inbox.messages[start:] == [[str(number).encode(), block] for number in range(50)]


async def _check_threads(sender: End, receiver: End) -> None:
    """Two threads send at once from one end: nothing is mixed up, and each one's messages keep their order."""
    for one, other in ((sender, receiver), (receiver, sender)):
        if not one.any_thread:
            continue
        start = len(other.inbox.messages)

        def send(name: bytes, end: End = one) -> None:
            for number in range(40):
                end.carrier.send([name, str(number).encode(), name * 2000])

        threads = [threading.Thread(target=send, args=(name,)) for name in (b"a", b"b")]
        for thread in threads:
            thread.start()
        await _until(lambda start=start, other=other: len(other.inbox.messages) >= start + 80, "what two threads sent")
        for thread in threads:
            thread.join()
        came = other.inbox.messages[start:]
        for name in (b"a", b"b"):
            own = [message for message in came if message[0] == name]
            assert own == [[name, str(number).encode(), name * 2000] for number in range(40)]


async def _check_close(closing: End, left_behind: End) -> None:
    closing.carrier.close()
    closing.carrier.close()
    await _until(lambda: left_behind.inbox.ends, "the other end to hear of it")
    counts = [len(end.inbox.messages) for end in (closing, left_behind)]
    started = time.monotonic()
    closing.carrier.send([b"too late"])
    left_behind.carrier.send([b"nobody is there"])
    left_behind.carrier.close()
    left_behind.carrier.send([b"nor here"])
    assert time.monotonic() - started < 1, "sending into nothing does not block"
    await asyncio.sleep(0.05)
    assert [len(end.inbox.messages) for end in (closing, left_behind)] == counts
    assert len(left_behind.inbox.ends) == 1 and left_behind.inbox.ends[0], "it is told once, in words"
    assert closing.inbox.ends == [], "who closes is not told that it is lost"
    assert closing.carrier.name and left_behind.carrier.name


async def _until(holds: Callable[..., Any], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"waited {PATIENCE} s in vain for {what}")
        await asyncio.sleep(0.005)
