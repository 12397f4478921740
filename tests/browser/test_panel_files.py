"""Apps of Panel in files and functions, in a kernel that has not imported Panel yet."""

from __future__ import annotations

from textwrap import indent

from .apps import COUNTING, LOAD, assert_counts, write_counter
from .conftest import OpenNotebook
from .driver import Jupyter, Lab, View, eventually

PLAY = """
import panel as pn

pn.extension("vega", raw_css=["body { background: rgb(200, 250, 200); }"], notifications=True)
count = pn.widgets.IntSlider(name="count", end=1000)
play = pn.widgets.Button(name="Play")
loaded = pn.widgets.TextInput(name="loaded")
pn.state.onload(lambda: setattr(loaded, "value", "yes"))

def tick():
    count.value += 1

ticking = pn.state.add_periodic_callback(tick, 100, start=False)
play.on_click(lambda event: ticking.start())
play.on_click(lambda event: pn.state.notifications.success("it plays"))
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
chart = {"$schema": SCHEMA, "data": {"values": [{"a": 1, "b": 2}]}, "mark": "bar", "encoding": {"x": {"field": "a"}}}
pn.Column(count, play, loaded, pn.pane.Vega(chart)).servable()
"""

TEMPLATE = """
import panel as pn

pn.extension(template="fast")
pn.widgets.IntSlider(name="count", end=1000).servable()
"""


FUNCTION = f"""
def app(doc):
{indent(PLAY, "    ")}
    pn.state.location.sync(count, {{"value": "count"}})
    assert doc.roots and pn.state.curdoc is doc

show(app)
"""


def shown(open_notebook: OpenNotebook, jupyter: Jupyter, name: str, code: str) -> View:
    """The view of a file with this code, in a new kernel."""
    file = jupyter.work / name
    file.write_text(code)
    notebook = open_notebook(LOAD, f"show({str(file)!r})")
    notebook.run(0)
    notebook.run(1)
    return notebook.view(1).wait_drawn()


def test_callbacks_and_loading_of_an_app_of_panel_work(open_notebook: OpenNotebook, lab: Lab, jupyter: Jupyter) -> None:
    assert_plays(shown(open_notebook, jupyter, "play.py", PLAY), lab)


def test_so_they_do_in_a_function_that_imports_panel_only_when_it_is_run(open_notebook: OpenNotebook, lab: Lab) -> None:
    notebook = open_notebook(LOAD, FUNCTION, "from bokeh.io import curdoc\nprint(len(curdoc().roots))")
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1).wait_drawn()
    assert_plays(view, lab)
    eventually("its address to tell", lambda: "count=" in view.frame.url, page=lab.page)
    notebook.run(2)
    assert notebook.text(2).strip() == "0"


def assert_plays(view: View, lab: Lab) -> None:
    eventually("the loading to be told", lambda: view.js("model('loaded').value") == "yes", page=lab.page)
    view.frame.get_by_role("button", name="Play").click()
    eventually("it to count", lambda: view.js("model('count').value") > 3, page=lab.page)
    view.frame.locator(".notyf__message").wait_for()
    assert view.frame.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(200, 250, 200)"
    eventually("the chart", lambda: view.frame.locator("canvas, svg.marks").count() > 0, page=lab.page)


PERSPECTIVE = """
import panel as pn

pn.extension("perspective", global_loading_spinner=True)
pn.pane.Perspective({"x": [1, 2], "y": [3, 4]}, height=300).servable()
"""


def test_modules_of_panels_extensions_are_found(open_notebook: OpenNotebook, lab: Lab, jupyter: Jupyter) -> None:
    view = shown(open_notebook, jupyter, "perspective.py", PERSPECTIVE)
    view.frame.locator("perspective-viewer td").first.wait_for()
    spins = "() => document.body.classList.contains('pn-loading')"
    eventually("the page to say that it is there", lambda: not view.frame.evaluate(spins), page=lab.page)


def test_files_of_an_apps_own_components_are_found(open_notebook: OpenNotebook, lab: Lab, jupyter: Jupyter) -> None:
    write_counter(jupyter.work)
    view = shown(open_notebook, jupyter, "counting.py", COUNTING)
    assert_counts(view.frame)


def test_a_template_of_panel_has_room(open_notebook: OpenNotebook, lab: Lab, jupyter: Jupyter) -> None:
    view = shown(open_notebook, jupyter, "fast.py", TEMPLATE)
    assert view.iframe is not None
    frame = view.iframe
    eventually("room for it", lambda: (box := frame.bounding_box()) and box["height"] > 400, page=lab.page)
    view.frame.wait_for_function("() => customElements.get('fast-card') !== undefined")
    # none since Panel 1.10, which brings them in another file
    assert len({url for url in lab.requests if "/fast-components.js" in url}) <= 1, "its modules share what they import"
    # its template wants a font
    lab.requests[:] = [url for url in lab.requests if not url.startswith("https://fonts.")]
