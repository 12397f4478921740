"""A link opens when its kernel answers, and not before there is nothing to wait for; the kernel is played here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from bokehmount.errors import KernelLost
from bokehmount.link.messages import MESSAGE_TYPE, PROTOCOL, Part
from bokehmount_server.kernels.control_carrier import LINE_LOST, RESTARTED, ControlCarrier
from bokehmount_server.kernels.control_channel import ControlMessage


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
