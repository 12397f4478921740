"""A server asks a kernel over a link and passes messages between sessions and browsers: two ends joined in memory."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bokeh.application.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.models.widgets import Slider
from bokeh.util.token import generate_jwt_token

from bokehmount import wire
from bokehmount.apphost import App, AppHost, Opening
from bokehmount.assets import Asset
from bokehmount.contexts import ApplicationContext, BokehSessionContext
from bokehmount.errors import (
    AppError,
    AppNotFound,
    BokehMountError,
    CloseCode,
    KernelLost,
    ProtocolError,
    SessionEnded,
)
from bokehmount.fragments import Writes
from bokehmount.frames import Assembler, Frames
from bokehmount.kernel import link_end
from bokehmount.kernel.link_end import LinkEnd, hello
from bokehmount.kernel.shortcut import Loans
from bokehmount.link.messages import (
    Ask,
    Disconnected,
    Failed,
    LinkMessage,
    Part,
    RawFrames,
    Received,
    decode,
    encode,
    raw,
)
from bokehmount.link.turns import Turns
from bokehmount.page import Place
from bokehmount.session import ServerSession
from bokehmount.tokens import RequestInfo
from bokehmount_server.door import ScriptWishes
from bokehmount_server.kernels.link import AssetCache, KernelLink, LinkListener
from bokehmount_server.lending import Lender

from ...bokehmount.doubles import Remembering, until
from ...bokehmount.link.memory_carrier import joined
from ...kinds import the

NOT_LENT = "nothing is lent over a carrier that can't"
PLACE = Place("/bokeh/kernels/k1/", "/bokeh/view/view.js")


class KernelSide:
    """The apps of a kernel, and its end of the link."""

    def __init__(self) -> None:
        self.host = AppHost()
        self.slider = Slider(start=0, end=100, value=0, name="slider")
        self.seen: list[Any] = []
        self.release = asyncio.Event()
        self.lost: list[LinkEnd] = []
        self.add("/sliders", self._sliders)
        self.add("/broken", self._broken)
        self.add("/odd", self._sliders, metadata={"when": object()})

    def add(self, path: str, function: Callable[[Document], Any], metadata: Any = None) -> None:
        application = Application(FunctionHandler(function, trap_exceptions=False), metadata=metadata or {"of": path})
        self.host.add(App(path, ApplicationContext(application, url=path, stage=Remembering()), "Title"))

    def _sliders(self, document: Document) -> None:
        self.seen.append(the(BokehSessionContext, document.session_context).request)
        document.add_root(Slider(start=0, end=100, value=0, name="slider"))

    def _broken(self, document: Document) -> None:
        raise ValueError("on purpose")

    def listing(self) -> list[dict[str, Any]]:
        return [{"app": app.path, "sessions": len(list(app.context.sessions))} for app in self.host]

    def close_app(self, path: str) -> None:
        self.host.remove(path)

    @property
    def sessions(self) -> list[ServerSession]:
        return [session for app in self.host for session in app.context.sessions]


class BrowserSocket:
    """A viewer: puts together again what is written to it."""

    compresses = False

    def __init__(self) -> None:
        self.heard: list[wire.Message] = []
        self.ended: list[tuple[CloseCode, str]] = []
        self._assembler = Assembler(10_000_000)

    def write(self, messages: Sequence[RawFrames]) -> None:
        raise AssertionError("a link's messages come as bytes")

    def write_bytes(self, writes: Writes) -> None:
        data = b"".join(writes)
        while data:
            binary, length, start = data[0] == 0x82, data[1], 2
            if length >= 126:
                size = 2 if length == 126 else 8
                length, start = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
            frame, data = data[start : start + length], data[start + length :]
            whole = self._assembler.feed(frame if binary else frame.decode())
            if whole is not None:
                self.heard.append(wire.decode(whole))

    def lend(self, turns: Turns, number: int) -> socket.socket | None:
        raise AssertionError(NOT_LENT)

    def when_written(self, call: Callable[[], object]) -> None:
        raise AssertionError(NOT_LENT)

    def leave(self, *, kernels: bool) -> None:
        raise AssertionError(NOT_LENT)

    def end(self, code: CloseCode, reason: str) -> None:
        self.ended.append((code, reason))

    @property
    def types(self) -> list[str]:
        return [str(message.msgtype) for message in self.heard]


class Listener(LinkListener):
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def load_changed(self, link: KernelLink, busy: bool) -> None:
        self.heard.append(("load", busy))

    def viewers_closed(self, link: KernelLink, viewers: Any, reason: str, moved: str | None) -> None:
        self.heard.append(("closed", list(viewers), reason, moved))

    def output(self, link: KernelLink, viewers: Any, text: str, error: bool) -> None:
        self.heard.append(("output", list(viewers), text, error))

    def lost(self, link: KernelLink, why: str) -> None:
        self.heard.append(("lost", why))


class Borrowing:
    """Hands a viewer's socket to the kernel's side, as a local socket does."""

    def __init__(self, rig: Rig, turns: Path) -> None:
        self._rig = rig
        self.loans = Loans(Turns(str(turns)))

    def send_along(self, message: LinkMessage, descriptor: int | None) -> bool:
        if descriptor is not None:
            self.loans.came([os.dup(descriptor)], lost=False)
        self._rig.server_wire.send(encode(message))
        return True


class LentSocket(BrowserSocket):
    """A viewer whose socket is lent; counts what went through the server."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.browser = socket.socketpair()
        self.own.setblocking(False)
        self.through_server = 0

    def lend(self, turns: Turns, number: int) -> socket.socket:
        return self.own

    def when_written(self, call: Callable[[], object]) -> None:
        call()

    def leave(self, *, kernels: bool) -> None:
        pass

    def write_bytes(self, writes: Writes) -> None:
        self.through_server += 1
        super().write_bytes(writes)

    def read(self) -> bool:
        """Hear what came past the server; False where nothing did."""
        self.browser.setblocking(False)
        try:
            data = self.browser.recv(1 << 20)
        except BlockingIOError:
            return False
        super().write_bytes((data,))
        return bool(data)


