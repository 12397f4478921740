"""What the notebooks of the tests are made of."""

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
