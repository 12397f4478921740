"""The server's end of one link: asks a kernel, and passes messages between its sessions and our browsers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, Protocol

from bokehmount import errors
from bokehmount.apphost import Opening
from bokehmount.assets import Asset
from bokehmount.errors import AppError, BokehMountError, CloseCode, KernelLost, ProtocolError, SessionEnded
from bokehmount.fragments import Writes
from bokehmount.frames import Frames
from bokehmount.link.carrier import Carrier
from bokehmount.link.messages import (
    Answer,
    Apps,
    Ask,
    Behind,
    Close,
    Disconnected,
    Failed,
    LinkMessage,
    Load,
    Output,
    Part,
    Received,
    Send,
    decode,
    encode,
    raw,
)
from bokehmount.page import Place

from ..door import ScriptWishes, Viewer
from ..lending import Lender

__all__ = ("AssetCache", "KernelLink", "LinkListener", "ServerCarrier")

log = logging.getLogger(__name__)

_MOST_WAITING: Final = 64 * 2**20
"""Bytes that may wait for a kernel that takes nothing, before what more its browsers send is left with them."""


class ServerCarrier(Carrier, Protocol):
    """A carrier, as its server's end sees it."""

    @property
    def waiting(self) -> int:
        """Bytes that wait here for the kernel to take them."""


class LinkListener:
    """Hears what happens on a link.  Each method does nothing; override what you care for."""

    def load_changed(self, link: KernelLink, busy: bool) -> None:
        """The kernel became busy, or free again."""

    def fell_silent(self, kernel_id: str) -> None:
        """A kernel lives and does not answer; where it has a link, `load_changed` follows when it does."""

    def apps_changed(self, link: KernelLink) -> None:
        """The kernel's apps changed."""

    def viewers_closed(self, link: KernelLink, viewers: Sequence[Viewer], reason: str, moved: str | None) -> None:
        """The kernel ended what these viewers look at; ``moved`` is the app path to go to instead."""

    def output(self, link: KernelLink, viewers: Sequence[Viewer], text: str, error: bool) -> None:
        """A callback printed, or raised."""

    def is_awaited(self, link: KernelLink) -> bool:
        """Whether a page that has no viewer, as one that says what is wrong, waits for the kernel."""
        return True

    def lost(self, link: KernelLink, why: str) -> None:
        """The link is gone."""

    def broken(self, link: KernelLink, why: str) -> None:
        """It could not be opened again, and will be tried once more."""

    def back(self, link: KernelLink) -> None:
        """It stands where another one broke."""


class AssetCache:
    """Kernels' static files, bounded; kernels of one installation share their entries.

    Args:
        most: bytes of all files together
    """

    def __init__(self, most: int = 64 * 2**20) -> None:
        self._most = most
        self._size = 0
        self._assets: OrderedDict[tuple[str, str], Asset] = OrderedDict()

    def get(self, installation: str, path: str) -> Asset | None:
        """A file that is here."""
        asset = self._assets.get((installation, path))
        if asset is not None:
            self._assets.move_to_end((installation, path))
        return asset

    def put(self, installation: str, path: str, asset: Asset) -> None:
        """Keep a file, and drop those that were not asked for in the longest time."""
        if (installation, path) not in self._assets:
            self._assets[installation, path] = asset
            self._size += len(asset.content)
        while self._size > self._most:
            _, dropped = self._assets.popitem(last=False)
            self._size -= len(dropped.content)


_ERRORS: Final[dict[str, type[BokehMountError]]] = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, BokehMountError)
}


