"""The carriers over a local socket keep the contract; who has no key gets nowhere."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bokehmount.kernel.io_thread import IOThread
from bokehmount.kernel.socket_carrier import SocketCarrier, connect
from bokehmount_server.kernels.socket_carrier import LocalSockets, Offer

from .carrier_contract import Inbox, JoinedEnd, check_carrier

pytestmark = pytest.mark.skipif(not hasattr(asyncio, "open_unix_connection"), reason="no such sockets here")


@asynccontextmanager
async def listening(folder: Path) -> AsyncIterator[LocalSockets]:
    sockets = LocalSockets(str(folder))
    await sockets.open()
    try:
        yield sockets
    finally:
        await sockets.close()


def offered(sockets: LocalSockets) -> Offer:
    offer = sockets.offer()
    assert offer is not None
    return offer


def arguments(offer: Offer) -> dict[str, str]:
    return offer.said()


@asynccontextmanager
async def linked(folder: Path) -> AsyncIterator[tuple[JoinedEnd, JoinedEnd]]:
    """The server's and the kernel's end of one link, the kernel's on a thread of its own."""
    thread = IOThread()
    thread.start()
    try:
        async with listening(folder) as sockets:
            offer = offered(sockets)
            connection = await asyncio.to_thread(connect, arguments(offer))
            assert connection is not None
            kernel, server = SocketCarrier(connection, asyncio.get_running_loop(), thread.loop), await offer.carrier()
            assert server is not None
            server_end, kernel_end = JoinedEnd(server, Inbox(), any_thread=False), JoinedEnd(kernel, Inbox())
            server.start(server_end.inbox)
            kernel.start(kernel_end.inbox)
            yield server_end, kernel_end
            server.close()
            kernel.close()
            await asyncio.sleep(0.01)
    finally:
        await asyncio.to_thread(thread.stop)


@pytest.mark.parametrize("closes", ["server", "kernel"])
def test_two_ends_of_a_socket_are_a_carrier(closes: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with linked(tmp_path) as (server, kernel):
            await (check_carrier(server, kernel) if closes == "server" else check_carrier(kernel, server))

    asyncio.run(main())


def test_only_who_has_the_key_connects_and_only_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with listening(tmp_path) as sockets:
            offer = offered(sockets)
            for wrong in ("", "x", offer.key[:-1], offer.key + "0"):
                connection = await asyncio.to_thread(connect, {"path": offer.path, "key": wrong})
                assert connection is not None
                assert await hung_up(connection.fileno())
                connection.close()
            right = await asyncio.to_thread(connect, arguments(offer))
            carrier = await offer.carrier()
            assert right is not None and carrier is not None
            again = await asyncio.to_thread(connect, arguments(offer))
            assert again is not None and await hung_up(again.fileno())
            for connection in (right, again):
                connection.close()
            carrier.close()
            await asyncio.sleep(0.01)

    asyncio.run(main())


async def hung_up(descriptor: int) -> bool:
    for _ in range(200):
        try:
            return os.read(descriptor, 1) == b""
        except BlockingIOError:
            await asyncio.sleep(0.01)
        except ConnectionResetError:
            return True
    return False


def test_nobody_else_may_enter_and_nothing_is_left_behind(tmp_path: Path) -> None:
    async def main() -> None:
        async with listening(tmp_path) as sockets:
            await sockets.open()
            (folder,) = tmp_path.iterdir()
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert Path(offered(sockets).path).parent == folder
        assert list(tmp_path.iterdir()) == []
        assert sockets.offer() is None

    asyncio.run(main())


def test_an_offer_that_is_withdrawn_stands_no_longer(tmp_path: Path) -> None:
    async def main() -> None:
        async with listening(tmp_path) as sockets:
            offer = offered(sockets)
            sockets.withdraw(offer)
            connection = await asyncio.to_thread(connect, arguments(offer))
            assert connection is not None and await hung_up(connection.fileno())
            connection.close()

    asyncio.run(main())


@pytest.mark.parametrize("offer", [None, {}, {"path": "/no/such/socket", "key": "k"}, {"path": "/", "key": "k"}])
def test_a_server_on_another_machine_is_not_reached(offer: dict[str, str] | None) -> None:
    assert connect(offer) is None


def test_where_no_file_for_turns_can_be_made_there_is_a_link_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError("no space left on device")

    async def main() -> None:
        async with listening(tmp_path) as sockets:
            monkeypatch.setattr(tempfile, "mkstemp", full)
            offer = offered(sockets)
            assert offer.turns is None and set(offer.said()) == {"path", "key"}
            connection = await asyncio.to_thread(connect, offer.said())
            carrier = await offer.carrier()
            assert connection is not None and carrier is not None
            sockets.withdraw(offer)
            connection.close()
            carrier.close()
            await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_file_for_turns_is_gone_when_both_have_opened_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with listening(tmp_path) as sockets:
            offer = offered(sockets)
            assert stat.S_IMODE(os.stat(offer.turns_path).st_mode) == 0o600
            sockets.withdraw(offer)
            assert not os.path.exists(offer.turns_path)
            assert offer.turns is not None and offer.turns.take(1)
            offer.turns.close()

    asyncio.run(main())
