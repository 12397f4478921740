"""Links that fail as they open, and the local sockets that they are offered, leave nothing behind."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bokehmount.errors import KernelLost
from bokehmount.link.carrier import Receiver
from bokehmount.link.messages import Answer, Ask, Part, decode, encode
from bokehmount.link.stream import pack
from bokehmount_server.kernels.control_carrier import LINE_LOST, RESTARTED
from bokehmount_server.kernels.link import KernelLink, LinkListener
from bokehmount_server.kernels.links import GONE, Links
from bokehmount_server.kernels.socket_carrier import LocalSockets

Silent = Callable[[], Awaitable[None]]


class Kernels(dict[str, Any]):
    def get_kernel(self, kernel_id: str) -> Any:
        return self[kernel_id]


class DyingKernel:
    """Connects, says so, and is gone at once."""

    name = "control"
    heard = 0.0
    waiting = 0

    async def open(self, hello: Mapping[str, Any], silent: Silent) -> dict[str, Any]:
        offer = hello["socket"]
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(offer["path"])
            connection.sendall(b"".join(pack([offer["key"].encode()])))
        await asyncio.sleep(0.1)
        return {"socket": True, "borrows": False, "apps": []}

    async def answers(self) -> bool:
        return False

    def start(self, receiver: Receiver) -> None:
        raise AssertionError("it is not the one that carries the link")

    def send(self, parts: Sequence[Part]) -> None:
        raise AssertionError("it is not the one that carries the link")

    def release(self) -> None: ...

    def close(self) -> None: ...


def test_a_kernel_that_dies_as_its_link_opens_has_none(tmp_path: Path) -> None:
    async def opener(kernels: Any, kernel_id: str) -> DyingKernel:
        return DyingKernel()

    async def main() -> None:
        links = Links(Kernels(k=1), LinkListener(), {}, LocalSockets(str(tmp_path)), opener)
        with pytest.raises(KernelLost):
            await links.get("k")
        assert links.opened("k") is None
        await links.close()

    asyncio.run(main())


def test_sockets_are_opened_once_whoever_asks(tmp_path: Path) -> None:
    async def main() -> None:
        sockets = LocalSockets(str(tmp_path))
        await asyncio.gather(sockets.open(), sockets.open())
        assert len(list(tmp_path.iterdir())) == 1
        await sockets.close()
        assert list(tmp_path.iterdir()) == []

    asyncio.run(main())


def test_where_nobody_can_listen_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: Any, **__: Any) -> None:
        raise OSError("no sockets on this file system")

    async def main() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "create_unix_server", refused)
        sockets = LocalSockets(str(tmp_path))
        for _ in range(2):
            with pytest.raises(OSError, match="no sockets"):
                await sockets.open()
        assert sockets.offer() is None and list(tmp_path.iterdir()) == []

    asyncio.run(main())


class SilentKernel:
    """Opens a link, and answers what it is asked when it feels like it."""

    name = "control"
    waiting = 0

    def __init__(self) -> None:
        self.heard = 0.0
        self.asked: list[int] = []
        self.receiver: Receiver | None = None
        self.lives: bool | Exception = True

    async def open(self, hello: Mapping[str, Any], silent: Silent) -> dict[str, Any]:
        return {"apps": []}

    async def answers(self) -> bool:
        return False

    async def is_alive(self) -> bool:
        if isinstance(self.lives, Exception):
            raise self.lives
        return self.lives

    def start(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def send(self, parts: Sequence[Part]) -> None:
        message = decode(parts)
        assert isinstance(message, Ask)
        self.asked.append(message.number)

    def speak(self) -> None:
        assert self.receiver is not None
        for number in self.asked:
            self.receiver.received(encode(Answer(number, {"busy": False})))

    def release(self) -> None: ...

    def close(self) -> None: ...


class Heard(LinkListener):
    def __init__(self) -> None:
        self.told: list[Any] = []

    def load_changed(self, link: KernelLink, busy: bool) -> None:
        self.told.append(busy)

    def fell_silent(self, kernel_id: str) -> None:
        self.told.append("silent")

    def lost(self, link: KernelLink, why: str) -> None:
        self.told.append(why)


@pytest.mark.parametrize("lives", [True, RuntimeError("no API"), False], ids=["lives", "nobody can tell", "is dead"])
def test_a_silent_kernel_is_waited_for_as_long_as_its_process_lives(
    lives: bool | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bokehmount_server.kernels.links._PATIENCE", 0.04)

    async def main() -> None:
        kernel, heard = SilentKernel(), Heard()

        async def opener(kernels: Any, kernel_id: str) -> SilentKernel:
            return kernel

        links = Links(Kernels(k=kernel), heard, {}, None, opener, watch=0.01)
        link = await links.get("k")
        kernel.lives = lives
        while not heard.told:
            await asyncio.sleep(0.01)
        if lives is False:
            assert heard.told == [GONE] and links.opened("k") is None
        else:
            await asyncio.sleep(0.1)
            assert heard.told == ["silent"] and links.opened("k") is link and link.busy, "it is said once"
            kernel.speak()
            while len(heard.told) < 2:
                await asyncio.sleep(0.01)
            assert heard.told == ["silent", False] and not link.busy
        await links.close()

    asyncio.run(main())


class StartingKernel(SilentKernel):
    """Does not say hello yet."""

    def __init__(self) -> None:
        super().__init__()
        self.hello = asyncio.Event()

    async def open(self, hello: Mapping[str, Any], silent: Silent) -> dict[str, Any]:
        while not self.hello.is_set():
            await silent()
            await asyncio.sleep(0.01)
        return {"apps": []}


@pytest.mark.parametrize("outcome", ["answers", "is dead", "is restarted", "nobody waits"])
def test_a_silent_kernel_is_waited_for_also_before_there_is_a_link(outcome: str) -> None:
    async def main() -> None:
        kernel, heard = StartingKernel(), Heard()

        async def opener(kernels: Any, kernel_id: str) -> SilentKernel:
            return kernel

        links = Links(Kernels(k=kernel), heard, {}, None, opener)
        waiting = asyncio.ensure_future(links.get("k"))
        while heard.told != ["silent"] * 3:
            await asyncio.sleep(0.001)
        match outcome:
            case "answers":
                kernel.hello.set()
                assert await waiting is links.opened("k")
            case "is dead":
                kernel.lives = False
                with pytest.raises(KernelLost, match="the kernel is gone"):
                    await waiting
            case "is restarted":
                links.kernel_lost("k", RESTARTED)
                with pytest.raises(KernelLost, match="was restarted"):
                    await waiting
            case "nobody waits":
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                kernel.hello.set()
                assert (await links.get("k")).info == {"apps": []}, "others may still wait"
        await links.close()

    asyncio.run(main())


def test_a_kernel_that_is_restarted_while_its_line_is_broken_is_said_to_be() -> None:
    async def main() -> None:
        kernel, heard = SilentKernel(), Heard()

        async def opener(kernels: Any, kernel_id: str) -> SilentKernel:
            return kernel

        links = Links(Kernels(k=kernel), heard, {}, None, opener)
        await links.get("k")
        assert kernel.receiver is not None
        kernel.receiver.lost(LINE_LOST)
        links.kernel_lost("k", RESTARTED)
        assert heard.told == [LINE_LOST, RESTARTED]
        await links.close()

    asyncio.run(main())


@pytest.mark.parametrize("is_heard", [True, False], ids=["its own words come too", "only what any kernel says"])
def test_a_kernel_whose_answer_waits_behind_a_large_message_was_not_restarted(
    is_heard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What any kernel answers goes past what the link sends, which has a pace."""

    class Late(SilentKernel):
        async def answers(self) -> bool:
            if is_heard:
                self.heard = time.monotonic()
            return True

    monkeypatch.setattr("bokehmount_server.kernels.links._PATIENCE", 0.04)
    monkeypatch.setattr("bokehmount_server.kernels.links._LAST_WORD", 0.01)

    async def main() -> None:
        kernel, heard = Late(), Heard()

        async def opener(kernels: Any, kernel_id: str) -> SilentKernel:
            return kernel

        links = Links(Kernels(k=kernel), heard, {}, None, opener, watch=0.01)
        await links.get("k")
        while not heard.told or len(kernel.asked) < 1:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert heard.told[-1] == ("silent" if is_heard else RESTARTED)
        await links.close()

    asyncio.run(main())
