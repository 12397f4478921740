"""One Jupyter server and one Chromium for all browser tests; each test has a notebook of its own.

They end with this package, not with the session: while playwright's synchronous interface is open, no other test of
this process can run an event loop.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from ..chromium import launched
from .driver import Jupyter, Lab, Notebook, running_jupyter

LABEXTENSION = Path(sys.prefix) / "share/jupyter/labextensions/bokehmount/package.json"


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = launched(playwright)
    yield browser
    browser.close()


@pytest.fixture(scope="package")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    if not LABEXTENSION.exists():
        pytest.fail(
            f"the labextension is not built: {LABEXTENSION} is missing; run 'jlpm build:prod' in labextension/",
            pytrace=False,
        )
    with running_jupyter(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture(scope="package")
def lab(browser: Browser, jupyter: Jupyter) -> Iterator[Lab]:
    """JupyterLab, loaded once."""
    lab = Lab(browser, jupyter)
    yield lab
    lab.close()


OpenNotebook = Callable[..., Notebook]


@pytest.fixture
def open_notebook(lab: Lab) -> Iterator[OpenNotebook]:
    """Opens notebooks that are closed, with their kernels, at the end; no request of theirs may leave the server."""
    opened: list[Notebook] = []
    lab.requests.clear()

    def open_(*sources: str, name: str | None = None) -> Notebook:
        opened.append(lab.notebook(*sources, name=name))
        return opened[-1]

    yield open_
    for notebook in opened:
        notebook.close()
    for page in lab.context.pages:
        if page is not lab.page:
            page.close()
    lab.assert_stayed_home()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep a picture of what was to be seen when a test failed."""
    report = yield
    if report.when == "call" and report.failed:
        for lab in {value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Lab)}:
            picture = item.config.rootpath / ".pytest_cache" / "browser" / f"{item.name}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            lab.page.screenshot(path=picture)
            report.sections.append(("browser", f"{picture}\n" + "\n".join(lab.console[-30:])))
    return report
