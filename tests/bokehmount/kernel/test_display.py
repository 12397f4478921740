"""What a cell's output holds, and that nothing in it can do harm."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.models.widgets import Div

from bokehmount.kernel.display import VIEW_MIME, linked_to_tab, live_bundle, opened_in_tab, static_bundle

EVIL = "</script><img src=x onerror=alert(1)>\"'\\{}"


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script":
            self.scripts.append(data)


def test_a_front_end_that_knows_us_learns_all_it_needs() -> None:
    assert live_bundle("k1", "/app", "Title", 300, None, "run-1")[VIEW_MIME] == {
        "kernel_id": "k1",
        "app": "/app",
        "title": "Title",
        "width": 300,
        "height": None,
        "run": "run-1",
    }


def test_the_bundle_is_json_and_names_no_host() -> None:
    text = json.dumps(live_bundle("k1", "/app", "Title"))
    assert not re.search(r"https?://|localhost|127\.0", text)


def test_one_that_does_not_know_us_gets_a_frame_and_words() -> None:
    bundle = live_bundle("k1", "/app", "Title", None, 400)
    assert '"bokeh/kernels/k1/app"' in bundle["text/html"] and "height:400px" in bundle["text/html"]
    assert "width:100%" in bundle["text/html"]
    assert "Title" in bundle["text/plain"] and "bokeh/kernels/k1/app" in bundle["text/plain"]


@pytest.mark.parametrize("make", [live_bundle, opened_in_tab, linked_to_tab])
def test_a_title_cannot_break_out_of_the_html(make: Any) -> None:
    tags = Tags(make("k1", "/app", EVIL)["text/html"])
    assert "img" not in tags.tags and tags.tags.count("script") == 1


def test_a_title_arrives_in_the_script_as_it_was() -> None:
    html = live_bundle("k1", "/app", EVIL)["text/html"]
    literal = re.search(r"frame\.title = (\"(?:[^\"\\]|\\.)*\")", html)
    assert literal and json.loads(literal[1]) == EVIL


def test_what_opens_a_tab_does_so_once_and_what_takes_its_place_does_not() -> None:
    first, second = (opened_in_tab("k1", "/app", "Title") for _ in range(2))
    assert first["text/html"] != second["text/html"], "each remembers for itself that it has"
    link = linked_to_tab("k1", "/app", "Title")
    assert "window.open" in first["text/html"] and "window.open" not in link["text/html"]
    assert "Date" not in first["text/html"], "the kernel's clock is not the browser's"
    assert VIEW_MIME not in first and VIEW_MIME not in link
    assert first["text/plain"] == link["text/plain"]


def test_without_a_server_there_is_a_picture_and_what_to_do() -> None:
    document = Document()
    document.add_root(Div(text="hello"))
    bundle = static_bundle(EVIL, document, None, None)
    tags = Tags(bundle["text/html"])
    assert tags.tags == ["p", "iframe", "script"] and "onerror" not in tags.scripts[0]
    assert "static picture" in bundle["text/plain"] and "static picture" in bundle["text/html"]
    assert "height:600px" in bundle["text/html"]


def test_an_empty_app_without_a_server_is_words_only() -> None:
    assert Tags(static_bundle("x", Document(), None, None)["text/html"]).tags == ["p"]