class KernelLink:
    """A door to the apps of one kernel.  Make it, give it a carrier with `use`, and `ask`.

    Args:
        kernel_id: the kernel
        info: what the kernel said of itself when the link opened
        cache: static files
        listener: hears what happens
        lender: lends viewers' sockets to the kernel; None where the carrier can't
    """

    def __init__(
        self,
        kernel_id: str,
        info: Mapping[str, Any],
        cache: AssetCache,
        listener: LinkListener,
        lender: Lender | None = None,
    ) -> None:
        self.kernel_id = kernel_id
        self.info = info
        self.apps: Sequence[Mapping[str, Any]] = info.get("apps", ())
        self.busy = False
        self.is_silent = False
        self.gone: str | None = None
        self.heard = time.monotonic()
        self._cache = cache
        self._listener = listener
        self._lender = lender
        self._carrier: ServerCarrier | None = None
        self._loop = asyncio.get_running_loop()
        self._questions: dict[int, asyncio.Future[Answer]] = {}
        self._viewers: dict[int, Viewer] = {}
        self._numbers: dict[Viewer, int] = {}
        self._behind: set[int] = set()
        self._last = 0

    @property
    def carrier_name(self) -> str:
        """What carries this link, in a word."""
        return self._carrier.name if self._carrier is not None else "none"

    @property
    def viewers(self) -> Iterable[Viewer]:
        """Who looks at this kernel's apps."""
        return tuple(self._viewers.values())

    @property
    def is_asked(self) -> bool:
        """Whether the kernel still owes an answer."""
        return bool(self._questions)

    def use(self, carrier: ServerCarrier) -> None:
        """Send over this carrier from now on."""
        self._carrier = carrier

    def fell_silent(self) -> None:
        """The kernel has not answered for a while."""
        if not self.is_silent and self.gone is None:
            self.is_silent = self.busy = True
            self._listener.fell_silent(self.kernel_id)

    def spoke(self, busy: bool) -> None:
        """The kernel has answered, and said whether it is busy."""
        if self.is_silent:
            self.is_silent, self.busy = False, busy
            self._listener.load_changed(self, busy)

    def close(self, why: str) -> None:
        """End the link from this side."""
        if self._carrier is not None:
            self._carrier.close()
        self.lost(why)

    # Asking ----------------------------------------------------------------------------------------------------------

    async def ask(self, what: str, **args: Any) -> Answer:
        """Ask the kernel something.

        Raises:
            KernelLost: the link is, or gets, lost
            BokehMountError: what the kernel answered with
        """
        if self.gone is not None:
            raise KernelLost(self.gone)
        self._last += 1
        number = self._last
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._questions[number] = answer
        try:
            self._send(Ask(number, what, args))
            return await answer
        finally:
            self._questions.pop(number, None)

    async def page(self, path: str, opening: Opening, place: Place) -> str:
        """The HTML of a session's page."""
        answer = await self.ask("page", path=path, place=asdict(place), **_plain(opening))
        return str(answer.result)

    async def autoload(self, path: str, opening: Opening, place: Place, wishes: ScriptWishes) -> str:
        """The script that draws a session into another page."""
        answer = await self.ask("autoload", path=path, place=asdict(place), script=asdict(wishes), **_plain(opening))
        return str(answer.result)

    async def metadata(self, path: str, url: str) -> Mapping[str, Any]:
        """What an app says of itself."""
        answer = await self.ask("metadata", path=path, url=url)
        return dict(answer.result)

    async def asset(self, path: str) -> Asset | None:
        """A file of the kernel's, from the cache where it is there."""
        installation = str(self.info.get("bokehjs"))
        asset = self._cache.get(installation, path)
        if asset is None:
            asset = _asset(await self.ask("asset", path=path))
            # those are the kernel's own, and may differ
            if asset is not None and not path.startswith(("extensions/", "components/")):
                self._cache.put(installation, path, asset)
        return asset

    async def app_asset(self, app: str, path: str) -> Asset | None:
        """A file of an app's own static folder."""
        return _asset(await self.ask("app_asset", app=app, path=path))

    # Viewers ---------------------------------------------------------------------------------------------------------

    async def connect(self, path: str, opening: Opening, viewer: Viewer) -> None:
        """Let a viewer look at a session."""
        self._last += 1
        number = self._last
        self._viewers[number], self._numbers[viewer] = viewer, number
        try:
            await self.ask("connect", path=path, connection=number, **_plain(opening))
        except BaseException:
            if self._numbers.get(viewer) == number:
                self.disconnect(viewer, lost=True)
            raise

    def is_behind(self, viewer: Viewer) -> bool:
        """Whether no more of this viewer is to be read for now: too much waits for its session, or for the kernel."""
        if self._carrier is None or self.gone is not None:
            return False
        return self._carrier.waiting > _MOST_WAITING or self._numbers.get(viewer) in self._behind

    def receive(self, viewer: Viewer, frames: Frames) -> None:
        """Pass a viewer's message on."""
        number = self._numbers.get(viewer)
        if number is None:
            if self.gone is not None:
                raise KernelLost(self.gone)
            raise SessionEnded("this session has ended: reload the page to start a new one")
        self._send(Received(number, raw(frames)))

    def disconnect(self, viewer: Viewer, *, lost: bool) -> None:
        """A viewer is gone."""
        number = self._numbers.get(viewer)
        self._gone(viewer)
        if number is not None:
            self._viewers.pop(number, None)
            if self.gone is None:
                self._send(Disconnected(number, lost))

    # From the kernel -------------------------------------------------------------------------------------------------

    def received(self, parts: Sequence[Part]) -> None:
        """A message of the kernel, on our loop."""
        self.heard = time.monotonic()
        try:
            message = decode(parts)
        except ProtocolError as error:
            log.error("bokehmount: kernel %s sent something else than a link message: %s", self.kernel_id, error)
            return
        match message:
            case Send(connections, writes):
                self._pass_on(connections, writes)
            case Answer(number):
                self._resolve(number, message)
            case Failed(number):
                self._resolve(number, _error(message))
            case Load(busy):
                self.busy = busy
                self._listener.load_changed(self, busy)
            case Apps(apps):
                self.apps = apps
                self._listener.apps_changed(self)
            case Close(connections, code, reason, moved):
                viewers = [known for number in connections if (known := self._viewers.pop(number, None)) is not None]
                self._listener.viewers_closed(self, viewers, reason, moved)
                for viewer in viewers:
                    self._gone(viewer)
                    viewer.end(CloseCode(code), reason)
            case Behind(connections, True):
                self._behind.update(number for number in connections if number in self._viewers)
            case Behind(connections):
                self._behind.difference_update(connections)
            case Output(connections, text, is_error):
                self._listener.output(self, self._known(connections), text, is_error)
            case _:
                log.error("bokehmount: a kernel does not send %s", message.kind)

    def lost(self, why: str) -> None:
        """The kernel is gone: tell everybody who waits or looks."""
        if self.gone is not None:
            return
        self.gone = why
        for answer in list(self._questions.values()):
            if not answer.done():
                answer.set_exception(KernelLost(why))
                answer.exception()  # who asked may have gone
        self._listener.lost(self, why)
        for viewer in list(self._viewers.values()):
            viewer.end(CloseCode.KERNEL_LOST, why)
        self._viewers.clear()
        self._numbers.clear()
        self._behind.clear()
        if self._lender is not None:
            self._lender.close()

    def _pass_on(self, connections: Sequence[int], writes: Writes) -> None:
        lender = self._lender
        for number in connections:
            viewer = self._viewers.get(number)
            if viewer is None:
                continue
            if lender is not None:
                lender.passing(number, viewer)
            viewer.write_bytes(writes)
            if lender is not None and len(connections) == 1:
                lender.passed(number, viewer)

    def _gone(self, viewer: Viewer) -> None:
        number = self._numbers.pop(viewer, None)
        if number is not None:
            self._behind.discard(number)
            if self._lender is not None:
                self._lender.gone(number)

    def _known(self, connections: Sequence[int]) -> list[Viewer]:
        return [viewer for number in connections if (viewer := self._viewers.get(number)) is not None]

    def _resolve(self, number: int, outcome: Answer | Exception) -> None:
        question = self._questions.get(number)
        if question is None or question.done():
            return
        if isinstance(outcome, Exception):
            question.set_exception(outcome)
        else:
            question.set_result(outcome)

    def _send(self, message: LinkMessage) -> None:
        if self._carrier is not None:
            self._carrier.send(encode(message))


def _asset(answer: Answer) -> Asset | None:
    if answer.result is None:
        return None
    return Asset(bytes(answer.blob or b""), answer.result["content_type"], answer.result["version"])


def _plain(opening: Opening) -> dict[str, Any]:
    request = asdict(opening.request)
    request["arguments"] = {
        name: [value.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode() for value in values]
        for name, values in request["arguments"].items()
    }
    return {
        "session_id": opening.session_id,
        "token": opening.token,
        "may_create": opening.may_create,
        "request": request,
    }


def _error(failed: Failed) -> Exception:
    if failed.error == AppError.__name__:
        return AppError(failed.text, failed.traceback)
    kind = _ERRORS.get(failed.error)
    return (
        kind(failed.text) if kind is not None else BokehMountError(f"the kernel failed: {failed.error}: {failed.text}")
    )
