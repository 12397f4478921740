"""A notebook that shows an app, for the tests behind real hubs and proxies."""

from __future__ import annotations

from typing import Any

import nbformat

SETUP = """\
%load_ext bokehmount
import numpy as np
from bokehmount import show
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, Slider
from bokeh.plotting import figure

calls = []

def waves(doc):
    calls.append(doc)
    x = np.linspace(0, 10, 200)
    source = ColumnDataSource({"x": x, "y": np.sin(x)}, name="source")
    plot = figure(height=200, name="plot")
    plot.line("x", "y", source=source)
    slider = Slider(start=0, end=10, value=1, name="slider", title="Frequency")

    def moved(attr, old, new):
        source.data = {"x": x, "y": np.sin(new * x)}

    slider.on_change("value", moved)
    doc.add_root(column(slider, plot))

handle = show(waves, name="waves")
"""


def notebook(*sources: str) -> Any:
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source) for source in sources]  # type: ignore[no-untyped-call]
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})  # type: ignore[no-untyped-call]
