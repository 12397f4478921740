"""After any changes from both sides, also by callbacks that raise, a client's models equal the Document's."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.events import ButtonClick
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Button, Div, RangeSlider, Slider, TextInput
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server_apps.serving import Running, send_event, serving, until

from ..kinds import the

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # clients cut short


def app(doc: Document) -> None:
    slider = Slider(start=0, end=100, value=1, name="slider")
    area = RangeSlider(start=0, end=100, value=(1, 2), name="range")
    text = TextInput(value="a", name="text")
    source = ColumnDataSource({"x": [1, 2, 3], "y": [1, 2, 3]}, name="source")
    told = Div(text="", name="told")
    button = Button(name="button")

    def moved(attr: str, old: float, new: float) -> None:
        told.text = f"moved to {new}"
        if new % 3 == 0:
            raise RuntimeError("on purpose, after a change")
        doc.title = f"title {new}"

    def typed(attr: str, old: str, new: str) -> None:
        doc.hold("combine" if len(new) % 2 else "collect")
        area.value = (len(new), len(new) + 10)
        source.stream({"x": [len(new)], "y": [0]}, rollover=6)
        doc.unhold()

    def clicked() -> None:
        slider.value = (slider.value + 7) % 100
        source.patch({"y": [(0, slider.value)]})
        if len(doc.roots) > 6:
            doc.remove_root(doc.roots[-1])
        else:
            doc.add_root(Div(text=f"more {slider.value}"))
        raise RuntimeError("on purpose, at the end")

    def asked(attr: str, old: list[str], new: list[str]) -> None:
        told.tags = new

    slider.on_change("value", moved)
    text.on_change("value", typed)
    button.on_click(clicked)
    button.on_change("tags", asked)
    for root in (slider, area, text, source, told, button):
        doc.add_root(root)


number = st.integers(0, 100)
change = st.one_of(
    st.tuples(st.just("client slider"), number),
    st.tuples(st.just("server slider"), number),
    st.tuples(st.just("client text"), st.text("ab", max_size=4)),
    st.tuples(st.just("server text"), st.text("ab", max_size=4)),
    st.tuples(st.just("click"), st.none()),
    st.tuples(st.just("client patch"), number),
    st.tuples(st.just("server stream"), number),
    st.tuples(st.just("client data"), st.lists(number, min_size=1, max_size=4)),
    st.tuples(st.just("server data"), st.lists(number, min_size=1, max_size=4)),
    st.tuples(st.just("client title"), st.text("xyz", min_size=1, max_size=4)),
    st.tuples(st.just("server title"), st.text("xyz", min_size=1, max_size=4)),
    st.tuples(st.just("server roots"), number),
)


def plain(value: Any) -> Any:
    """Without what names the same thing differently: arrays and tuples are lists, models are their ids."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.id if hasattr(value, "id") else value


def state(doc: Document) -> dict[str, Any]:
    """All that both sides hold, property by property."""
    values = {
        f"{root.name or root.id} {name}": plain(value)
        for root in doc.roots
        for name, value in root.properties_with_values(include_defaults=True).items()
    }
    return {"title": doc.title, "roots": [root.id for root in doc.roots], **values}


def carry_out(running: Running, session: Any, client: Any, what: str, value: Any) -> None:
    side, _, name = what.partition(" ")

    def change(doc: Document) -> None:
        source: Any = doc.get_model_by_name("source")
        match name:
            case "slider" | "text":
                doc.get_model_by_name(name).value = value  # type: ignore[union-attr]
            case "patch":
                source.patch({"y": [(0, value)]})
            case "stream":
                source.stream({"x": [value], "y": [value]})
            case "data":
                # one list for both would be two columns that patch each other
                source.data = {"x": list(value), "y": list(value)}
            case "title":
                doc.title = value
            case "roots":
                if value % 2 and len(doc.roots) > 6:
                    doc.remove_root(doc.roots[-1])
                else:
                    doc.add_root(Div(text=f"by the server {value}"))

    if side == "click":
        send_event(client, ButtonClick(client.document.get_model_by_name("button")))
    elif side == "client":
        change(client.document)
    else:
        running.do(lambda: session.with_document_locked(guarded, change, session.document))


def guarded(change: Any, doc: Document) -> None:
    try:
        change(doc)
    except RuntimeError as error:
        assert "on purpose" in str(error)


@pytest.fixture(scope="module")
def running() -> Any:
    with serving(app) as found:
        yield found


def ask(client: Any, question: str) -> None:
    """Let the app answer a question: it has all that the client sent before, the client all that it sent till then.

    A stock client's own ``force_roundtrip`` drops the patches that come before the answer.
    """
    client.document.get_model_by_name("button").tags = [question]
    until(client, lambda: client.document.get_model_by_name("told").tags == [question], f"the answer to {question!r}")


def settle(running: Running, session: Any) -> None:
    """Wait until the session has sent what is right of all that both sides have changed at once."""
    deadline = time.monotonic() + 15
    while running.do(lambda: session._settling.next_due) is not None:
        assert time.monotonic() < deadline, "what both sides have changed is not settled in 15 s"
        running.do(asyncio.sleep, 0.02)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=st.lists(change, min_size=1, max_size=12))
def test_a_client_and_the_document_are_equal_in_the_end(running: Running, changes: list[tuple[str, Any]]) -> None:
    with running.pull() as client:
        session = running.server.get_session("/", client.id)
        for what, value in changes:
            carry_out(running, session, client, what, value)
        # they may be equal by chance before the server has read what the client sent
        ask(client, "have you heard me?")
        settle(running, session)
        ask(client, "have I heard you?")
        assert state(the(Document, client.document)) == running.do(
            session.with_document_locked, state, session.document
        )
