"""Sessions, connections and background work by their public names."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.document.events import ModelChangedEvent
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Div, Slider

from bokehmount import wire
from bokehmount.errors import SessionEnded
from bokehmount.wire import Message, MessageType
from bokehmount_server.connection import ServerConnection, WireProtocol
from bokehmount_server.contexts import ApplicationContext, BokehServerContext, BokehSessionContext
from bokehmount_server.session import ServerSession, current_time
from bokehmount_server.tornado import as_applications
from tests.server_apps.serving import serving, until

from ..kinds import the


class Sent:
    """A socket that keeps what it is to send."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def write(self, messages: Any) -> None:
        for frames in messages:
            text = [bytes(f).decode() if i < 3 or i % 2 else bytes(f) for i, f in enumerate(frames)]
            self.messages.append(wire.decode(tuple(text)))


def app(doc: Document) -> None:
    slider = Slider(start=0, end=9, value=1, name="slider")
    told = Div(text="1", name="told")
    slider.on_change("value", lambda attr, old, new: told.update(text=str(new)))
    doc.add_root(slider)
    doc.add_root(told)


async def opened() -> tuple[ApplicationContext, ServerSession, ServerConnection, Sent]:
    context = ApplicationContext(as_applications(app)["/"], url="/", logout_url="/out")
    session = await context.create_session_if_needed(ID("one"))
    assert isinstance(session, ServerSession)
    socket = Sent()
    return context, session, ServerConnection(None, socket, context, session), socket


def test_pull_patch_and_push_give_their_answers() -> None:
    async def run() -> None:
        _, session, connection, socket = await opened()
        pulled = await ServerSession.pull(Message(MessageType.PULL_DOC_REQ, {}), connection)
        assert pulled.msgtype == MessageType.PULL_DOC_REPLY
        slider = the(Slider, session.document.get_model_by_name("slider"))
        change = {"kind": "ModelChanged", "model": {"id": slider.id}, "attr": "value", "new": 5}
        patch = Message(MessageType.PATCH_DOC, {"events": [change]})
        answer = await ServerSession.patch(patch, connection)
        assert (answer.msgtype, answer.reqid) == (MessageType.OK, patch.msgid)
        assert slider.value == 5
        # the callback's change is sent, the client's own is not sent back
        (sent,) = socket.messages
        assert [event["new"] for event in sent.content["events"]] == ["5"]
        bad = await ServerSession.patch(Message(MessageType.PATCH_DOC, {"events": 5}), connection)
        assert bad.msgtype == MessageType.ERROR
        other = Document()
        other.add_root(Div(text="pushed"))
        pushed = await ServerSession.push(connection.protocol.create("PUSH-DOC", other), connection)
        assert pushed.msgtype == MessageType.OK
        assert [the(Div, root).text for root in session.document.roots] == ["pushed"]
        waiting = asyncio.ensure_future(session.with_document_locked(asyncio.sleep, 5))
        await asyncio.sleep(0)
        late = ServerSession.pull(Message(MessageType.PULL_DOC_REQ, {}), connection)
        session.destroy()
        with pytest.raises(SessionEnded):
            await late
        with pytest.raises(SessionEnded):
            await ServerSession.pull(Message(MessageType.PULL_DOC_REQ, {}), connection)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(run())


def test_a_connection_and_its_protocol() -> None:
    async def run() -> None:
        context, session, connection, socket = await opened()
        assert connection.session is session
        assert connection.application_context is context
        assert isinstance(connection.protocol, WireProtocol)
        assert session.connection_count == 1
        message = Message(MessageType.PULL_DOC_REQ, {})
        assert connection.ok(message).reqid == message.msgid
        assert connection.error(message, "why").content["text"] == "why"
        told: Any = session.document.get_model_by_name("told")
        await connection.send_patch_document(ModelChangedEvent(session.document, told, "text", "new"))
        assert socket.messages[0].content["events"][0]["new"] == "new"
        connection.send_ping()
        create = connection.protocol.create
        assert create("ACK").msgtype == MessageType.ACK
        assert create("OK", "1").reqid == "1"
        assert create("ERROR", "1", "why").content["text"] == "why"
        assert create("SERVER-INFO-REPLY", "1").content["version_info"]["bokeh"]
        assert create("PULL-DOC-REPLY", "1", session.document).content["doc"]["roots"]
        source = ColumnDataSource(name="s")
        session.document.add_root(source)
        with pytest.raises(ValueError, match="is not made of"):
            create("OK")
        with pytest.raises(ValueError):
            create("NO-SUCH")
        connection.detach_session()
        connection.detach_session()
        assert session.connection_count == 0
        with pytest.raises(RuntimeError, match="no session"):
            _ = connection.session
        await context.end_all()

    asyncio.run(run())


def test_contexts_say_what_apps_and_hooks_may_know() -> None:
    async def run() -> None:
        context, session, connection, _ = await opened()
        seen = session.document.session_context
        assert isinstance(seen, BokehSessionContext)
        assert isinstance(seen.server_context, BokehServerContext)
        assert seen.server_context.sessions == [session]
        assert seen.server_context.application_context is context
        assert (seen.id, seen.session, seen.logout_url, seen.request, seen.token_payload) == (
            "one",
            session,
            "/out",
            None,
            {},
        )
        titles: list[str] = []

        async def work(doc: Document) -> None:
            titles.append(doc.title)

        await seen.with_locked_document(work)
        assert titles == ["Bokeh Application"]
        assert context.get_session("one") is session
        connection.detach_session()
        session.request_expiration()
        await context.expire(3600)
        assert session.destroyed
        assert seen.destroyed
        assert list(context.sessions) == []

    asyncio.run(run())
    assert current_time() > 1e12


def test_work_in_the_background_runs_on_threads_or_on_a_given_executor() -> None:
    caller = threading.current_thread().name
    with serving(app) as running:
        name = running.do(running.server.run_in_background, lambda **k: threading.current_thread().name)
        assert name.startswith("bokehmount-background")
        with pytest.raises(ZeroDivisionError):
            running.do(running.server.run_in_background, lambda: 1 / 0)
    with ThreadPoolExecutor(thread_name_prefix="mine") as executor:
        with serving(app, background_executor=executor) as running:
            assert running.do(running.server.run_in_background, lambda: threading.current_thread().name).startswith(
                "mine"
            )
        assert executor.submit(int, "5").result() == 5, "one that was given is not shut down"
    assert threading.current_thread().name == caller


def square(number: int) -> int:
    return number * number


@pytest.mark.filterwarnings("ignore")  # of Dask's own
def test_a_dask_cluster_does_the_work_of_an_app() -> None:
    from distributed import Client, LocalCluster

    def squares(doc: Document) -> None:
        number, told = Slider(start=0, end=99, value=0, name="number"), Div(text="", name="told")

        def changed(attr: str, old: int, new: int) -> None:
            async def ask() -> None:
                told.text = f"{await running.server.run_in_background(square, new)}"

            doc.add_next_tick_callback(cast(Any, ask))  # it may be async

        number.on_change("value", changed)
        doc.add_root(number)
        doc.add_root(told)

    with (
        LocalCluster(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,  # type: ignore[no-untyped-call]
        Client(cluster) as dask,  # type: ignore[no-untyped-call]
        serving(squares) as running,
    ):
        running.server.tornado_app.background_executor = dask.get_executor()
        client = running.pull()
        the(Slider, the(Document, client.document).get_model_by_name("number")).value = 12
        until(client, lambda: the(Div, the(Document, client.document).get_model_by_name("told")).text == "144")
        client.close()
