"""The Chromium of all tests that need a browser."""

from __future__ import annotations

import os
import shutil
from typing import Final

import pytest
from playwright.sync_api import Browser, Playwright
from playwright.sync_api import Error as BrowserError

__all__ = ("launched",)

PATH: Final = os.environ.get("CHROMIUM", "/usr/bin/chromium")

FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--no-pings",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
]


def launched(playwright: Playwright, *more: str) -> Browser:
    """A headless browser that reaches this machine only, with more command-line flags; fails where none is."""
    if shutil.which(PATH) is None:
        pytest.fail(
            f"no browser at {PATH}: install Chromium ('apt-get install chromium') or set CHROMIUM to its path",
            pytrace=False,
        )
    try:
        return playwright.chromium.launch(executable_path=PATH, headless=True, args=[*FLAGS, *more])
    except BrowserError as error:
        pytest.fail(f"the browser at {PATH} does not start: {error}", pytrace=False)
