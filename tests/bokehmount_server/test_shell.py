"""The pages that are ours say what is happening, and let nothing out of its place."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from bokehmount.errors import (
    AppError,
    AppNotFound,
    BokehMountError,
    KernelLost,
    ProtocolError,
    SessionEnded,
    TokenError,
)
from bokehmount_server.shell import error_page, shell_page

EVIL = '"><script>alert(1)</script>{x}%s&'


class Script(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.scripts: list[dict[str, Any]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "script":
            self.scripts.append({name.removeprefix("data-bokehmount-"): value for name, value in attrs})

    def handle_data(self, data: str) -> None:
        self.text += data


def only_script(html: str) -> dict[str, Any]:
    (script,) = Script(html).scripts
    return script


def test_the_shell_says_what_is_happening_and_nothing_breaks_out() -> None:
    html = shell_page(EVIL, "/view.js?" + EVIL, EVIL, "busy", EVIL)
    assert only_script(html) == {
        "src": "/view.js?" + EVIL,
        "token": EVIL,
        "state": "busy",
        "text": EVIL,
        "detail": "",
        "run": "",
    }
    assert EVIL in Script(html).text, "also without JavaScript"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (TokenError(EVIL), "refused"),
        (AppNotFound(EVIL), "missing"),
        (SessionEnded(EVIL), "ended"),
        (KernelLost(EVIL), "gone"),
        (ProtocolError(EVIL), "gone"),
        (BokehMountError(EVIL), "raised"),
    ],
)
def test_an_error_is_told_in_its_own_words(error: BokehMountError, state: str) -> None:
    script = only_script(error_page(error, "/view.js"))
    assert (script["state"], script["text"], script["detail"], script["token"]) == (state, EVIL, "", "")


def test_an_error_page_can_listen_for_better_news() -> None:
    script = only_script(error_page(AppNotFound("no app"), "/view.js", token=EVIL, run=EVIL))
    assert (script["token"], script["run"]) == (EVIL, EVIL)


def test_an_apps_error_comes_with_its_traceback() -> None:
    script = only_script(error_page(AppError("ValueError: " + EVIL, "Traceback " + EVIL), "/view.js"))
    assert script["state"] == "raised"
    assert script["text"] == "The app raised ValueError: " + EVIL and script["detail"] == "Traceback " + EVIL
