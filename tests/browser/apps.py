"""What the notebooks of the tests are made of."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Frame

LOAD = "%load_ext bokehmount\nfrom bokehmount import show"

POWER = """
from bokeh.layouts import column
from bokeh.models import Button, ColumnDataSource, Slider
from bokeh.plotting import figure

destroyed, clicks = [], []

def app(doc):
    doc.on_session_destroyed(lambda context: destroyed.append(context.id))
    slider = Slider(name="power", title="Power", start=0, end=5, value=1)
    button = Button(name="click", label="click me")
    source = ColumnDataSource({"x": [1, 2, 3], "y": [1, 2, 3]}, name="line")
    plot = figure(height=200, sizing_mode="stretch_width", title="before")
    plot.line("x", "y", source=source)

    def update(attr, old, new):
        source.data = {"x": [1, 2, 3], "y": [x**new for x in (1, 2, 3)]}

    slider.on_change("value", update)
    button.on_click(lambda: clicks.append("click"))
    doc.add_root(column(slider, button, plot, sizing_mode="stretch_width"))

view = show(app, name="power")
"""
"""A function app, whose views have a Document each."""

CLOUD = """
import numpy as np
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure

source = ColumnDataSource({"x": np.arange(5.0), "y": np.zeros(5)}, name="dots")
plot = figure(name="plot", height=250, sizing_mode="stretch_width", title="before")
plot.scatter("x", "y", source=source)
view = show(plot, name="cloud")
"""
"""A figure, whose views share one Document."""

COUNTING = """
import panel as pn
import param
from panel.custom import JSComponent

class Counter(JSComponent):
    count = param.Integer(default=3)
    _bundle = "counter.bundle.js"
    _stylesheets = ["counter.css"]

pn.Column(Counter()).servable()
"""
"""A file app of Panel's, with a component whose files, of `write_counter`, are beside it."""

_COUNTER = """
export default {render({model}) {
  const button = document.createElement("button")
  const show = () => { button.textContent = `count ${model.count}` }
  button.onclick = () => { model.count += 1 }
  model.on("count", show)
  show()
  return button
}}
"""


def write_counter(folder: Path) -> None:
    """The files of the component."""
    (folder / "counter.bundle.js").write_text(_COUNTER)
    (folder / "counter.css").write_text("button { color: rgb(1, 2, 3); }")


def assert_counts(frame: Frame) -> None:
    """Its script and its style are there."""
    button = frame.get_by_role("button")
    button.click()
    frame.get_by_role("button", name="count 4").wait_for()
    assert button.evaluate("element => getComputedStyle(element).color") == "rgb(1, 2, 3)"
