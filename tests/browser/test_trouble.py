"""What a view's user is told, and can do, when something is not as it should be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from ..cable import Cable
from .apps import CLOUD, LOAD, POWER
from .conftest import OpenNotebook
from .driver import TOKEN, Jupyter, Lab, Notebook, View, eventually

UPLOADS = """
from bokeh.models import FileInput

def uploads(doc):
    picker = FileInput(name="picker")
    picker.on_change("filename", lambda attr, old, new: print("got", new))
    doc.add_root(picker)

view = show(uploads)
"""

UNTIL_TOLD = """
from pathlib import Path
from time import sleep
while not Path("enough").exists():
    sleep(0.02)
"""


@pytest.fixture
def enough(jupyter: Jupyter) -> Iterator[Path]:
    """A file whose presence ends the cell `UNTIL_TOLD`."""
    path = jupyter.work / "enough"
    path.unlink(missing_ok=True)
    yield path
    path.unlink(missing_ok=True)


def test_a_view_of_a_busy_kernel_says_so_and_opens_by_itself(
    open_notebook: OpenNotebook, lab: Lab, enough: Path
) -> None:
    notebook = open_notebook(LOAD, POWER + UNTIL_TOLD)
    notebook.run(0)
    notebook.start(1)
    view = notebook.view(1)
    try:
        view.wait_says("kernel is busy", "opens by itself", state="busy")
        assert "kernel busy" in notebook.cell(1).locator(".bokehmount-View-status").inner_text()
        tab = lab.tab(f"bokeh/kernels/{notebook.kernel_id}/power")
        tab.wait_says("kernel is busy", state="busy")
    finally:
        enough.touch()
    notebook.wait_ran(1)
    for shown in (view, tab):
        shown.wait_drawn()
    assert notebook.python("len(view.sessions)") == 2, "each view made its session once"
    assert notebook.cell(1).locator(".bokehmount-View-status").inner_text() == ""


def test_a_click_while_the_kernel_is_busy_arrives(open_notebook: OpenNotebook, enough: Path) -> None:
    notebook = open_notebook(LOAD, POWER, UNTIL_TOLD)
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1).wait_drawn()
    notebook.start(2)
    try:
        button = view.frame.get_by_role("button", name="click me")
        button.click()
        view.wait_says("kernel is busy", "carried out when it is free", state="busy")
        button.click()  # what is said does not cover the app
        view.set("power", "value", 2)
    finally:
        enough.touch()
    notebook.wait_ran(2)
    eventually("both clicks", lambda: notebook.python("clicks") == ["click", "click"], page=view.page)
    eventually("the line to be squares", lambda: view.column("line", "y") == [1, 4, 9], page=view.page)
    view.wait_drawn()


def test_an_app_that_raises_shows_its_traceback_until_it_is_mended(
    open_notebook: OpenNotebook, lab: Lab, enough: Path
) -> None:
    raising = POWER.replace("    slider = Slider", "    raise ValueError('no data today')\n    slider = Slider")
    notebook = open_notebook(LOAD, raising, UNTIL_TOLD)
    notebook.run(0)
    for _ in range(2):
        notebook.run(1)
        view = notebook.view(1)
        said = view.wait_says("ValueError: no data today", state="raised")
        assert "in app\n    raise ValueError('no data today')" in said["detail"]
        assert "/bokeh/application/" not in said["detail"], "it begins in the user's code"
        eventually("the traceback in the cell", lambda: "ValueError: no data today" in notebook.text(1), page=lab.page)
    tab = lab.tab(notebook.python("view.url"))
    tab.wait_says("ValueError: no data today", state="raised")
    slow = lab.tab(notebook.python("view.url"))
    slow.wait_says("ValueError: no data today", state="raised")
    notebook.start(2)
    slow.page.reload()
    slow.wait_says("busy", state="busy")
    enough.touch()
    slow.wait_says("ValueError: no data today", state="raised")
    tab.wait_says("ValueError: no data today", state="raised")
    notebook.edit(1, POWER)
    notebook.run(1)
    for shown in (notebook.view(1), tab, slow):  # by themselves
        shown.wait_drawn()


def test_what_a_callback_prints_and_raises_is_seen_in_the_cell_and_in_the_view(
    open_notebook: OpenNotebook, lab: Lab
) -> None:
    noisy = POWER.replace(
        "    def update(attr, old, new):",
        "    def update(attr, old, new):\n        print('power is', new)\n        if new == 4:\n            1 / 0",
    )
    notebook = open_notebook(LOAD, noisy, "'another cell'")
    for index in range(3):
        notebook.run(index)
    view = notebook.view(1).wait_drawn()
    room = "() => innerHeight"
    before = view.frame.evaluate(room)
    view.set("power", "value", 3)
    view.wait_says("The app printed:", "power is 3")
    view.set("power", "value", 4)
    said = view.wait_says("A callback of the app raised:", "ZeroDivisionError")
    assert "power is 3\npower is 4\n" in said["printed"] and "1 / 0" in said["printed"]
    eventually("the frame to make room", lambda: view.frame.evaluate(room) > before + 50, page=lab.page)
    eventually(
        "the same in the cell that showed the app",
        lambda: "power is 3\npower is 4\n" in notebook.text(1) and "ZeroDivisionError" in notebook.text(1),
        page=lab.page,
    )
    assert "power" not in notebook.text(2), "and in no other"
    view.frame.get_by_role("group", name="What it says").focus()
    view.js("void document.body.append(Object.assign(document.createElement('p'), {hidden: true}))")
    lab.page.wait_for_timeout(100)
    assert view.js("document.activeElement.dataset.bokehmount") == "output", "what the app adds does not take the focus"
    view.frame.get_by_role("button", name="Dismiss").focus()
    lab.page.keyboard.press("Enter")
    assert view.status()["printed"] == ""
    assert view.js("document.activeElement.dataset.bokehmount") == "status", (
        "what is taken away does not take the focus with it"
    )
    eventually("the room to be given back", lambda: view.frame.evaluate(room) <= before + 2, page=lab.page)
    view.set("power", "value", 2)
    eventually("the app to work on", lambda: view.column("line", "y") == [1, 4, 9], page=lab.page)


def test_a_restarted_kernel_is_told_and_running_the_cell_brings_all_views_back(
    open_notebook: OpenNotebook, lab: Lab
) -> None:
    notebook = open_notebook(LOAD, POWER)
    notebook.run(0)
    notebook.run(1)
    views = [notebook.view(1).wait_drawn(), lab.tab(notebook.python("view.url")).wait_drawn()]
    notebook.restart_kernel()
    for view in views:
        view.wait_says("restarted", "run the app's cell again", state="restarted")
        assert "Reload" in view.frame.get_by_role("button", name="Reload").inner_text()
    assert view.frame.get_by_text("Client connection").count() == 0, "BokehJS adds no notice of its own"
    assert "kernel restarted" in notebook.cell(1).locator(".bokehmount-View-status").inner_text()
    notebook.run(0)
    notebook.run(1)
    for view in (notebook.view(1), views[1]):
        view.wait_drawn()
        view.set("power", "value", 2)
        eventually("the app to work again", partial(view.has_column, "line", "y", [1, 4, 9]), page=lab.page)


def test_an_app_that_is_closed_says_so(open_notebook: OpenNotebook, lab: Lab) -> None:
    notebook = open_notebook(
        LOAD, POWER, "%bokehmount", "%bokehmount close power", "%bokehmount close power", CLOUD, "view.close()"
    )
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1).wait_drawn()
    notebook.run(2)
    assert "power: app, 1 session(s), 1 view(s)" in notebook.text(2)
    notebook.run(3)
    view.wait_says("has ended", state="ended")
    eventually("the hooks", lambda: notebook.python("len(destroyed)") == 1, page=lab.page)
    assert "ended" in notebook.cell(1).locator(".bokehmount-View-status").inner_text()
    notebook.run(4)
    assert "no app is called 'power'" in notebook.text(4)
    view.frame.get_by_role("button", name="Reload").click()
    view.wait_says("not running", "run the cell that shows it", state="missing")

    notebook.run(5)
    figure = notebook.view(5).wait_drawn()
    notebook.run(6)
    figure.wait_says("has ended", state="ended")
    assert notebook.python("view.sessions") == []


@contextmanager
def far_tab(browser: Browser, jupyter: Jupyter) -> Iterator[tuple[View, Cable]]:
    """A tab of another browser, and the cable over which it reaches the server."""
    cable = Cable(jupyter.port)
    context = browser.new_context()
    try:
        yield View(context.new_page()), cable
    finally:
        context.close()
        cable.close()


def through(cable: Cable, jupyter: Jupyter, path: str) -> str:
    """An address whose server is reached over a cable."""
    return f"{jupyter.base}{path}?token={TOKEN}".replace(str(jupyter.port), str(cable.port), 1)


def check_live_both_ways(notebook: Notebook, view: View) -> None:
    """Edit the figure of `CLOUD` in Python and in the browser."""
    notebook.python("None", "plot.title.text = 'after the cut'")
    eventually("an edit to arrive", lambda: view.js("model('plot').title.text") == "after the cut", page=view.page)
    view.js("void (model('plot').title.text = 'from the browser')")
    eventually(
        "an edit to go back", lambda: notebook.python("plot.title.text") == "from the browser", page=notebook.page
    )


def test_a_view_that_was_cut_off_catches_up(open_notebook: OpenNotebook, browser: Browser, jupyter: Jupyter) -> None:
    notebook = open_notebook(
        LOAD, CLOUD, "source.data = {'x': np.arange(1000.0), 'y': np.random.default_rng(1).normal(size=1000)}"
    )
    notebook.run(0)
    notebook.run(1)
    sent: list[str] = []
    with far_tab(browser, jupyter) as (view, cable):
        view.page.on("websocket", lambda made: made.on("framesent", lambda frame: sent.append(str(frame))))
        view.page.goto(through(cable, jupyter, notebook.python("view.url")))
        view.wait_drawn()
        cable.cut()
        view.wait_says("connection to the Jupyter server is lost", state="lost")
        sent.clear()
        notebook.run(2)
        cable.mend()
        expected = notebook.python("source.data['y'].tolist()")
        eventually("the data of the Document", lambda: view.column("dots", "y") == expected, 40, view.page)
        eventually("the words to go", lambda: view.status()["text"] == "", 40, view.page)
        eventually("the axis to follow", lambda: view.js("model('plot').x_range.end") > 999, page=view.page)
        assert view.frame.get_by_text("reestablished").count() == 0, "BokehJS adds no notice of its own"
        check_live_both_ways(notebook, view)
        assert sum(map(len, sent)) < 10_000 and "RootAdded" not in str(sent), "it does not send back what it has read"
        assert "already known" not in notebook.text(1)


def test_a_view_comes_back_from_a_break_that_nobody_noticed(
    open_notebook: OpenNotebook, browser: Browser, jupyter: Jupyter
) -> None:
    """The view's own connection is back within a second, before it says anything."""
    notebook = open_notebook(LOAD, CLOUD)
    notebook.run(0)
    notebook.run(1)
    with far_tab(browser, jupyter) as (view, cable):
        view.page.goto(through(cable, jupyter, notebook.python("view.url")))
        view.wait_drawn()
        cable.cut()
        cable.mend()
        check_live_both_ways(notebook, view)


