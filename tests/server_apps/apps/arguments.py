"""Reads the arguments, headers and cookies of its request."""

from __future__ import annotations

from bokeh.io import curdoc
from bokeh.models.widgets import Div

request = curdoc().session_context.request  # type: ignore[union-attr]  # declared as the base class
number = int(request.arguments.get("n", [b"1"])[0])
curdoc().add_root(Div(text=f"n={number}", name="n"))
curdoc().add_root(Div(text=request.headers.get("X-Fruit", "none"), name="fruit"))
curdoc().add_root(Div(text=request.cookies.get("cake", "none"), name="cake"))
