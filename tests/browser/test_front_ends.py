"""The same output in Notebook 7, without our labextension, in a notebook that is not trusted, and after its kernel."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from .apps import CLOUD, LOAD, POWER
from .conftest import OpenNotebook
from .driver import Jupyter, Lab, Notebook, View, eventually, notebook


@pytest.fixture(scope="module")
def classic(browser: Browser, jupyter: Jupyter) -> Iterator[tuple[Lab, Notebook]]:
    """Notebook 7 with one notebook, whose cells are run in the order of the tests that use them."""
    (jupyter.work / "classic.ipynb").write_text(json.dumps(notebook(LOAD, POWER, CLOUD, "plot.title.text = 'after'")))
    front = Lab(browser, jupyter, classic="classic.ipynb")
    opened = Notebook(front.page, "classic.ipynb", jupyter).wait_ready()
    opened.run(0)
    yield front, opened
    front.assert_stayed_home()
    front.close()


def test_notebook_7_shows_an_app_in_a_cell_and_in_a_tab(classic: tuple[Lab, Notebook]) -> None:
    front, opened = classic
    opened.run(1)
    view = opened.view(1).wait_drawn()
    view.frame.locator(".noUi-handle").focus()
    front.page.keyboard.press("ArrowRight")
    eventually("the line to be squares", lambda: view.column("line", "y") == [1, 4, 9], page=front.page)
    with front.context.expect_page() as tab:
        opened.cell(1).get_by_role("link", name="Open in a tab: app").click()
    shown = View(tab.value).wait_drawn()
    shown.set("power", "value", 3)
    eventually("the tab's line to be cubes", lambda: shown.column("line", "y") == [1, 8, 27], page=shown.page)
    shown.page.close()


def test_notebook_7_follows_an_edit_in_another_cell(classic: tuple[Lab, Notebook]) -> None:
    front, opened = classic
    opened.run(2)
    view = opened.view(2).wait_drawn()
    opened.run(3)
    eventually("the edit", lambda: view.js("model('plot').title.text") == "after", page=front.page)


def test_notebook_7_tells_of_a_restart_and_comes_back(classic: tuple[Lab, Notebook]) -> None:
    _, opened = classic
    opened.run(2)
    opened.view(2).wait_drawn()
    opened.restart_kernel()
    opened.view(2).wait_says("restarted", state="restarted")
    opened.run(0)
    opened.run(2)
    opened.view(2).wait_drawn()


def test_without_the_labextension_the_html_shows_the_app(browser: Browser, jupyter: Jupyter) -> None:
    with jupyter.without_labextension():
        front = Lab(browser, jupyter)
    opened = front.notebook(LOAD, POWER)
    opened.run(0)
    opened.run(1)
    view = opened.view(1).wait_drawn()
    assert opened.cell(1).locator(".bokehmount-View").count() == 0, "our renderer is not there"
    assert "?_xsrf=" in view.frame.url, "else a hub forbids the frame"
    view.set("power", "value", 2)
    eventually("the line to be squares", lambda: view.column("line", "y") == [1, 4, 9], page=front.page)
    eventually(
        "the frame to be as high as its content",
        lambda: view.frame.evaluate("() => innerHeight >= document.documentElement.scrollHeight && innerHeight < 400"),
        page=front.page,
    )
    with front.context.expect_page() as tab:
        opened.cell(1).get_by_role("link", name="Open in a tab").click()
    assert "_xsrf" not in View(tab.value).wait_drawn().page.url
    front.assert_stayed_home()
    opened.close()
    front.close()


def test_without_the_labextension_a_frame_that_shows_no_page_of_ours_is_told_of(
    browser: Browser, jupyter: Jupyter
) -> None:
    """As under a Voila that is a server of its own."""
    with jupyter.without_labextension():
        front = Lab(browser, jupyter)
    opened = front.notebook(LOAD, POWER)
    opened.run(0)
    front.page.route("**/bokeh/kernels/**", lambda route: route.fulfill(status=403, body="403: Forbidden"))
    opened.run(1)
    words = opened.cell(1).get_by_role("status").filter(has_text="No answer from bokehmount")
    words.wait_for(timeout=20_000)
    front.page.unroute("**/bokeh/kernels/**")
    opened.cell(1).locator("iframe").evaluate("frame => { frame.src = frame.src; }")
    opened.view(1).wait_drawn()
    assert words.count() == 0, "it has answered"
    front.page.wait_for_timeout(5_500)
    assert words.count() == 0
    opened.close()
    front.close()


def test_an_untrusted_notebook_runs_nothing_and_says_what_to_do(open_notebook: OpenNotebook, lab: Lab) -> None:
    alive = open_notebook(LOAD, POWER)
    alive.run(0)
    alive.run(1)
    alive.view(1).wait_drawn()
    content = notebook(LOAD, POWER)
    content["cells"][1].update(execution_count=2, outputs=alive.outputs(1))
    assert content["cells"][1]["outputs"][0]["data"]["application/vnd.bokehmount.view.v1+json"]["app"] == "/power"
    (lab.server.work / "foreign.ipynb").write_text(json.dumps(content))
    sessions = alive.python("len(view.sessions)")
    lab.requests.clear()
    foreign = open_notebook(name="foreign.ipynb")
    words = foreign.cell(1).locator(".jp-OutputArea-output").inner_text()
    assert "trust this notebook and run its cell again" in words
    assert foreign.cell(1).locator("iframe").count() == 0
    assert not [url for url in lab.requests if "/bokeh/kernels/" in url], "nothing asked for the app"
    assert sessions == 1
    assert [app["sessions"] for app in lab.server.apps() if app["app"] == "/power"] == [1]


def test_a_saved_notebook_whose_kernel_is_gone_says_what_to_do(open_notebook: OpenNotebook, lab: Lab) -> None:
    first = lab.notebook(LOAD, POWER)
    first.run(0)
    first.run(1)
    first.view(1).wait_drawn()
    first.close()
    again = open_notebook(name=first.path)
    view = again.view(1)
    view.wait_says("kernel has ended", "run the app's cell again", state="missing")
    again.run(0)
    again.run(1)
    again.view(1).wait_drawn()