def test_a_view_comes_back_from_a_break_whose_end_takes_a_while_to_be_known(
    open_notebook: OpenNotebook, browser: Browser, jupyter: Jupyter
) -> None:
    """BokehJS before 3.8 gives up while the view's own connection is neither open nor refused."""
    notebook = open_notebook(LOAD, CLOUD)
    notebook.run(0)
    notebook.run(1)
    with far_tab(browser, jupyter) as (view, cable):
        view.page.goto(through(cable, jupyter, notebook.python("view.url")))
        view.wait_drawn()
        cable.cut(hold=True)
        view.page.wait_for_timeout(4000)  # BokehJS says after two seconds that it has lost its connection
        assert view.status()["text"] == ""
        cable.mend()
        check_live_both_ways(notebook, view)


def test_a_view_whose_network_swallows_all_says_so_and_comes_back(
    open_notebook: OpenNotebook, browser: Browser, jupyter: Jupyter
) -> None:
    notebook = open_notebook(LOAD, CLOUD)
    notebook.run(0)
    notebook.run(1)
    with far_tab(browser, jupyter) as (view, cable):
        view.page.goto(through(cable, jupyter, notebook.python("view.url")))
        view.wait_drawn()
        view.page.wait_for_timeout(1000)  # it looks for BokehJS's Documents twice a second
        view.js("void (document.cookie = '_xsrf=x')")  # it asks whether it is logged out, and gets no answer either
        cable.cut(hold=True)
        view.wait_says("connection to the Jupyter server is lost; trying again", state="lost", timeout=20)
        cable.mend(late=False)
        eventually("the words to go", lambda: view.status()["text"] == "", 60, view.page)
        check_live_both_ways(notebook, view)


