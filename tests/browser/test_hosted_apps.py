"""Apps of the Jupyter server itself, which its configuration names, in JupyterLab's Running panel and in a tab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from .apps import COUNTING, assert_counts, write_counter
from .driver import Jupyter, Lab, View, eventually, running_jupyter

SLIDERS = Path(__file__).parents[1] / "server_apps" / "apps" / "sliders.py"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Jupyter]:
    """A server that hosts an app."""
    with running_jupyter(tmp_path, f"--BokehMount.apps=/curves/sliders={SLIDERS}") as started:
        yield started


def test_the_running_panel_lists_an_app_of_the_server_and_opens_it(browser: Browser, server: Jupyter) -> None:
    lab = Lab(browser, server)
    lab.page.evaluate("() => window.jupyterapp.shell.activateById('jp-running-sessions')")
    item = lab.page.locator("#jp-running-sessions .jp-RunningSessions-item", has_text="curves/sliders")
    item.wait_for(timeout=45000)
    assert "0 sessions, 0 views" in item.inner_text()
    assert "hosted by the Jupyter server" in str(item.locator("[title*=hosted]").first.get_attribute("title"))

    with lab.context.expect_page() as opened:
        item.get_by_text("curves/sliders").click()
    tab = View(opened.value).wait_drawn()
    assert tab.page.url == f"{server.base}bokeh/curves/sliders"
    tab.set("frequency", "value", 0)
    eventually("the curve to be flat", lambda: tab.column("source", "y") == [0, 0, 0], page=tab.page)
    lab.page.bring_to_front()
    eventually("its view to be counted", lambda: "1 session, 1 view" in item.inner_text(), page=lab.page)

    item.hover()
    assert item.locator(".jp-RunningSessions-itemShutdown:visible").count() == 0, "it is the administrator's to end"
    tab.page.close()
    eventually("its session to end", lambda: "0 sessions, 0 views" in item.inner_text(), page=lab.page)
    lab.assert_stayed_home()
    lab.close()


def test_files_of_the_components_of_an_app_of_the_server_are_found(browser: Browser, tmp_path: Path) -> None:
    write_counter(tmp_path)
    (tmp_path / "counting.py").write_text(COUNTING)
    with running_jupyter(tmp_path / "jupyter", f"--BokehMount.apps=/deep/counting={tmp_path}/counting.py") as server:
        lab = Lab(browser, server)
        assert_counts(lab.tab("bokeh/deep/counting").wait_drawn().frame)
        lab.assert_stayed_home()
        lab.close()