class Rig:
    def __init__(self, turns: Path | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.kernel, self.listener = KernelSide(), Listener()
        self.server_wire, self.kernel_wire = joined(loop)
        borrowing = Borrowing(self, turns) if turns is not None else None
        loans = borrowing.loans if borrowing is not None else None
        lender = Lender(borrowing, Turns(str(turns))) if borrowing is not None else None
        self.end = LinkEnd(self.kernel, loop, loop, self.kernel_wire, self.kernel.lost.append, loans)
        self.cache = AssetCache()
        self.link = KernelLink("k1", hello(self.kernel), self.cache, self.listener, lender)
        self.link.use(self.server_wire)
        self.server_wire.receiver, self.kernel_wire.receiver = self.link, self.end
        self.kernel.host.changed = self.end.tell_apps

    @property
    def connections(self) -> list[Any]:
        """The kernel's side of who looks at the sliders."""
        return self.kernel.host.connections_of(self.kernel.host.app("/sliders"))

    async def look(
        self, session_id: str = "s1", path: str = "/sliders", browser: BrowserSocket | None = None
    ) -> BrowserSocket:
        browser = browser or BrowserSocket()
        await self.link.connect(path, opening(session_id), browser)
        self.link.receive(browser, wire.encode(wire.pull_doc()))
        await until(lambda: browser.heard, "the Document")
        return browser


def opening(session_id: str = "s1", may_create: bool = True, **request: Any) -> Opening:
    token = generate_jwt_token(ID(session_id), signed=False)
    return Opening(session_id, token, may_create, RequestInfo(**request))


def linked(test: Callable[[Rig], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        async def main() -> None:
            rig = Rig()
            await asyncio.wait_for(test(rig), 20)
            rig.link.close("the test is over")
            rig.end.close()
            for app in rig.kernel.host:
                await app.context.end_all()
            await asyncio.sleep(0)

        asyncio.run(main())

    run.__name__ = test.__name__
    return run


# Lending --------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def lending(folder: Path) -> AsyncIterator[tuple[Rig, LentSocket]]:
    """A rig, and a viewer whose socket the kernel has by now."""
    (folder / "turns").touch()
    rig, viewer = Rig(folder / "turns"), LentSocket()
    await rig.look(browser=viewer)
    await asyncio.sleep(0.01)
    viewer.browser.settimeout(5)
    try:
        yield rig, viewer
    finally:
        rig.link.close("the test is over")
        rig.end.close()
        await asyncio.sleep(0.01)


def test_who_looks_alone_is_written_to_past_the_server_and_who_looks_along_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with lending(tmp_path) as (rig, first):
            through_server = first.through_server
            (session,) = rig.kernel.sessions
            slider: Any = session.document.roots[0]
            for value in range(1, 6):
                slider.value = value
                await until(first.read, "a patch")
            assert first.through_server == through_server and first.types[-5:] == ["PATCH-DOC"] * 5
            second = LentSocket()
            await rig.look(browser=second)
            await asyncio.sleep(0.01)
            slider.value = 6
            await until(lambda: first.types[-6:] == ["PATCH-DOC"] * 6, "a patch for both")
            assert first.through_server == through_server + 1 and not first.read() and not second.read()

    asyncio.run(main())


def the_link_is_lost(rig: Rig) -> None:
    rig.end.lost("the server is dead")


def the_browser_leaves(rig: Rig) -> None:
    (number,) = [connection.number for connection in rig.connections]
    rig.end.received(encode(Disconnected(number, lost=True)))


@pytest.mark.parametrize("happens", [the_link_is_lost, the_browser_leaves])
def test_what_was_lent_is_let_go_also_while_the_main_thread_is_busy(
    happens: Callable[[Rig], None], tmp_path: Path
) -> None:
    async def main() -> None:
        async with lending(tmp_path) as (rig, viewer):
            viewer.own.close()  # the server is dead, or Tornado has noticed that the browser hung up
            carriers = threading.Thread(target=happens, args=(rig,))
            carriers.start()
            carriers.join()
            assert viewer.browser.recv(1) == b"", "and nothing has run on the main thread's loop since"

    asyncio.run(main())


def test_the_rest_of_a_frame_is_sent_before_its_connection_is_closed(tmp_path: Path) -> None:
    async def main() -> None:
        async with lending(tmp_path) as (rig, viewer):
            sent: list[str] = []
            rig.kernel_wire.send = lambda parts: sent.append(decode(parts).kind)  # type: ignore[method-assign]
            connections, large = rig.connections, [("{}", "{}", "x" * (8 << 20))]
            writing = threading.Thread(target=rig.end.deliver, args=(connections, large))
            writing.start()
            assert viewer.browser.recv(1), "it has begun"
            rig.end.close_connections(connections, CloseCode.ENDED, "it was closed")
            writing.join()
            assert sent[:2] == ["send", "close"]

    asyncio.run(main())


# Asking ---------------------------------------------------------------------------------------------------------------


@linked
async def test_the_kernel_renders_the_page_and_the_script(rig: Rig) -> None:
    page = await rig.link.page("/sliders", opening(), PLACE)
    assert opening().session_id in page or "render_items" in page
    assert "/bokeh/kernels/k1/static/js/bokeh" in page and "/bokeh/view/view.js" in page
    script = await rig.link.autoload("/sliders", opening(), PLACE, ScriptWishes("e1", "/sliders", with_resources=False))
    assert "e1" in script and "static/js" not in script


@linked
async def test_an_app_knows_the_request_as_the_server_had_it(rig: Rig) -> None:
    request: dict[str, Any] = {
        "arguments": {"n": [b"5", "ü".encode()]},
        "headers": {"Host": "h"},
        "path": "/p",
        "user": "ada",
    }
    await rig.link.page("/sliders", opening(**request), PLACE)
    (seen,) = rig.kernel.seen
    assert (seen.arguments, seen.headers, seen.path, seen.user) == (*request.values(),)


@linked
async def test_an_argument_that_is_not_utf8_does_no_harm(rig: Rig) -> None:
    await rig.link.page("/sliders", opening(arguments={"n": [b"\xff"]}), PLACE)
    assert rig.kernel.seen[0].arguments == {"n": [b"?"]}


@linked
async def test_metadata_and_turns_are_answered(rig: Rig) -> None:
    assert await rig.link.metadata("/sliders", "/url") == {"url": "/url", "data": {"of": "/sliders"}}
    assert (await rig.link.ask("turn")).result is None
    assert (await rig.link.ask("ping")).result == {"busy": False}


@linked
async def test_questions_may_cross(rig: Rig) -> None:
    answers = await asyncio.gather(*(rig.link.metadata("/sliders", f"/{number}") for number in range(20)))
    assert [answer["url"] for answer in answers] == [f"/{number}" for number in range(20)]


FAILURES: dict[str, tuple[Callable[[KernelLink], Any], type[BokehMountError], str]] = {
    "no such app": (lambda link: link.page("/no", opening(), PLACE), AppNotFound, "the app 'no' is not running"),
    "an old token": (lambda link: link.page("/sliders", opening(may_create=False), PLACE), SessionEnded, "reload"),
    "an app that raises": (lambda link: link.page("/broken", opening(), PLACE), AppError, "ValueError: on purpose"),
    "a question from the future": (lambda link: link.ask("dance"), ProtocolError, "can't answer 'dance'"),
    "an answer that is no JSON": (lambda link: link.metadata("/odd", "/u"), BokehMountError, "the kernel failed"),
    "a question that lacks something": (lambda link: link.ask("page"), BokehMountError, "the kernel failed: KeyError"),
    "no app to close": (lambda link: link.ask("close_app", path="/no"), AppNotFound, "the app 'no' is not running"),
    "a viewer of no app": (lambda link: link.connect("/no", opening(), BrowserSocket()), AppNotFound, "is not running"),
    "a viewer of a broken app": (lambda link: link.connect("/broken", opening(), BrowserSocket()), AppError, "purpose"),
    "an asset asked wrongly": (lambda link: link.ask("asset", way=1), BokehMountError, "the kernel failed: TypeError"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_fails_in_the_kernel_fails_here_with_its_kind_and_words(name: str) -> None:
    question, kind, words = FAILURES[name]

    @linked
    async def test(rig: Rig) -> None:
        with pytest.raises(BokehMountError, match=words) as failed:
            await question(rig.link)
        assert type(failed.value) is kind
        assert (await rig.link.ask("ping")).result == {"busy": False}, "and the link goes on"
        assert list(rig.link.viewers) == []

    test()


@linked
async def test_an_apps_traceback_comes_along(rig: Rig) -> None:
    with pytest.raises(AppError) as failed:
        await rig.link.page("/broken", opening(), PLACE)
    assert "_broken" in failed.value.traceback and "on purpose" in failed.value.traceback


@linked
async def test_who_asks_a_kernel_that_goes_is_told_so(rig: Rig) -> None:
    rig.kernel_wire.receiver = None  # it hears nothing any more
    questions = [asyncio.create_task(rig.link.ask("page")) for _ in range(3)]
    await asyncio.sleep(0)
    rig.server_wire.cut("the kernel died")
    for question in questions:
        with pytest.raises(KernelLost, match="the kernel died"):
            await question
    with pytest.raises(KernelLost, match="the kernel died"):
        await rig.link.ask("page")
    rig.link.lost("again")
    assert rig.listener.heard == [("lost", "the kernel died")] and rig.link.gone == "the kernel died"


@linked
async def test_who_gives_up_asking_leaves_no_question_behind(rig: Rig) -> None:
    rig.kernel_wire.receiver = None
    question = asyncio.create_task(rig.link.ask("page"))
    await asyncio.sleep(0)
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question
    rig.link.received(encode(Failed(1, "X", "too late")))
    assert not rig.link._questions


# Viewers --------------------------------------------------------------------------------------------------------------


@linked
async def test_a_browser_and_a_session_talk(rig: Rig) -> None:
    browser = await rig.look()
    (session,) = rig.kernel.sessions
    slider = the(Slider, session.document.roots[0])
    patch = {"kind": "ModelChanged", "model": slider.ref, "attr": "value", "new": 7}
    rig.link.receive(browser, wire.encode(wire.Message(wire.MessageType.PATCH_DOC, {"events": [patch]})))
    await until(lambda: "OK" in browser.types, "the answer")
    assert slider.value == 7
    slider.title = "from Python"
    await until(lambda: "PATCH-DOC" in browser.types, "the change")


@linked
async def test_two_browsers_of_one_session_are_sent_one_message(rig: Rig) -> None:
    browsers = [await rig.look(), await rig.look()]
    (session,) = rig.kernel.sessions
    assert session.connection_count == 2
    sent: list[Any] = []
    receive = rig.link.received
    rig.server_wire.receiver = rig.link

    def received(parts: Sequence[Part]) -> None:
        sent.append(parts)
        receive(parts)

    rig.link.received = received  # type: ignore[method-assign]
    session.document.title = "new"
    await until(lambda: all("PATCH-DOC" in browser.types for browser in browsers), "the change")
    assert len(sent) == 1


@linked
async def test_what_a_browser_says_while_its_session_is_made_is_not_lost(rig: Rig) -> None:
    browser = BrowserSocket()
    connecting = asyncio.create_task(rig.link.connect("/sliders", opening(), browser))
    await asyncio.sleep(0)
    rig.link.receive(browser, wire.encode(wire.pull_doc()))
    rig.link.receive(browser, wire.encode(wire.server_info()))
    await connecting
    await until(lambda: len(browser.heard) == 2, "the answers")
    assert browser.types == ["PULL-DOC-REPLY", "SERVER-INFO-REPLY"]


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "goodbye"])
def test_a_browser_that_leaves_while_its_session_is_made_does_not_look_at_it(lost: bool) -> None:
    @linked
    async def test(rig: Rig) -> None:
        browser = BrowserSocket()
        connecting = asyncio.create_task(rig.link.connect("/sliders", opening(), browser))
        await asyncio.sleep(0)
        rig.link.disconnect(browser, lost=lost)
        await connecting
        (session,) = rig.kernel.sessions
        await until(lambda: not session.connection_count, "it to leave")
        assert list(rig.link.viewers) == []
        await rig.kernel.host.expire(linger=0, linger_lost=60)
        assert rig.kernel.sessions == ([session] if lost else []), "one that broke off may come back"

    test()


@linked
async def test_a_browser_that_leaves_is_gone_in_the_kernel_too(rig: Rig) -> None:
    browser = await rig.look()
    (session,) = rig.kernel.sessions
    rig.link.disconnect(browser, lost=False)
    rig.link.disconnect(browser, lost=False)
    await until(lambda: not session.connection_count, "it to leave")
    heard = len(browser.heard)
    session.document.title = "unseen"
    await asyncio.sleep(0.02)
    assert len(browser.heard) == heard
    with pytest.raises(SessionEnded, match="this session has ended"):
        rig.link.receive(browser, wire.encode(wire.pull_doc()))


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (("{}", "{}", "{}"), CloseCode.PROTOCOL),
        (wire.encode(wire.ack()), CloseCode.PROTOCOL),
        ((), CloseCode.SERVER_FAILED),
    ],
    ids=["no header", "not a client's", "no frames at all"],
)
def test_a_browser_that_speaks_nonsense_is_closed_with_a_code_and_the_session_goes_on(
    frames: Any, code: CloseCode, caplog: pytest.LogCaptureFixture
) -> None:
    @linked
    async def test(rig: Rig) -> None:
        bad, good = await rig.look(), await rig.look()
        rig.link.receive(bad, frames)
        await until(lambda: bad.ended, "its end")
        assert bad.ended[0][0] is code and bad.ended[0][1]
        (session,) = rig.kernel.sessions
        assert session.connection_count == 1 and list(rig.link.viewers) == [good]
        rig.link.receive(good, wire.encode(wire.server_info()))
        await until(lambda: "SERVER-INFO-REPLY" in good.types, "an answer")

    with caplog.at_level(logging.CRITICAL):
        test()


@linked
async def test_a_message_after_the_sessions_end_closes_its_browser(rig: Rig) -> None:
    browser = await rig.look()
    await rig.kernel.host.app("/sliders").context.end_all()
    rig.link.receive(browser, wire.encode(wire.pull_doc()))
    await until(lambda: browser.ended, "its end")
    assert browser.ended[0][0] is CloseCode.ENDED


@linked
async def test_an_app_that_moves_takes_its_browsers_along(rig: Rig) -> None:
    browser, other = await rig.look("s1"), await rig.look("s2")
    connections = rig.connections
    rig.end.close_connections(connections[:1], CloseCode.ENDED, "its cell was run again", "/new")
    await until(lambda: browser.ended, "its end")
    assert browser.ended == [(CloseCode.ENDED, "its cell was run again")] and other.ended == []
    assert ("closed", [browser], "its cell was run again", "/new") in rig.listener.heard
    assert len(rig.connections) == 1


@linked
async def test_all_browsers_of_a_kernel_that_goes_are_closed(rig: Rig) -> None:
    browsers = [await rig.look("s1"), await rig.look("s2")]
    rig.server_wire.cut("the kernel was restarted")
    await until(lambda: all(browser.ended for browser in browsers), "their end")
    assert {browser.ended[0] for browser in browsers} == {(CloseCode.KERNEL_LOST, "the kernel was restarted")}
    await until(lambda: rig.kernel.lost, "the kernel's end to hear of it")
    assert all(not session.connection_count for session in rig.kernel.sessions), "sessions know that nobody looks"
    assert list(rig.link.viewers) == []


@linked
async def test_what_a_callback_prints_reaches_its_own_views(rig: Rig) -> None:
    browser, _ = await rig.look("s1"), await rig.look("s2")
    connections = rig.connections
    rig.end.output(connections[:1], "hello\n", error=False)
    rig.end.output([], "nobody", error=False)
    await until(lambda: rig.listener.heard, "the text")
    assert rig.listener.heard == [("output", [browser], "hello\n", False)]


@linked
async def test_the_server_knows_the_apps_of_the_kernel(rig: Rig) -> None:
    assert [app["app"] for app in rig.link.apps] == ["/sliders", "/broken", "/odd"]
    await rig.look()
    await until(lambda: rig.link.apps[0]["sessions"] == 1, "the session to be counted")
    await rig.link.ask("close_app", path="/odd")
    await until(lambda: len(rig.link.apps) == 2, "the app to go")


# What nobody should send ----------------------------------------------------------------------------------------------


@linked
async def test_nonsense_on_the_link_is_logged_and_harms_nobody(rig: Rig) -> None:
    for parts in ([], [b"nonsense"], encode(Ask(1, "page")), encode(Received(99, raw(wire.encode(wire.ack()))))):
        rig.link.received(parts)
        if parts and parts[0] != b"nonsense" and isinstance(decode(parts), Ask):
            continue
        rig.end.received(parts)
    rig.end.received(encode(Failed(1, "X", "y")))
    assert (await rig.link.ask("ping")).result == {"busy": False}


def test_an_older_server_or_kernel_may_name_errors_that_are_unknown_here() -> None:
    @linked
    async def test(rig: Rig) -> None:
        rig.kernel_wire.receiver = None
        question = asyncio.create_task(rig.link.ask("x"))
        await asyncio.sleep(0)
        rig.link.received(encode(Failed(1, "NewError", "of tomorrow")))
        with pytest.raises(BokehMountError, match="the kernel failed: NewError: of tomorrow"):
            await question

    test()


# Files ----------------------------------------------------------------------------------------------------------------


@linked
async def test_the_kernels_files_are_asked_for_once(rig: Rig) -> None:
    asset = await rig.link.asset("js/bokeh.min.js")
    assert asset is not None and asset.content_type == "text/javascript" and len(asset.content) > 100_000
    rig.kernel_wire.receiver = None
    assert await rig.link.asset("js/bokeh.min.js") is asset
    other = KernelLink("k2", rig.link.info, rig.cache, rig.listener)
    assert await other.asset("js/bokeh.min.js") is asset, "kernels of one installation share it"


@linked
async def test_files_that_may_differ_between_kernels_are_asked_for_each_time(rig: Rig) -> None:
    for path in ("extensions/panel/panel.min.js", "components/__main__/Counter/_stylesheets/counter.css"):
        with pytest.MonkeyPatch.context() as patch:
            for content in (b"one", b"another"):
                patch.setattr(link_end, "read_asset", lambda _, content=content: Asset(content, "text/css", "1"))
                found = await rig.link.asset(path)
                assert found is not None and found.content == content, path


@linked
async def test_a_file_that_is_not_there_is_none(rig: Rig) -> None:
    assert await rig.link.asset("js/none.js") is None
    assert await rig.link.asset("../../../LICENSE.txt") is None


@linked
async def test_files_are_given_while_the_main_thread_is_busy(rig: Rig) -> None:
    waiting = asyncio.create_task(rig.link.asset("js/bokeh.min.js"))
    rig.end._gate.run = lambda work: None  # type: ignore[method-assign]  # nothing gets to the main thread
    assert await waiting is not None
    assert (await rig.link.ask("ping")).result == {"busy": False}


def asset(size: int) -> Asset:
    return Asset(b"x" * size, "text/plain", "v")


def test_the_cache_is_bounded_and_drops_what_was_not_asked_for() -> None:
    cache = AssetCache(most=100)
    for name in ("a", "b"):
        cache.put("i1", name, asset(40))
    assert cache.get("i1", "a") is not None
    cache.put("i1", "c", asset(40))
    assert [cache.get("i1", name) is not None for name in ("a", "b", "c")] == [True, False, True]
    assert cache.get("i2", "a") is None
    cache.put("i1", "huge", asset(101))
    assert cache.get("i1", "huge") is None
    cache.put("i1", "d", asset(100))
    cache.put("i1", "d", asset(100))
    assert cache.get("i1", "d") is not None


@linked
async def test_a_busy_kernel_is_told_of(rig: Rig) -> None:
    from bokehmount.link.messages import Load

    rig.link.received(encode(Load(True)))
    assert rig.link.busy and rig.listener.heard == [("load", True)]
    rig.link.received(encode(Load(False)))
    assert not rig.link.busy
    assert rig.link.carrier_name == "memory"


@linked
async def test_what_is_too_large_for_a_link_ends_the_view_that_would_have_it_and_no_other(rig: Rig) -> None:
    first, second = await rig.look(), await rig.look("s2")
    large = next(session for session in rig.kernel.sessions if session.id == "s1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bokehmount.kernel.link_end.MAX_MESSAGE", 100_000)
        large.document.roots[0].tags = ["x" * 200_000]
        await until(lambda: first.ended, "its end")
        ((code, why),) = first.ended
        assert code == CloseCode.TOO_BIG and "over the limit of 100,000" in why
        again = BrowserSocket()
        await rig.link.connect("/sliders", opening("s1"), again)
        rig.link.receive(again, wire.encode(wire.pull_doc()))
        await until(lambda: again.ended, "its end too")
    assert not second.ended and (await rig.link.ask("ping")).result == {"busy": False}


@linked
async def test_a_link_is_behind_while_too_much_waits_and_not_once_it_is_lost(rig: Rig) -> None:
    viewer = await rig.look()
    rig.server_wire.waiting = 64 * 2**20
    assert not rig.link.is_behind(viewer)
    rig.server_wire.waiting += 1
    assert rig.link.is_behind(viewer)
    rig.link.lost("it is gone")
    assert not rig.link.is_behind(viewer), "viewers are read again, to their close frames"


def larger(value: int) -> Frames:
    """A question of 256 KiB."""
    header, metadata, _ = wire.encode(wire.server_info())
    return header, metadata, f'{{"value": {value}, "padding": "{"x" * 2**18}"}}'


def infos(browser: BrowserSocket) -> int:
    return browser.types.count("SERVER-INFO-REPLY")


@linked
async def test_who_looks_at_a_session_is_behind_while_too_much_waits_for_its_lock_and_nobody_else(rig: Rig) -> None:
    browser, beside, other = await rig.look(), await rig.look(), await rig.look("s2")
    session = next(session for session in rig.kernel.sessions if session.id == "s1")
    holding = asyncio.ensure_future(session.with_document_locked(rig.kernel.release.wait))
    await asyncio.sleep(0)
    for number in range(60):
        rig.link.receive(browser, larger(number))
    await asyncio.sleep(0.01)
    assert not rig.link.is_behind(browser), "15 MiB wait"
    for number in range(8):
        rig.link.receive(browser, larger(number))
    await until(lambda: rig.link.is_behind(browser), "it to be behind")
    assert not rig.link.is_behind(beside), "it has sent nothing"
    rig.link.receive(beside, larger(0))
    await until(lambda: rig.link.is_behind(beside), "the same of who looks along")
    assert not rig.link.is_behind(other) and not infos(browser)
    rig.link.disconnect(beside, lost=True)
    rig.kernel.release.set()
    await until(lambda: not rig.link.is_behind(browser), "it to be read again")
    await until(lambda: infos(browser) == 68, "all answers")
    await holding
    assert not rig.link.is_behind(beside)


@linked
async def test_who_sends_on_while_a_session_is_being_made_is_behind_until_it_is_there(rig: Rig) -> None:
    context = rig.kernel.host.app("/sliders").context
    browser = BrowserSocket()
    with pytest.MonkeyPatch.context() as patch:
        made = context.application.on_session_created

        async def later(session_context: Any) -> None:
            await rig.kernel.release.wait()
            await made(session_context)

        patch.setattr(context.application, "on_session_created", later)
        connecting = asyncio.ensure_future(rig.link.connect("/sliders", opening(), browser))
        await asyncio.sleep(0.01)
        for number in range(5):
            assert not rig.link.is_behind(browser)
            rig.link.receive(browser, larger(number))
        await until(lambda: rig.link.is_behind(browser), "it to be behind")
        rig.kernel.release.set()
        await connecting
    await until(lambda: not rig.link.is_behind(browser), "it to be read again")
    await until(lambda: infos(browser) == 5, "all answers")