def test_a_view_that_is_looked_at_while_it_asks_for_its_login_listens_once(
    open_notebook: OpenNotebook, browser: Browser, jupyter: Jupyter
) -> None:
    notebook = open_notebook(LOAD, POWER.replace("source.data =", "print('power is', new)\n        source.data ="))
    notebook.run(0)
    notebook.run(1)
    with far_tab(browser, jupyter) as (view, cable):
        view.page.goto(through(cable, jupyter, notebook.python("view.url")))
        view.wait_drawn()
        view.js("void (document.cookie = '_xsrf=x')")  # as JupyterLab's pages have it
        view.js("void (window.fetch = () => new Promise(done => { window.answer = status => done({status}) }))")
        cable.cut()
        eventually("it to ask", lambda: view.js("window.answer !== undefined"), page=view.page)
        view.js("answer(403)")
        view.wait_says(state="loggedout")
        view.js("void delete window.answer")
        look = "void dispatchEvent(new Event('focus'))"
        view.js(look)
        eventually("it to ask again", lambda: view.js("window.answer !== undefined"), page=view.page)
        cable.mend()
        view.frame.get_by_role("button", name="Log in").focus()
        view.js(look)
        view.wait_says(state="ready")
        assert view.js("document.activeElement.dataset.bokehmount") == "status", "the focus stays in the page"
        view.js("answer(200)")
        view.page.wait_for_timeout(1500)  # as long as it would be until it tries again
        view.set("power", "value", 2)
        assert view.wait_says("power is 2")["printed"] == "power is 2\n"
        view.page.wait_for_timeout(200)
        assert view.status()["printed"] == "power is 2\n"


