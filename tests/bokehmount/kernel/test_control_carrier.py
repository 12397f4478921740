"""The kernel's end of links over its control channel; the kernel around it is played by the test."""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Thread, Timer
from types import SimpleNamespace
from typing import Any

import pytest

from bokehmount.kernel.control_carrier import MESSAGE_TYPE, ControlCarrier, ControlDoor
from bokehmount.link.messages import Part
from bokehmount.link.pace import ON_THE_WAY


class Receiver:
    def __init__(self) -> None:
        self.took: list[Sequence[Part]] = []
        self.lost_because: list[str] = []

    def received(self, parts: Sequence[Part]) -> None:
        self.took.append(parts)

    def lost(self, why: str) -> None:
        self.lost_because.append(why)


class Kernel:
    """What a door needs of ipykernel, and a server that talks to it."""

    def __init__(self) -> None:
        self.control_handlers: dict[str, Any] = {}
        self.control_stream = SimpleNamespace(
            io_loop=SimpleNamespace(add_callback=lambda function, *args: function(*args))
        )
        self.session = SimpleNamespace(send=self._sent)
        self.said: list[dict[str, Any]] = []
        self.receivers: list[Receiver] = []
        self.carriers: list[ControlCarrier] = []
        self.door = ControlDoor(self, self._opened)

    def _sent(self, _stream: Any, kind: str, content: dict[str, Any], **_: Any) -> None:
        assert kind == MESSAGE_TYPE
        self.said.append(content)

    def _opened(self, carrier: ControlCarrier, server: dict[str, Any]) -> tuple[dict[str, Any], Receiver | None]:
        self.receivers.append(Receiver())
        self.carriers.append(carrier)
        return {"to": server}, self.receivers[-1]

    def hears(self, link: str, *parts: bytes, **content: Any) -> None:
        message = {"content": {"link": link, **content}, "header": {}, "buffers": list(parts)}
        self.control_handlers[MESSAGE_TYPE](None, [b"server"], message)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("bokehmount.kernel.control_carrier.time.monotonic", lambda: clock.now)
    return clock


def test_a_server_that_vanished_without_a_word_is_given_up_and_one_that_speaks_is_not(clock: SimpleNamespace) -> None:
    kernel = Kernel()
    kernel.hears("dead", hello={})
    kernel.hears("living", hello={})
    for _ in range(10):
        clock.now += 10
        kernel.hears("living", b"ping")
        kernel.door.lose_silent()
    dead, living = kernel.receivers
    assert dead.lost_because == ["the server has said nothing for 60 s"]
    assert living.lost_because == [] and len(living.took) == 10


def test_a_server_that_comes_back_late_is_told_that_its_link_is_unknown(clock: SimpleNamespace) -> None:
    kernel = Kernel()
    kernel.hears("slept", hello={})
    clock.now += 61
    kernel.door.lose_silent()
    kernel.said.clear()
    kernel.hears("slept", b"ping")
    assert kernel.said == [{"link": "slept", "unknown": True}]
    kernel.hears("slept again", hello={})
    assert kernel.said[1:] == [{"link": "slept again", "hello": {"to": {}}}]


def test_a_goodbye_ends_a_link_once(clock: SimpleNamespace) -> None:
    kernel = Kernel()
    kernel.hears("left", hello={})
    kernel.hears("left", bye=True)
    kernel.hears("left", bye=True)
    clock.now += 1000
    kernel.door.lose_silent()
    assert kernel.receivers[0].lost_because == ["the server closed the link"]


def full(kernel: Kernel) -> ControlCarrier:
    """A link over which as much is on the way as may be."""
    kernel.hears("far", hello={})
    carrier = kernel.carriers[0]
    while not carrier.is_full:
        carrier.send([bytes(100_000)])
    assert carrier._sent < ON_THE_WAY + 200_000
    return carrier


def test_a_far_server_sets_the_pace() -> None:
    kernel = Kernel()
    carrier = full(kernel)
    sent = len(kernel.said)
    others = Thread(target=carrier.send, args=([b"of another thread"],))
    others.start()
    others.join(5)
    assert len(kernel.said) == sent + 1, "only the main thread waits"
    server = Timer(0.2, kernel.hears, ["far"], {"taken": carrier._sent})
    server.start()
    began = time.monotonic()
    carrier.send([b"after the server took something"])
    assert time.monotonic() - began > 0.1 and len(kernel.said) == sent + 2 and not carrier.is_full


def test_small_messages_count_too() -> None:
    kernel = Kernel()
    kernel.hears("far", hello={})
    sent = 0
    while not kernel.carriers[0].is_full:
        kernel.carriers[0].send([b"."])
        sent += 1
    assert sent < 1100, "more than a thousand may be dropped on the way"


def test_a_server_that_takes_nothing_any_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bokehmount.kernel.control_carrier.STUCK", 0.2)
    kernel = Kernel()
    carrier = full(kernel)
    carrier.send([b"lost"])
    carrier.send([b"lost too, at once"])
    (receiver,) = kernel.receivers
    assert len(receiver.lost_because) == 1 and "taken nothing" in receiver.lost_because[0]
    kernel.hears("far", b"ping")
    assert kernel.said[-1] == {"link": "far", "unknown": True}


def test_a_main_thread_that_waits_goes_on_when_the_server_leaves() -> None:
    kernel = Kernel()
    carrier = full(kernel)
    Timer(0.2, kernel.hears, ["far"], {"bye": True}).start()
    carrier.send([b"to nobody"])
    assert kernel.receivers[0].lost_because == ["the server closed the link"]
