"""A link opens when its kernel answers, and not before there is nothing to wait for; the kernel is played here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from bokehmount.errors import KernelLost
from bokehmount.kernel.control_carrier import ControlCarrier as KernelCarrier
from bokehmount.kernel.control_carrier import ControlDoor
from bokehmount.kernel.io_thread import IOThread
from bokehmount.link.messages import MESSAGE_TYPE, PROTOCOL, Part
from bokehmount_server.kernels.control_carrier import LINE_LOST, RESTARTED, ControlCarrier
from bokehmount_server.kernels.control_channel import ControlMessage

from ...bokehmount.link.carrier_contract import Inbox, JoinedEnd, check_carrier


class Channel:
    """Keeps what is sent, and gives what the test lets come."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Mapping[str, Any]]] = []
        self.coming: asyncio.Queue[ControlMessage] = asyncio.Queue()

    def send(self, msg_type: str, content: Mapping[str, Any], buffers: Sequence[Part] = ()) -> str:
        self.sent.append((msg_type, content))
        return str(len(self.sent))

    async def receive(self) -> ControlMessage:
        return await self.coming.get()

    def close(self) -> None: ...


class Opening:
    """A carrier that opens; each time that it takes long is counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bokehmount_server.kernels.control_carrier._OPENING", 0.01)
        self.channel = Channel()
        self.silences = 0
        self.dead = False
        self.opened = asyncio.ensure_future(ControlCarrier(self.channel).open({"socket": None}, self.silent))

    async def silent(self) -> None:
        self.silences += 1
        if self.dead:
            raise KernelLost("it is gone")

    async def asked(self, times: int) -> None:
        """Wait until the kernel has been asked so often."""
        while len(self.channel.sent) < 1 + times:
            await asyncio.sleep(0.001)

    async def answers(self, msg_type: str, content: Mapping[str, Any], to: int = 0) -> None:
        """The kernel sends an answer."""
        await self.channel.coming.put(ControlMessage(msg_type, str(to), content, ()))

    def hello(self) -> dict[str, Any]:
        """What a kernel with bokehmount answers."""
        return {**self.channel.sent[0][1], "hello": {"protocol": PROTOCOL, "apps": []}}


def test_a_kernel_that_does_not_answer_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        opening = Opening(monkeypatch)
        await opening.asked(times=3)
        await opening.answers(MESSAGE_TYPE, opening.hello())
        assert await opening.opened == {"protocol": PROTOCOL, "apps": []}
        assert opening.silences >= 2
        hellos = [content for msg_type, content in opening.channel.sent if msg_type == MESSAGE_TYPE]
        assert len(hellos) == 1, "it would open a link for each"

    asyncio.run(main())


def test_a_kernel_that_was_restarted_meanwhile_answers_only_what_came_after(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        opening = Opening(monkeypatch)
        await opening.asked(times=3)
        await opening.answers("kernel_info_reply", {}, to=4)
        with pytest.raises(KernelLost, match="not loaded in this kernel"):
            await opening.opened

    asyncio.run(main())


def test_a_kernel_that_is_gone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        opening = Opening(monkeypatch)
        await opening.asked(times=2)
        opening.dead = True
        with pytest.raises(KernelLost, match="it is gone"):
            await opening.opened
        asked = len(opening.channel.sent)
        await asyncio.sleep(0.05)
        assert len(opening.channel.sent) == asked

    asyncio.run(main())


class Lost:
    """Hears why a link is lost."""

    def __init__(self) -> None:
        self.why: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def received(self, parts: Sequence[Part]) -> None:
        raise AssertionError("nothing is sent")

    def lost(self, why: str) -> None:
        self.why.set_result(why)


async def _unused() -> None:
    raise AssertionError("it answers at once")


@pytest.mark.parametrize(("door", "why"), [("the same", LINE_LOST), ("another", RESTARTED), (None, RESTARTED)], ids=str)
def test_a_kernel_that_gave_a_link_up_was_not_restarted(door: str | None, why: str) -> None:
    async def main() -> None:
        channel = Channel()
        carrier = ControlCarrier(channel)
        opened = asyncio.ensure_future(carrier.open({}, _unused))
        while not channel.sent:
            await asyncio.sleep(0)
        link = channel.sent[0][1]["link"]
        hello = {"link": link, "hello": {"protocol": PROTOCOL}, "door": "the same"}
        await channel.coming.put(ControlMessage(MESSAGE_TYPE, "", hello, ()))
        await opened
        lost = Lost()
        carrier.start(lost)
        unknown = {"link": link, "unknown": True, **({} if door is None else {"door": door})}
        await channel.coming.put(ControlMessage(MESSAGE_TYPE, "", unknown, ()))
        assert await lost.why == why

    asyncio.run(main())


class Kernel(Channel):
    """A channel to a kernel's door, which is on a thread of its own, as ipykernel has it."""

    def __init__(self, inbox: Inbox) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._inbox = inbox
        self._thread = IOThread()
        self._thread.start()
        io_loop = SimpleNamespace(add_callback=self._thread.loop.call_soon_threadsafe)
        self.control_stream = SimpleNamespace(io_loop=io_loop)
        self.control_handlers: dict[str, Any] = {}
        self.session = SimpleNamespace(send=self._sent)
        self.carriers: list[KernelCarrier] = []
        self._door = ControlDoor(self, self._thread.loop, self._opened)

    def send(self, msg_type: str, content: Mapping[str, Any], buffers: Sequence[Part] = ()) -> str:
        message = {"content": content, "header": {}, "buffers": [bytes(part) for part in buffers]}
        if msg_type == MESSAGE_TYPE:
            self._thread.loop.call_soon_threadsafe(self.control_handlers[MESSAGE_TYPE], None, [b"server"], message)
        return super().send(msg_type, content)

    def _opened(self, carrier: KernelCarrier, server: Mapping[str, Any]) -> tuple[dict[str, Any], Inbox]:
        self.carriers.append(carrier)
        return {"protocol": PROTOCOL}, self._inbox

    def _sent(self, _stream: Any, kind: str, content: Mapping[str, Any], buffers: Sequence[Part], **_: Any) -> None:
        message = ControlMessage(kind, "", content, [bytes(part) for part in buffers])
        self._loop.call_soon_threadsafe(self.coming.put_nowait, message)

    def stop(self) -> None:
        """End the thread."""
        self._thread.stop()


@pytest.mark.parametrize("closes", ["server", "kernel"])
def test_two_ends_of_a_control_channel_are_a_carrier(closes: str) -> None:
    async def main() -> None:
        kernel_inbox, server_inbox = Inbox(), Inbox()
        kernel = Kernel(kernel_inbox)
        try:
            carrier = ControlCarrier(kernel)
            await carrier.open({}, _unused)
            carrier.start(server_inbox)
            ends = [JoinedEnd(carrier, server_inbox, any_thread=False), JoinedEnd(kernel.carriers[0], kernel_inbox)]
            await check_carrier(*(ends if closes == "server" else reversed(ends)))
        finally:
            await asyncio.to_thread(kernel.stop)

    # not on the main thread, which would wait there for room that it makes itself
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(asyncio.run, main()).result()
