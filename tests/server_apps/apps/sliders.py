"""Sliders that move a curve: the app that most people write first."""

from __future__ import annotations

import math

from bokeh.io import curdoc
from bokeh.layouts import column
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Slider
from bokeh.plotting import figure

source = ColumnDataSource({"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 2.0]}, name="source")
frequency = Slider(start=0, end=10, value=1, step=0.1, title="frequency", name="frequency")
plot = figure(height=200, name="plot")
plot.line("x", "y", source=source)


def redraw(attr: str, old: float, new: float) -> None:
    source.data = {"x": source.data["x"], "y": [math.sin(new * x) for x in source.data["x"]]}


frequency.on_change("value", redraw)
curdoc().add_root(column(frequency, plot))
curdoc().title = "Sliders"
