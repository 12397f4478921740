"""The app that every route serves: a line, a slider that rewrites it, and a box that takes orders from the client.

Orders are JSON in the value of a text input, so that they travel like any other change of a property, on every route.
Nothing here knows which route it runs on.
"""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.layouts import column
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Div, Slider, TextInput
from bokeh.plotting import figure

from benchmarks.variant import Variant

FLOATS_PER_MB = 131_072
NOISE = np.random.default_rng(seed=4).random(FLOATS_PER_MB)

_newest_document: weakref.ref[Document] | None = None


def build(document: Document, variant: Variant) -> None:
    """Fill an empty Document; the models that the client must find carry names."""
    global _newest_document
    x = np.linspace(0, 10, variant.points)
    wave = np.sin(x)
    line = ColumnDataSource({"x": x, "y": wave}, name="line")
    rows = ColumnDataSource({"t": [], "v": []}, name="rows")
    array = ColumnDataSource({"a": np.zeros(1)}, name="array")
    slider = Slider(start=0, end=1e9, value=1, step=0.001, name="slider")
    orders = TextInput(name="orders")
    plot = figure(width=400, height=300)
    plot.line("x", "y", source=line)

    def rewrite_line(attr: str, old: float, new: float) -> None:
        line.data = {"x": x, "y": wave * new}

    def obey(attr: str, old: str, new: str) -> None:
        order = json.loads(new)
        del order["number"]
        ORDERS[order.pop("order")](document, **order)

    slider.on_change("value", rewrite_line)
    orders.on_change("value", obey)
    page = column(slider, orders, plot, tags=[rows, array])
    document.add_root(page)
    page.children.extend(Div(text=f"filler {n}") for n in range(variant.models - len(document.models)))
    if len(document.models) != variant.models:
        raise ValueError(f"asked for {variant.models} models, made {len(document.models)}")
    _newest_document = weakref.ref(document)


def stream(document: Document, rows: int) -> None:
    """Stream that many rows one by one; each says its own number and the time it was made (s)."""
    source = document.get_model_by_name("rows")
    assert isinstance(source, ColumnDataSource)
    for number in range(rows):
        source.stream({"t": [number], "v": [time.time()]})


def stream_from_cell(rows: int, *, locked: bool) -> None:
    """The same, called by a running cell; ``locked`` for routes that refuse a change from outside a callback."""
    document = _newest_document() if _newest_document is not None else None
    if document is None:
        raise LookupError("no session of the benchmark's app is alive in this kernel")
    if locked:
        document.add_next_tick_callback(partial(stream, document, rows))
    else:
        stream(document, rows)


def send_arrays(document: Document, count: int) -> None:
    """Replace a 1 MB array that many times, each in a callback of its own, so that each is a change of its own."""
    _on_each_tick(document, count, lambda n: _set_array(document, float(n)))


def send_lines(document: Document, count: int) -> None:
    """Rewrite the line that many times, each in a callback of its own, and stream one row as a mark of the end."""
    source = document.get_model_by_name("line")
    assert isinstance(source, ColumnDataSource)
    x = np.asarray(source.data["x"])

    def rewrite(n: int) -> None:
        if n < count:
            source.data = {"x": x, "y": np.sin(x * n)}
        else:
            stream(document, 1)

    _on_each_tick(document, count + 1, rewrite)


def pulse(document: Document, seconds: float, hertz: float, final: float) -> None:
    """Replace the 1 MB array at that rate (Hz) for that long (s), and then once more with the number ``final``."""
    end = time.monotonic() + seconds
    frame = 0

    def beat() -> None:
        nonlocal frame
        frame += 1
        if time.monotonic() < end:
            _set_array(document, float(frame))
        else:
            document.remove_periodic_callback(callback)
            _set_array(document, final)

    callback = document.add_periodic_callback(beat, round(1_000 / hertz))


def _set_array(document: Document, number: float) -> None:
    source = document.get_model_by_name("array")
    assert isinstance(source, ColumnDataSource)
    values = NOISE.copy()
    values[0] = number
    source.data = {"a": values}


def _on_each_tick(document: Document, count: int, change: Callable[[int], None]) -> None:
    def tick(n: int) -> None:
        change(n)
        if n + 1 < count:
            document.add_next_tick_callback(partial(tick, n + 1))

    document.add_next_tick_callback(partial(tick, 0))


ORDERS: dict[str, Callable[..., Any]] = {
    "stream": stream,
    "send_arrays": send_arrays,
    "send_lines": send_lines,
    "pulse": pulse,
}
