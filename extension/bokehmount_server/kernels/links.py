"""One link for each kernel: opened when first needed, watched, opened again where only the line to a gateway broke, and
given up when the kernel is gone."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final, Protocol

from jupyter_core.utils import ensure_async
from jupyter_server.gateway.managers import GatewayMappingKernelManager

from bokehmount import __version__
from bokehmount.errors import AppNotFound, BokehMountError, KernelLost
from bokehmount.link.carrier import Receiver

from ..lending import Lender
from .control_carrier import LINE_LOST, RESTARTED, ControlCarrier
from .control_channel import GatewayControlChannel, LocalControlChannel
from .link import AssetCache, KernelLink, LinkListener, ServerCarrier
from .socket_carrier import LocalSockets, Offer

__all__ = ("CarrierOpener", "Kernels", "Links", "OpeningCarrier", "open_control_carrier")

log = logging.getLogger(__name__)

GONE: Final = "the kernel is gone: start one and run the app's cell again"
_PATIENCE: Final = 10.0
"""Seconds after which a silent kernel's views are told.  Its control thread answers within 10 ms, also while a cell
runs, unless a library keeps Python to itself (its interpreter lock), as some do while they sort, parse or merge."""

_LAST_WORD: Final = 1.0
"""Seconds for an answer that is on its way, after a later one has come that went past it."""


class Kernels(Protocol):
    """What we need of jupyter_server's kernel manager."""

    def __contains__(self, kernel_id: str) -> bool: ...

    def get_kernel(self, kernel_id: str) -> Any: ...


class OpenCarrier(ServerCarrier, Protocol):
    """A server's carrier, ready to be used."""

    def start(self, receiver: Receiver) -> None:
        """Begin to hand messages over."""


