"""An app in an output cell and in a tab of a real browser: what its user sees and does when all is well."""

from __future__ import annotations

from functools import partial

from playwright.sync_api import Browser, Route

from .apps import CLOUD, LOAD, POWER
from .conftest import OpenNotebook
from .driver import TOKEN, Jupyter, Lab, Notebook, View, eventually


def test_a_slider_moves_the_line_in_the_browser_and_in_the_kernel(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(LOAD, POWER)
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1).wait_drawn()
    handle = view.frame.locator(".noUi-handle")

    # by keyboard, as its user tabs to it
    handle.focus()
    view.page.keyboard.press("ArrowRight")
    eventually("the line to be squares", lambda: view.column("line", "y") == [1, 4, 9], page=view.page)
    assert notebook.python("view.documents[0].select_one({'name': 'power'}).value") == 2

    # and by mouse, to the right end
    box = handle.bounding_box()
    assert box is not None, "the slider's handle is on the screen"
    mouse = view.page.mouse
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mouse.down()
    mouse.move(box["x"] + 3000, box["y"] + box["height"] / 2, steps=5)
    mouse.up()
    eventually("the line to be fifth powers", lambda: view.column("line", "y") == [1, 32, 243], page=view.page)
    assert notebook.python("list(view.documents[0].select_one({'name': 'line'}).data['y'])") == [1, 32, 243]


def test_a_view_is_as_high_as_its_content_and_follows_it(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(LOAD, CLOUD, "plot.height = 420", "show(plot, width=400, height=300)")
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1).wait_drawn()
    wait_fits(view, 250)
    notebook.run(2)
    wait_fits(view, 420)
    notebook.run(3)
    fixed = notebook.view(3).wait_drawn()
    box = eventually("the view's frame", lambda: fixed.iframe is not None and fixed.iframe.bounding_box())
    assert (box["width"], box["height"]) == (400, 300)


def wait_fits(view: View, height: float) -> None:
    """Until the frame holds its content and no more: nothing is cut off, nothing scrolls, no blank below."""

    def fits() -> bool:
        room, content, shown = view.frame.evaluate(
            "() => [innerHeight, document.documentElement.scrollHeight,"
            " document.querySelector('[data-root-id]').firstElementChild?.getBoundingClientRect().height"
            " ?? document.querySelector('[data-root-id]').getBoundingClientRect().height]"
        )
        return bool(content <= room <= height + 30 and room >= height and abs(shown - height) < 30)

    eventually(f"the frame to be just as high as its {height} px of content", fits, page=view.page)


def test_a_cell_and_a_tab_show_one_app_with_a_session_each(open_notebook: OpenNotebook, lab: Lab) -> None:
    notebook = open_notebook(LOAD, POWER)
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1).wait_drawn()
    with lab.context.expect_page() as opened:
        notebook.cell(1).get_by_role("link", name="Open in a tab: app").click()
    tab = View(opened.value).wait_drawn()
    tab.set("power", "value", 3)
    eventually("the tab's line to be cubes", lambda: tab.column("line", "y") == [1, 8, 27], page=tab.page)
    assert view.column("line", "y") == [1, 2, 3], "the cell's view has a Document of its own"
    assert notebook.python("len(view.sessions)") == 2
    assert "token" not in tab.page.url, "the address can be copied: it opens a session of its own"

    tab.page.close()
    eventually(
        "the closed tab's session to be destroyed", lambda: notebook.python("len(destroyed)") == 1, page=lab.page
    )
    assert notebook.python("len(view.sessions)") == 1


def test_the_address_of_a_tab_keeps_nothing_secret(
    open_notebook: OpenNotebook, browser: Browser, jupyter: Jupyter
) -> None:
    notebook = open_notebook(LOAD, POWER)
    notebook.run(0)
    notebook.run(1)
    context = browser.new_context()
    try:
        tab = View(context.new_page())
        url = jupyter.base + notebook.python("view.url")
        tab.page.goto(f"{url}?n=5&token={TOKEN}&_xsrf=x")
        tab.wait_drawn()
        assert tab.page.url == f"{url}?n=5"
        tab.page.reload()
        tab.wait_drawn()
        tab.page.goto(f"{url}nothing?token={TOKEN}")
        tab.wait_says("not running", state="missing")
        assert tab.page.url == f"{url}nothing"
    finally:
        context.close()


