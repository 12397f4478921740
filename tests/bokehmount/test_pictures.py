"""No browser has a file of the server's read by naming it for a picture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.models import BoxZoomTool, CustomAction
from bokeh.plotting import figure

from bokehmount import documents
from bokehmount.errors import ProtocolError
from bokehmount.pictures import check_change, check_definitions
from bokehmount.session import ServerSession
from bokehmount.wire import Message, MessageType

from .doubles import Browser

SECRET = "<svg>secret</svg>"


@pytest.fixture
def secret(tmp_path: Path) -> str:
    file = tmp_path / "secret.svg"
    file.write_text(SECRET)
    return str(file)


def tried(content: dict[str, Any], tool: CustomAction, msgtype: MessageType = MessageType.PATCH_DOC) -> str:
    """What a session answers to a message from a browser; the Document's tool is the given one."""

    async def main() -> str:
        document = Document()
        plot = figure(tools=[tool])
        document.add_root(plot)
        session = ServerSession(ID("s"), document, owns_models=False)
        sender = Browser(session)
        sender.pull()
        sender.send(Message(msgtype, content))
        sender.outlet.pass_on()
        answers = str(
            [message.content for message in sender.heard if message.msgtype is not MessageType.PULL_DOC_REPLY]
        )
        session.destroy()
        return answers

    return asyncio.run(main())


def changed(tool: CustomAction, icon: Any) -> dict[str, Any]:
    return {"events": [{"kind": "ModelChanged", "model": {"id": tool.id}, "attr": "icon", "new": icon}]}


def defined(icon: Any) -> dict[str, Any]:
    return {"type": "object", "name": "CustomAction", "id": "new", "attributes": {"icon": icon}}


def test_no_file_is_read_for_a_change(secret: str) -> None:
    tool = CustomAction()
    assert "only the app itself may name a file" in tried(changed(tool, secret), tool)
    assert tool.icon is None


def test_nor_for_a_new_model(secret: str) -> None:
    tool = CustomAction()
    event = {"kind": "ModelChanged", "model": {"id": tool.id}, "attr": "tags", "new": [[{"x": 1}, defined(secret)]]}
    assert "only the app itself may name a file" in tried({"events": [event]}, tool)
    assert tool.tags == []


def as_a_map(tool: CustomAction, secret: str) -> list[Any]:
    entries = [["kind", "ModelChanged"], ["model", {"id": tool.id}], ["attr", "icon"], ["new", secret]]
    return [{"type": "map", "entries": entries}]


def of_a_model_that_it_brings(tool: CustomAction, secret: str) -> list[Any]:
    new = {"type": "object", "name": "CustomAction", "id": "new"}
    return [
        {"kind": "ModelChanged", "model": {"id": tool.id}, "attr": "tags", "new": [new]},
        {"kind": "ModelChanged", "model": {"id": "new"}, "attr": "icon", "new": secret},
    ]


def of_a_model_that_it_defines_there(tool: CustomAction, secret: str) -> list[Any]:
    new = {"type": "object", "name": "CustomAction", "id": "new"}
    return [
        {"kind": "ModelChanged", "model": new, "attr": "icon", "new": secret},
        {"kind": "ModelChanged", "model": {"id": tool.id}, "attr": "tags", "new": [{"id": "new"}]},
    ]


def as_columns(tool: CustomAction, secret: str) -> list[Any]:
    return [{"kind": "ColumnDataChanged", "model": {"id": tool.id}, "attr": "icon", "data": secret}]


@pytest.mark.parametrize("events", [as_a_map, of_a_model_that_it_brings, of_a_model_that_it_defines_there, as_columns])
def test_nor_for_a_change_that_is_written_in_another_way(
    events: Callable[[CustomAction, str], list[Any]], secret: str
) -> None:
    tool = CustomAction()
    assert "only the app itself may name a file" in tried({"events": events(tool, secret)}, tool)
    assert tool.icon is None and all(new.icon is None for new in tool.tags)


def test_nor_for_a_new_root(secret: str) -> None:
    event = {"kind": "RootAdded", "model": defined(secret)}
    assert "only the app itself may name a file" in tried({"events": [event]}, CustomAction())


def test_nor_for_a_whole_document(secret: str) -> None:
    content = {"doc": {"version": "3", "title": "t", "roots": [defined(secret)]}}
    assert "only the app itself may name a file" in tried(content, CustomAction(), MessageType.PUSH_DOC)


def test_whether_a_file_exists_is_not_told(secret: str) -> None:
    tool = CustomAction()
    there, nowhere = (tried(changed(tool, path), tool) for path in (secret, secret.replace("secret", "nothin")))
    assert there.replace("secret", "nothin") == nowhere


@pytest.mark.parametrize("icon", ["data:image/png;base64,AA==", "https://h/i.png", "box_zoom", "--icon", None])
def test_all_else_that_an_icon_may_be_is_taken(icon: str | None) -> None:
    tool = CustomAction(icon="pan")
    assert "ERROR" not in tried(changed(tool, icon), tool) and tool.icon == icon


@pytest.mark.parametrize(
    "icon", ["secret.svg", "./x", ".env", ".x.svg", "/etc/passwd", "C:\\x", "file", "--/x", "a\n", "http:x"]
)
def test_what_may_be_a_file_is_refused_wherever_it_stands(icon: str) -> None:
    with pytest.raises(ProtocolError, match=r"CustomAction\.icon"):
        check_definitions(documents.nodes({"deep": [[defined([{"x": icon}])]]}))


def test_the_class_of_a_model_that_is_there_says_what_is_a_picture() -> None:
    with pytest.raises(ProtocolError, match=r"BoxZoomTool\.icon"):
        check_change({"model": BoxZoomTool(), "attr": "icon", "new": "/a/file"})
    check_change({"model": BoxZoomTool(), "attr": "description", "new": "/a/file"})


def test_the_apps_own_code_may_name_one(secret: str) -> None:
    assert "secret" in str(CustomAction(icon=secret).icon)


def test_depth_is_no_trouble() -> None:
    deep: Any = ["pan"]
    for _ in range(5_000):
        deep = [deep]
    check_definitions([defined(deep)])


def test_what_makes_no_sense_is_left_to_others() -> None:
    check_definitions(
        [
            {"type": "object", "name": 5, "attributes": {"icon": "/x"}},
            {"type": "object", "name": "NoSuchModel", "attributes": {"icon": "/x"}},
            {"type": "object", "name": "CustomAction", "attributes": ["icon"]},
        ]
    )
    events: list[Any] = [
        {"model": ["m"], "attr": "icon", "new": "/x"},
        {"model": BoxZoomTool(), "attr": 5},
        {},
        [],
        None,
    ]
    for event in events:
        check_change(event)