class OpeningCarrier(OpenCarrier, Protocol):
    """A carrier over which a link can be opened.

    Attributes:
        heard: when the kernel last sent anything over it, also a part of a message (monotonic seconds)
    """

    heard: float

    async def open(self, hello: dict[str, Any], silent: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        """Exchange who we are; ``silent`` is called while there is no answer, and raises where to wait is of no use."""

    async def answers(self) -> bool:
        """Whether the kernel answers at all, though it may know nothing of this link."""

    def release(self) -> None:
        """Let the channel go without a word: another carrier has taken over."""


CarrierOpener = Callable[[Kernels, str], Awaitable[OpeningCarrier]]


async def open_control_carrier(kernels: Kernels, kernel_id: str) -> OpeningCarrier:
    """A carrier over the kernel's own control channel."""
    if isinstance(kernels, GatewayMappingKernelManager):
        return ControlCarrier(await GatewayControlChannel.open(kernel_id))
    return ControlCarrier(LocalControlChannel(kernels.get_kernel(kernel_id).client()))


class Links:
    """The links of one server.

    Args:
        kernels: the kernel manager
        listener: hears what happens on all links
        hello: what each kernel is told of this server, such as how long sessions linger
        sockets: local sockets for kernels of this machine; None where links are to stay on the kernels' own channels
        open_carrier: makes the carrier over which a link opens
        watch: seconds between two looks whether a kernel still answers
        patience: seconds for which a broken line is tried again, and one kept open at which nobody looks: as long as
            sessions wait for views that are lost
    """

    def __init__(
        self,
        kernels: Kernels,
        listener: LinkListener,
        hello: dict[str, Any],
        sockets: LocalSockets | None = None,
        open_carrier: CarrierOpener = open_control_carrier,
        watch: float = 5.0,
        patience: float = 300.0,
    ) -> None:
        self._kernels = kernels
        self._listener = listener
        self._hello = {"bokehmount": __version__, "server": uuid.uuid4().hex, **hello}
        self._sockets = sockets
        self._open_carrier = open_carrier
        self._watch_every = watch
        self._patience = patience
        self._cache = AssetCache()
        self._links: dict[str, KernelLink] = {}
        self._opening: dict[str, asyncio.Task[KernelLink]] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._reopening: dict[str, tuple[KernelLink, asyncio.Task[None]]] = {}

    @property
    def _closes_unused(self) -> bool:
        """Whether links close that nobody uses: a gateway culls its kernels itself, and takes an open one for use."""
        return isinstance(self._kernels, GatewayMappingKernelManager)

    def __iter__(self) -> Iterator[KernelLink]:
        return iter(tuple(self._links.values()))

    def opened(self, kernel_id: str) -> KernelLink | None:
        """The link to a kernel, if it is open."""
        return self._links.get(kernel_id)

    async def get(self, kernel_id: str) -> KernelLink:
        """The link to a kernel, opened if it is not.

        Raises:
            AppNotFound: there is no such kernel
            KernelLost: the kernel can't be reached, or has not loaded bokehmount
        """
        if kernel_id not in self._kernels:
            raise AppNotFound("this app's kernel has ended: run the app's cell again")
        link = self._links.get(kernel_id)
        if link is not None:
            return link
        opening = self._opening.get(kernel_id)
        if opening is None:
            opening = asyncio.ensure_future(self._open(kernel_id))
            self._opening[kernel_id] = opening
            opening.add_done_callback(lambda _: self._opening.pop(kernel_id, None))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if opening.cancelled() and not (task is not None and task.cancelling()):
                raise KernelLost(RESTARTED) from None
            raise

    async def _open(self, kernel_id: str) -> KernelLink:
        opening = await self._open_carrier(self._kernels, kernel_id)
        offer = await self._offer()
        hello = self._hello if offer is None else {**self._hello, "socket": offer.said()}
        carrier: OpenCarrier = opening
        lender: Lender | None = None
        try:
            info = await opening.open(hello, partial(self._silent, kernel_id))
            if offer is not None and info.get("socket"):
                local = await offer.carrier()
                if local is None:
                    raise KernelLost("the kernel's local socket did not arrive: try again")
                carrier = local
                lender = Lender(local, offer.turns) if offer.turns is not None and info.get("borrows") else None
        except BaseException:
            opening.close()
            if offer is not None and offer.taken.done() and not offer.taken.cancelled():
                offer.taken.result().close()
            raise
        finally:
            if offer is not None and self._sockets is not None:
                self._sockets.withdraw(offer)
                if lender is None and offer.turns is not None:
                    offer.turns.close()
        if carrier is not opening:
            opening.release()
        link = KernelLink(kernel_id, info, self._cache, self._listener, lender)
        link.use(carrier)
        carrier.start(_Ended(link, lambda why: self._ended(link, why)))
        if link.gone is not None:
            raise KernelLost(link.gone)
        self._links[kernel_id] = link
        self._watches[kernel_id] = asyncio.ensure_future(self._watch(link, opening if carrier is opening else None))
        log.info("bokehmount: linked to kernel %s over its %s carrier", kernel_id, carrier.name)
        self._listener.apps_changed(link)
        if self._reopening.pop(kernel_id, None) is not None:
            self._listener.back(link)
        return link

    async def _silent(self, kernel_id: str) -> None:
        if not await self._lives(kernel_id):
            raise KernelLost(GONE)
        self._listener.fell_silent(kernel_id)

    async def _offer(self) -> Offer | None:
        if self._sockets is None:
            return None
        try:
            await self._sockets.open()
        except (OSError, NotImplementedError) as error:
            log.warning(
                "bokehmount: no local sockets on this machine, links stay on the kernels' own channels: %s", error
            )
            return None
        return self._sockets.offer()

    def kernel_lost(self, kernel_id: str, why: str) -> None:
        """A kernel was shut down or restarted."""
        opening = self._opening.get(kernel_id)
        if opening is not None:
            opening.cancel()
        if kernel_id in self._reopening:
            broken, reopening = self._reopening.pop(kernel_id)
            reopening.cancel()
            self._listener.lost(broken, why)
        link = self._forget(kernel_id)
        if link is not None:
            log.info("bokehmount: link to kernel %s lost: %s", kernel_id, why)
            link.close(why)

    def _ended(self, link: KernelLink, why: str) -> None:
        self._forget(link.kernel_id)
        if why == LINE_LOST:
            self._reopening[link.kernel_id] = link, asyncio.ensure_future(self._reopen(link))

    async def _reopen(self, link: KernelLink) -> None:
        """The line broke, and behind it the sessions may live on: try to reach them again."""
        pause, end = 1.0, time.monotonic() + self._patience
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 15.0)
            if link.kernel_id not in self._reopening:  # somebody else has opened it
                return
            try:
                await self.get(link.kernel_id)
                return
            except BokehMountError as error:
                if isinstance(error, AppNotFound) or time.monotonic() > end:
                    self._reopening.pop(link.kernel_id, None)
                    self._listener.lost(link, str(error))
                    return
                self._listener.broken(link, str(error))

    def _forget(self, kernel_id: str) -> KernelLink | None:
        watch = self._watches.pop(kernel_id, None)
        if watch is not None and watch is not asyncio.current_task():
            watch.cancel()
        return self._links.pop(kernel_id, None)

    async def _watch(self, link: KernelLink, channel: OpeningCarrier | None) -> None:
        """A kernel can vanish without a word; its control thread answers also while a cell runs."""
        used = time.monotonic()
        while True:
            await asyncio.sleep(self._watch_every)
            if not self._closes_unused or link.viewers or link.is_asked or self._listener.is_awaited(link):
                used = time.monotonic()
            elif time.monotonic() - used > self._patience:
                self.kernel_lost(link.kernel_id, "nobody looks at its apps")
                return
            if link.kernel_id not in self._kernels:
                self.kernel_lost(link.kernel_id, GONE)
                return
            try:
                why = await self._lost(link, channel)
            except KernelLost:
                self._forget(link.kernel_id)
                return
            if why is not None:
                self.kernel_lost(link.kernel_id, why)
                return

    async def _lost(self, link: KernelLink, channel: OpeningCarrier | None) -> str | None:
        """Ask a kernel whether it is there, until it answers; why it is not, if so.

        A silent one may be at work, and is none that is gone.  All that comes meanwhile is a sign of life too.

        Args:
            link: the link
            channel: the kernel's own channel, where it carries the link: parts of messages come over it too, and it can
                be asked something else than what a link is asked
        """
        asked = time.monotonic()
        ping = asyncio.ensure_future(link.ask("ping"))
        try:
            while True:
                await asyncio.wait([ping], timeout=_PATIENCE / 4)
                heard = link.heard if channel is None else channel.heard
                if not ping.done() and heard < asked and channel is not None and await channel.answers():
                    await asyncio.wait([ping], timeout=_LAST_WORD)
                    if not ping.done() and channel.heard < asked:  # nor anything else that is said to this link alone
                        return RESTARTED
                if ping.done():
                    link.spoke((await ping).result["busy"])
                    return None
                if time.monotonic() - max(asked, heard) > _PATIENCE:
                    if not await self._lives(link.kernel_id):
                        return GONE
                    link.fell_silent()
        finally:
            ping.cancel()

    async def _lives(self, kernel_id: str) -> bool:
        """Whether a kernel's process lives; of a gateway's only the gateway knows, and closes the line at its end."""
        if kernel_id not in self._kernels or isinstance(self._kernels, GatewayMappingKernelManager):
            return kernel_id in self._kernels
        try:
            return bool(await ensure_async(self._kernels.get_kernel(kernel_id).is_alive()))
        except Exception as error:  # whatever starts kernels here may have reasons of its own
            log.debug("bokehmount: can't tell whether kernel %s lives: %r", kernel_id, error)
            return True

    async def close(self) -> None:
        """End all links."""
        for opening in self._opening.values():
            opening.cancel()
        for _, reopening in self._reopening.values():
            reopening.cancel()
        for kernel_id in list(self._links):
            self.kernel_lost(kernel_id, "the Jupyter server stops")
        if self._sockets is not None:
            await self._sockets.close()


class _Ended:
    """Passes a carrier's messages on, and forgets the link when the carrier is lost."""

    def __init__(self, link: KernelLink, ended: Callable[[str], object]) -> None:
        self._link = link
        self._ended = ended
        self.received = link.received

    def lost(self, why: str) -> None:
        """Nothing will come any more."""
        self._ended(why)
        self._link.close(why)