def test_all_views_of_a_figure_follow_an_edit_in_another_cell(open_notebook: OpenNotebook, lab: Lab) -> None:
    edit = "plot.title.text = 'after'; source.data['y'] = np.arange(5.0) ** 2"
    notebook = open_notebook(LOAD, CLOUD, edit, "show(plot)")
    notebook.run(0)
    notebook.run(1)
    notebook.run(3)
    tab = lab.tab(notebook.python("view.url")).wait_drawn()
    notebook.cell(1)
    notebook.command("notebook:create-output-view")
    second = View(lab.page, lab.page.locator(".jp-LinkedOutputView iframe"))
    views = [notebook.view(1), notebook.view(3), second, tab]
    for view in views:
        view.wait_drawn()
    lab.page.evaluate(
        """path => {
          const {shell} = window.jupyterapp;
          for (const widget of shell.widgets('main')) if (widget.context?.path === path) shell.activateById(widget.id);
        }""",
        notebook.path,
    )
    notebook.wait_ready()
    notebook.run(2)

    def shows_the_edit(view: View) -> bool:
        return view.js("model('plot').title.text") == "after" and view.column("dots", "y") == [0, 1, 4, 9, 16]

    for view in views:
        eventually("every view to show the edit", partial(shows_the_edit, view), page=lab.page)
    assert notebook.python("len(view.sessions)") == 1, "they share one session"
    # an edit in one browser view reaches the others too
    second.js("void (model('plot').title.text = 'by hand')")
    eventually("the tab to follow", lambda: tab.js("model('plot').title.text") == "by hand", page=tab.page)
    lab.page.evaluate(
        "() => [...window.jupyterapp.shell.widgets('main')]"
        ".forEach(w => w.node.querySelector('.jp-LinkedOutputView') && w.dispose())"
    )


def test_a_page_that_is_loaded_anew_shows_the_app_again(open_notebook: OpenNotebook, lab: Lab) -> None:
    notebook = open_notebook(LOAD, CLOUD, POWER)
    for index in range(3):
        notebook.run(index)
    shared, own = notebook.view(1).wait_drawn(), notebook.view(2).wait_drawn()
    shared.js("void (model('plot').title.text = 'kept')")
    own.set("power", "value", 2)
    eventually("the slider's callback", lambda: own.column("line", "y") == [1, 4, 9], page=lab.page)
    notebook.save()

    lab.load()
    notebook.command("docmanager:open", path=notebook.path, factory="Notebook")
    notebook.wait_ready()
    shared, own = notebook.view(1).wait_drawn(), notebook.view(2).wait_drawn()
    assert shared.js("model('plot').title.text") == "kept", "a figure is as it was left"
    assert own.column("line", "y") == [1, 2, 3], "a function app begins anew"
    own.set("power", "value", 3)
    eventually("the new session to work", lambda: own.column("line", "y") == [1, 8, 27], page=lab.page)
    eventually("the old one to be destroyed", lambda: notebook.python("len(destroyed)") == 1, page=lab.page)


def test_running_the_cell_again_moves_the_open_views_and_leaves_nothing(open_notebook: OpenNotebook, lab: Lab) -> None:
    notebook = open_notebook(LOAD, "destroyed = []", POWER.replace("destroyed, clicks = [], []", "clicks = []"))
    for index in range(3):
        notebook.run(index)
    notebook.view(2).wait_drawn()
    tab = lab.tab(notebook.python("view.url") + "?n=5").wait_drawn()
    first = set(notebook.python("[session.id for session in view.sessions]"))
    notebook.edit(
        2, POWER.replace("destroyed, clicks = [], []", "clicks = []").replace("'before'", "'x'").replace("x**new", "-x")
    )
    notebook.run(2)
    view = notebook.view(2).wait_drawn()
    for shown in (view, tab):
        shown.wait_drawn()
        shown.set("power", "value", 4)
        eventually("the new app's callback", partial(shown.has_column, "line", "y", [-1, -2, -3]), page=lab.page)
    assert tab.page.url.endswith("/power?n=5"), "the app is still asked the same"
    eventually("the old sessions' hooks", lambda: set(notebook.python("destroyed")) == first, page=lab.page)
    assert len(notebook.python("[session.id for session in view.sessions]")) == 2
    assert [app["app"] for app in apps_of(lab, notebook)] == ["/power"]


def apps_of(lab: Lab, notebook: Notebook) -> list[dict[str, object]]:
    return [app for app in lab.server.apps() if app["kernel_id"] == notebook.kernel_id]


