"""One hub for the whole run, with the people's servers started together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from bokehmount.testing import RunningNotebook

from ..chromium import launched
from ..waves import SETUP, notebook
from .hub import PASSWORD, Hub, HubUser

ODD_NAMES = ["a@b.org", "zoë+ж (x)[y]"]
"""Names that are encoded in the base URL, or that mean something in a route's pattern."""


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(scope="session")
def people(hub: Hub) -> dict[str, HubUser]:
    return hub.start(["alice", "bob", *ODD_NAMES])


@pytest.fixture(scope="session")
def alice(people: dict[str, HubUser]) -> HubUser:
    return people["alice"]


@pytest.fixture(scope="session")
def bob(people: dict[str, HubUser]) -> HubUser:
    return people["bob"]


@pytest.fixture(scope="session")
def waves(alice: HubUser) -> Iterator[RunningNotebook]:
    """Alice's notebook, which shows an app."""
    with RunningNotebook.run(alice, notebook(SETUP)) as running:
        yield running


@pytest.fixture(scope="module")  # other tests start a playwright of their own, and a thread bears one
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
    yield context
    context.close()


def log_in(page: Page, name: str) -> None:
    page.fill("#username_input", name)
    page.fill("#password_input", PASSWORD)
    page.click("#login_submit")
