"""Pictures of apps where no server runs the kernel, as nbconvert writes them into a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bokeh.io.doc import _PATCHED_CURDOCS
from bokeh.layouts import column
from bokeh.models.ui import UIElement
from bokeh.models.widgets import Div
from bokeh.plotting import figure
from bokeh.resources import INLINE
from playwright.sync_api import Browser

from bokehmount.kernel.display import static_bundle

from .driver import eventually


def a_figure(**size: Any) -> UIElement:
    plot = figure(**size)
    plot.line([1, 2, 3], [1, 3, 2])
    return plot


PICTURES: dict[str, tuple[Callable[[], UIElement], int | None, range]] = {
    "low": (lambda: a_figure(width=500, height=200), None, range(200, 240)),
    "wide": (lambda: a_figure(sizing_mode="stretch_width", height=250), None, range(250, 290)),
    "high": (lambda: column(*[Div(text=f"line {line}") for line in range(60)]), None, range(1000, 2500)),
    "fills its room": (lambda: a_figure(sizing_mode="stretch_both"), None, range(600, 601)),
    "as asked": (lambda: a_figure(width=500, height=200), 333, range(333, 334)),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_is_as_high_as_what_it_shows(browser: Browser, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr("bokehmount.kernel.display.CDN", INLINE)  # tests do not ask BokehJS's public home
    # a Document of another test of this process, whose callback raised where Bokeh alone ran it
    if isinstance(_PATCHED_CURDOCS, list):  # before Bokeh 3.10
        monkeypatch.setattr("bokeh.io.doc._PATCHED_CURDOCS", [])
    make, height, expected = PICTURES[kind]
    page = browser.new_page()
    try:
        page.set_content(static_bundle(kind, make(), None, height)["text/html"])
        page.frame_locator("iframe").locator(".bk-Figure, .bk-Column").first.wait_for(timeout=15_000)
        eventually(
            f"the {kind!r} picture has its height",
            lambda: page.evaluate("document.querySelector('iframe').clientHeight") in expected,
            page=page,
        )
    finally:
        page.close()
