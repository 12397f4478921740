"""The kernel's end of links over its control channel; the kernel around it is played by the test."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread, Timer
from types import SimpleNamespace
from typing import Any

import pytest

from bokehmount.kernel.control_carrier import ControlCarrier, ControlDoor
from bokehmount.kernel.socket_reader import MOST
from bokehmount.link.flow import ON_THE_WAY
from bokehmount.link.messages import MESSAGE_TYPE, Part


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
        self.later: list[Callable[[], None]] = []
        self.on_main: list[Callable[[], None]] = []
        self.control_stream = SimpleNamespace(
            io_loop=SimpleNamespace(
                add_callback=lambda function, *args: function(*args),
                call_later=lambda _, function: self.later.append(function),
            )
        )
        self.session = SimpleNamespace(send=self._sent)
        self.said: list[dict[str, Any]] = []
        self.receivers: list[Receiver] = []
        self.carriers: list[ControlCarrier] = []
        main: Any = SimpleNamespace(call_soon_threadsafe=self._hand_over)
        self.door = ControlDoor(self, main, self._opened)

    def _hand_over(self, function: Callable[..., None], *args: Any) -> None:
        self.on_main.append(partial(function, *args))

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


def test_a_kernel_that_could_not_listen_for_long_takes_no_server_for_gone(clock: SimpleNamespace) -> None:
    kernel = Kernel()
    kernel.hears("unread", hello={})
    clock.now += 100  # a library has kept all threads from running
    kernel.door.lose_silent()
    clock.now += 1
    kernel.hears("unread", b"ping")  # it came meanwhile
    kernel.door.lose_silent()
    assert kernel.receivers[0].lost_because == []


def test_a_server_that_comes_back_late_is_told_that_its_link_is_unknown(clock: SimpleNamespace) -> None:
    kernel = Kernel()
    kernel.hears("slept", hello={})
    for _ in range(4):
        clock.now += 20
        kernel.door.lose_silent()
    kernel.said.clear()
    kernel.hears("slept", b"ping")
    (told,) = kernel.said
    assert (told["link"], told["unknown"]) == ("slept", True)
    kernel.hears("slept again", hello={})
    again = kernel.said[1]
    assert (again["link"], again["hello"]) == ("slept again", {"to": {}})
    assert told["door"] == again["door"] != Kernel().door._name, "it is the link that is gone, and no kernel"


def test_a_server_that_opens_its_link_anew_has_given_up_the_one_before(clock: SimpleNamespace) -> None:
    kernel = Kernel()
    kernel.hears("before", hello={"server": "one"})
    kernel.hears("of another", hello={"server": "two"})
    kernel.hears("of nobody", hello={})
    carrier = kernel.carriers[0]
    while not carrier.is_full:
        carrier.send([bytes(100_000)])
    kernel.hears("now", hello={"server": "one"})
    before, *others = kernel.receivers
    assert before.lost_because == ["the server opened it anew"] and not carrier.is_full, "nobody waits for it"
    assert [receiver.lost_because for receiver in others] == [[], [], []]


def test_a_goodbye_ends_a_link_once(clock: SimpleNamespace) -> None:
    kernel = Kernel()
    kernel.hears("left", hello={})
    kernel.hears("left", bye=True)
    kernel.hears("left", bye=True)
    clock.now += 1000
    kernel.door.lose_silent()
    assert kernel.receivers[0].lost_because == ["the server closed the link"]


def taken(kernel: Kernel) -> list[int]:
    """What the server was told of how much the kernel took."""
    return [content["taken"] for content in kernel.said if "taken" in content]


def test_a_server_hears_no_more_of_what_was_taken_while_the_main_thread_has_enough_to_do(
    clock: SimpleNamespace,
) -> None:
    kernel = Kernel()
    kernel.hears("far", hello={})
    kernel.hears("near", hello={})
    (carrier, other), count = kernel.carriers, 2 * MOST // 1_000_000
    for _ in range(count):
        kernel.hears("far", bytes(1_000_000))
    said = taken(kernel)
    assert MOST <= said[-1] < MOST + 2_000_000 and carrier.is_holding and not other.is_holding
    clock.now += 50
    kernel.hears("near", b"ping")
    kernel.door.lose_silent()
    clock.now += 20
    kernel.door.lose_silent()
    assert [receiver.lost_because for receiver in kernel.receivers] == [[], []], "who is held up may be silent"
    kernel.later.pop()()
    assert not kernel.later[1:] and taken(kernel) == [*said, said[-1]], "a sign of life"
    for number, caught_up in enumerate(kernel.on_main):
        assert carrier.is_holding == (number <= count - MOST // 1_000_000 - 1)
        caught_up()
    assert taken(kernel)[-1] == count * 1_000_000
    kernel.later.pop()()
    assert not kernel.later, "it holds no more"
    kernel.door.lose_silent()
    assert kernel.receivers[0].lost_because == []
    clock.now += 59
    kernel.door.lose_silent()
    clock.now += 2
    kernel.door.lose_silent()
    assert kernel.receivers[0].lost_because == ["the server has said nothing for 60 s"]


def full(kernel: Kernel) -> ControlCarrier:
    """A link over which as much is on the way as may be."""
    kernel.hears("far", hello={})
    carrier = kernel.carriers[0]
    while not carrier.is_full:
        carrier.send([bytes(100_000)])
    return carrier


MORE_THAN_ALL = 2 * ON_THE_WAY
"""Bytes, which a server may say that it took when a test has sent fewer."""


def test_a_far_server_sets_the_pace() -> None:
    kernel = Kernel()
    carrier = full(kernel)
    sent = len(kernel.said)
    others = Thread(target=carrier.send, args=([b"of another thread"],))
    others.start()
    others.join(5)
    assert not others.is_alive() and len(kernel.said) == sent, "its message waits, and it does not"
    server = Timer(0.2, kernel.hears, ["far"], {"taken": MORE_THAN_ALL})
    server.start()
    began = time.monotonic()
    carrier.send([b"after the server took something"])
    assert time.monotonic() - began > 0.1 and len(kernel.said) == sent + 2 and not carrier.is_full


def test_a_server_that_takes_nothing_any_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bokehmount.kernel.control_carrier.STUCK", 0.2)
    kernel = Kernel()
    carrier = full(kernel)
    carrier.send([b"lost"])
    carrier.send([b"lost too, at once"])
    (receiver,) = kernel.receivers
    assert len(receiver.lost_because) == 1 and "taken nothing" in receiver.lost_because[0]
    kernel.hears("far", b"ping")
    assert kernel.said[-1]["unknown"]


def test_a_main_thread_that_waits_goes_on_when_the_server_leaves() -> None:
    kernel = Kernel()
    carrier = full(kernel)
    Timer(0.2, kernel.hears, ["far"], {"bye": True}).start()
    carrier.send([b"to nobody"])
    assert kernel.receivers[0].lost_because == ["the server closed the link"]


def test_a_message_whose_sender_is_interrupted_while_it_waits_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel()
    carrier = full(kernel)

    def interrupt(_: float) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(carrier._changed, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        carrier.send([b"taken from the outbox already"])
    sent = len(kernel.said)
    kernel.hears("far", taken=MORE_THAN_ALL)
    assert len(kernel.said) == sent + 1


def test_a_large_message_comes_in_pieces_each_of_which_is_a_sign_of_life(clock: SimpleNamespace) -> None:
    kernel = Kernel()
    kernel.hears("far", hello={})
    kernel.hears("far", b"large, ", sizes=[10], more=True)
    clock.now += 59
    kernel.hears("far", b"and", more=True)
    clock.now += 59
    kernel.door.lose_silent()
    kernel.hears("far", more=False)
    (receiver,) = kernel.receivers
    assert receiver.took == [[b"large, and"]] and receiver.lost_because == []


def test_pieces_that_make_no_message_end_the_link() -> None:
    kernel = Kernel()
    kernel.hears("far", hello={})
    kernel.hears("far", b"five!", sizes=[4], more=False)
    (receiver,) = kernel.receivers
    assert receiver.took == [] and receiver.lost_because == ["a message of 4 bytes came as 5"]


def test_what_waits_is_sent_before_the_last_word() -> None:
    kernel = Kernel()
    carrier = full(kernel)
    Timer(0.1, kernel.hears, ["far"], {"taken": 4096}).start()
    carrier.send([bytes(ON_THE_WAY)])
    sent = len(kernel.said)
    carrier.close()
    assert len(kernel.said) > sent + 1
    assert kernel.said[-2].get("more") is False and kernel.said[-1] == {"link": "far", "unknown": True}