def test_a_running_cell_streams_into_the_view_while_it_runs(open_notebook: OpenNotebook, lab: Lab) -> None:
    loop = """
from pathlib import Path
from time import sleep
n = 5
while not Path("enough").exists():
    source.stream({"x": [n], "y": [n]})
    plot.title.text = f"now {n}"
    n += 1
    sleep(0.02)
"""
    enough = lab.server.work / "enough"
    enough.unlink(missing_ok=True)
    notebook = open_notebook(LOAD, CLOUD, loop)
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1).wait_drawn()
    notebook.start(2)
    try:
        eventually("ten points while the cell runs", lambda: len(view.column("dots", "x")) >= 15, page=lab.page)
        assert view.js("model('plot').title.text").startswith("now ")
        assert notebook.execution(2) is None, "the cell still runs"
    finally:
        enough.touch()
    notebook.wait_ran(2)
    total = notebook.python("len(source.data['x'])")
    eventually("all points", lambda: len(view.column("dots", "x")) == total, page=lab.page)
    enough.unlink()


def test_new_tab_opens_one_tab_once(open_notebook: OpenNotebook, lab: Lab) -> None:
    notebook = open_notebook(LOAD, CLOUD.replace('name="cloud"', 'name="cloud", new="tab"'))
    notebook.run(0)
    with lab.context.expect_page() as opened:
        notebook.run(1)
    tab = View(opened.value).wait_drawn()
    assert tab.page.url == lab.server.base + notebook.python("view.url")
    link = notebook.cell(1).get_by_role("link", name="Open it in a tab")
    assert link.get_attribute("href") is not None
    assert len(lab.context.pages) == 2, "one tab, beside JupyterLab's"
    with lab.context.expect_page():
        notebook.run(1)


def test_a_tab_opens_whatever_the_clocks_say_and_not_from_a_saved_notebook(
    open_notebook: OpenNotebook, lab: Lab
) -> None:
    notebook = open_notebook(LOAD, CLOUD.replace('name="cloud"', 'name="cloud", new="tab"'))
    lab.page.evaluate("() => { window.rightNow = Date.now; Date.now = () => window.rightNow() + 600000; }")
    try:
        notebook.run(0)
        with lab.context.expect_page() as opened:
            notebook.run(1)
        opened.value.close()
    finally:
        lab.page.evaluate("() => { Date.now = window.rightNow; }")
    notebook.save()
    lab.page.evaluate("() => sessionStorage.clear()")  # as in another browser
    lab.load()
    notebook.command("docmanager:open", path=notebook.path, factory="Notebook")
    notebook.wait_ready()
    notebook.cell(1).get_by_role("link", name="Open it in a tab").wait_for()
    assert "window.open" not in str(notebook.outputs(1))
    assert len(lab.context.pages) == 1, "no tab beside JupyterLab's"


def refused(route: Route) -> None:
    route.fulfill(status=503)


def lost(route: Route) -> None:
    route.abort()


def later(route: Route) -> None:
    route.fulfill(status=202, json={"message": "The app ends when the kernel is free."})


def test_the_running_panel_lists_an_app_and_ends_it(open_notebook: OpenNotebook, lab: Lab) -> None:
    notebook = open_notebook(LOAD, POWER)
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1).wait_drawn()
    lab.page.evaluate("() => window.jupyterapp.shell.activateById('jp-running-sessions')")
    item = lab.page.locator("#jp-running-sessions .jp-RunningSessions-item", has_text="1 session, 1 view")
    item.wait_for(timeout=45000)
    item.hover()
    end = item.locator(".jp-RunningSessions-itemShutdown")
    place = "**/bokeh/api/kernels/**"
    for answer, said in (
        (refused, "The Bokeh app /power could not be ended: Service Unavailable."),
        (lost, "The Bokeh app /power could not be ended: the Jupyter server can't be reached."),
        (later, "The app ends when the kernel is free."),
    ):
        lab.page.route(place, answer)
        end.click()
        told = lab.page.locator(".jp-Notification-List-Item", has_text=said)
        lab.page.locator(".jp-Notification-Status.jp-mod-selected").click()
        told.wait_for()
        told.locator(".jp-Notification-Toast-Close").click()
        told.wait_for(state="detached")
        lab.page.keyboard.press("Escape")
        lab.page.unroute(place)
        item.hover()
    end.click()
    view.wait_says("has ended", state="ended")
    eventually("the app to be off the list", lambda: not apps_of(lab, notebook), page=lab.page)
    item.wait_for(state="detached", timeout=45000)
    lab.page.evaluate("() => window.jupyterapp.shell.activateById('filebrowser')")