RAISING = "runs = []" + POWER.replace(
    "    slider = Slider", "    runs.append('run')\n    raise ValueError('no data today')\n    slider = Slider"
)


@pytest.mark.parametrize("state", ["restarted", "ended", "raised"])
def test_a_view_that_has_nothing_to_go_on_with_follows_its_cell_after_a_break(
    open_notebook: OpenNotebook, browser: Browser, jupyter: Jupyter, enough: Path, state: str
) -> None:
    notebook = open_notebook(LOAD, RAISING if state == "raised" else POWER, UNTIL_TOLD)
    notebook.run(0)
    notebook.run(1)
    with far_tab(browser, jupyter) as (view, cable):
        sockets: list[str] = []
        view.page.on("websocket", lambda socket: sockets.append(socket.url))
        done: list[str] = []
        view.page.on("requestfinished", lambda request: done.append(request.url))
        url = through(cable, jupyter, notebook.python("view.url"))
        if state == "raised":
            notebook.start(2)
            view.page.goto(url)
            view.wait_says("kernel is busy", state="busy")
            enough.touch()
        else:
            view.page.goto(url)
            view.wait_drawn()
            notebook.restart_kernel() if state == "restarted" else notebook.python("None", "view.close()")
        said = view.wait_says(state=state)["text"]
        eventually("it to know which app this was", lambda: done[-1].endswith("/bokeh/api/apps"), page=view.page)

        runs = "len(runs)" if state == "raised" else "None"
        ran = notebook.python(runs)
        cable.cut()
        before = len(sockets)
        cable.mend()
        eventually("it to listen again", lambda: len(sockets) > before, page=view.page)
        assert notebook.python(runs) == ran, "no app runs again in silence"
        assert view.status()["text"] == said
        notebook.run(0)
        notebook.edit(1, POWER)
        notebook.run(1)
        view.wait_drawn()
        view.set("power", "value", 2)
        eventually("the app to work again", partial(view.has_column, "line", "y", [1, 4, 9]), page=view.page)


