"""Streams, patches and replaces a source's columns from periodic, timeout and next-tick callbacks."""

from __future__ import annotations

from typing import Any, cast

from bokeh.io import curdoc
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Div
from bokeh.plotting import figure

source = ColumnDataSource({"x": [0], "y": [0]}, name="source")
told = Div(text="", name="told")
doc = curdoc()
plot = figure(height=200)
plot.line("x", "y", source=source)
doc.add_root(plot)
doc.add_root(told)


def tick() -> None:
    last = source.data["x"][-1] + 1
    source.stream({"x": [last], "y": [last * last]}, rollover=50)
    if last == 5:
        doc.remove_periodic_callback(ticking)
        doc.add_timeout_callback(patch, 10)


def patch() -> None:
    source.patch({"y": [(0, -1)]})
    doc.add_next_tick_callback(cast(Any, finish))  # it may be async


async def finish() -> None:
    told.text = "done"


ticking = doc.add_periodic_callback(tick, 10)