def test_a_view_can_be_used_by_keyboard_and_read_aloud(open_notebook: OpenNotebook, lab: Lab) -> None:
    notebook = open_notebook(LOAD, POWER)
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1).wait_drawn()
    cell = notebook.cell(1)
    assert cell.locator("iframe").get_attribute("title") == "Bokeh app app"
    assert cell.locator(".bokehmount-View-status").get_attribute("aria-live") == "polite"
    assert cell.locator(".bokehmount-View-status").get_attribute("role") == "status"
    said = (
        "document.querySelector('[data-bokehmount=status]').shadowRoot.querySelector('[role=status][aria-live=polite]')"
    )
    assert view.frame.evaluate(f"() => {said}.checkVisibility()"), "what happens is said in a place always there"
    link = cell.get_by_role("link", name="Open in a tab: app")
    link.focus()
    assert link.evaluate("link => link === document.activeElement")
    with lab.context.expect_page() as opened:
        lab.page.keyboard.press("Enter")
    View(opened.value).wait_drawn()
    link.focus()
    lab.page.keyboard.press("Tab")  # on into the frame
    lab.page.keyboard.press("Tab")
    eventually("the focus to be in the app", lambda: view.frame.evaluate("() => document.hasFocus()"), page=lab.page)


PICKER = """
from bokeh.layouts import column
from bokeh.models import DatePicker, Div
show(column(DatePicker(title="day", value="2026-01-01"), Div(text="below")), name="picker")
"""


def test_a_calendar_that_hangs_over_the_end_of_an_app_has_room(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(LOAD, PICKER)
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1).wait_drawn()
    assert view.iframe is not None

    def height() -> float:
        assert view.iframe is not None
        return float(view.iframe.evaluate("frame => frame.clientHeight"))

    low = eventually("a frame as high as the app", lambda: height() < 140 and height(), page=view.page)
    view.frame.locator("input:visible").first.click()
    eventually("room for the calendar", lambda: height() > 300, page=view.page)
    assert view.frame.evaluate("document.documentElement.scrollHeight - innerHeight") <= 0
    day = view.frame.locator(".flatpickr-calendar.open .flatpickr-day").nth(20)
    day.click()
    eventually("the app's own height again", lambda: abs(height() - low) < 2, page=view.page)


def test_what_fills_its_frame_does_not_grow_with_what_hangs_over(open_notebook: OpenNotebook) -> None:
    fills = PICKER.replace('Div(text="below"))', "sizing_mode='stretch_both')").replace('name="picker"', 'name="fills"')
    notebook = open_notebook(LOAD, fills)
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1).wait_drawn()
    for _ in range(6):
        view.frame.locator("input:visible").first.click()
        view.page.wait_for_timeout(400)
        view.frame.locator("body").press("Escape")
    assert view.iframe is not None and view.iframe.evaluate("frame => frame.clientHeight") < 1200


def test_the_title_of_a_view_follows_its_apps(open_notebook: OpenNotebook) -> None:
    named = POWER.replace("def app(doc):", "def app(doc):\n    doc.title = 'At first'")
    notebook = open_notebook(LOAD, named, "view.documents[0].title = 'Then'", "view.documents[0].title = 'At last'")
    notebook.run(0)
    notebook.run(1)
    view, cell = notebook.view(1).wait_drawn(), notebook.cell(1)

    def titles() -> list[str | None]:
        frame, link = cell.locator("iframe"), cell.locator("a.bokehmount-View-link")
        shown = cell.locator(".bokehmount-View-title").inner_text()
        return [shown, frame.get_attribute("title"), link.get_attribute("aria-label")]

    assert titles() == ["app", "Bokeh app app", "Open in a tab: app"], "what its cell calls it"
    notebook.run(2)
    then = ["Then", "Bokeh app Then", "Open in a tab: Then"]
    eventually("the new title", lambda: titles() == then, page=view.page)
    notebook.cell(1)
    notebook.command("notebook:hide-cell-outputs")
    notebook.run(3)
    notebook.cell(1)
    notebook.command("notebook:show-cell-outputs")
    last = ["At last", "Bokeh app At last", "Open in a tab: At last"]
    eventually("the title that it got while nobody saw it", lambda: titles() == last, page=view.page)


def test_an_app_that_adds_nothing_says_so_until_it_does(open_notebook: OpenNotebook) -> None:
    app = "docs = []\ndef empty(doc):\n    docs.append(doc)\n    Div(text='forgotten')"
    shows = f"from bokeh.models import Div\n{app}\nshow(empty, name='empty')"
    notebook = open_notebook(LOAD, shows, "docs[-1].add_root(Div(text='added'))")
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1)
    view.wait_says("shows nothing yet", "doc.add_root", state="ready")
    notebook.run(2)
    eventually("no words any more", lambda: view.status()["text"] == "", page=view.page)
    assert view.js("doc.roots().length") == 1