def test_a_script_that_is_missing_ends_no_app_that_works(open_notebook: OpenNotebook, lab: Lab) -> None:
    template = '{% block postamble %}<script src="/first.js"></script>{% endblock %}'
    notebook = open_notebook(LOAD, POWER.replace("    slider =", f"    doc.template = {template!r}\n    slider =", 1))
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1)
    view.wait_says("Something of the app is missing:", "/first.js could not be loaded.")
    view.js("void document.body.append(Object.assign(document.createElement('script'), {src: '/second.js'}))")
    view.wait_says("/first.js could not be loaded.\n/second.js could not be loaded.")
    view.wait_drawn().set("power", "value", 2)
    eventually("the app to work", lambda: view.column("line", "y") == [1, 4, 9], page=lab.page)
    view.frame.get_by_role("button", name="Dismiss").click()
    assert view.status()["printed"] == ""

    lab.context.route("**/bokeh.min.js*", lambda route: route.abort())
    try:
        lab.tab(notebook.python("view.url")).wait_says("bokeh.min.js", "could not be loaded", state="gone")
    finally:
        lab.context.unroute("**/bokeh.min.js*")


def test_a_file_that_is_larger_than_the_server_takes_is_told_of(
    open_notebook: OpenNotebook, jupyter: Jupyter, lab: Lab
) -> None:
    notebook = open_notebook(LOAD, UPLOADS)
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1).wait_drawn()

    def upload(name: str, size: int) -> None:
        view.frame.locator("input[type=file]").set_input_files(
            {"name": name, "mimeType": "application/octet-stream", "buffer": bytes(size)}
        )

    upload("small.bin", 1 << 20)
    view.wait_says("got small.bin")
    upload("large.bin", 30 << 20)
    view.wait_says("The app did not get what you sent:", "20,971,520 bytes; c.BokehMount.max_message_size raises it")
    assert "over the limit of 20,971,520 bytes; c.BokehMount.max_message_size raises it" in jupyter.log
    notebook.python("view.sessions[0].document.get_model_by_name('picker').update(accept='.csv')")
    eventually(
        "the view to be back, as its Document is",
        lambda: view.js("Bokeh.documents[0].get_model_by_name('picker').accept == '.csv'"),
        page=lab.page,
    )
    upload("another.csv", 2 << 20)
    view.wait_says("got another.csv")
    assert "large" not in notebook.text(1)


def test_the_notebook_has_words_for_what_a_view_says(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(LOAD, POWER)
    notebook.run(0)
    notebook.run(1)
    view, header = notebook.view(1).wait_drawn(), notebook.cell(1).locator(".bokehmount-View-status")

    def said(words: str) -> bool:
        return words in header.inner_text()

    for state, words in (("lost", "trying again"), ("loggedout", "log in again"), ("ready", "")):
        view.frame.evaluate("state => parent.postMessage({type: 'bokehmount:state', state, text: ''}, origin)", state)
        eventually(f"the words for {state}", partial(said, words), page=view.page)
    assert header.inner_text() == ""


def test_the_axes_of_a_page_that_is_loaded_anew_follow_their_data(open_notebook: OpenNotebook, lab: Lab) -> None:
    alone = "from IPython.display import clear_output; clear_output()"  # another view would compute the ends for it
    notebook = open_notebook(LOAD, CLOUD + "plot.y_range.start = -3\n" + alone)
    notebook.run(0)
    notebook.run(1)
    tab = lab.tab(notebook.python("view.url")).wait_drawn()
    eventually("the ends to be known in Python", lambda: notebook.python("plot.x_range.end") > 4, page=lab.page)
    tab.page.reload()
    tab.wait_drawn()
    notebook.python("None", "source.stream({'x': [100.0], 'y': [50.0]})")
    eventually("the axis to follow", lambda: tab.js("model('plot').x_range.end") > 100, page=tab.page)
    assert tab.js("model('plot').y_range.start") == -3, "what the user chose stays"
