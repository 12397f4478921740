"""An app of several files: a module beside it, a template, a theme, a static folder and lifecycle hooks."""

from __future__ import annotations

from bokeh.io import curdoc
from bokeh.plotting import figure

from .numbers_of_mine import NUMBERS

plot = figure(height=200, name="plot")
plot.line(list(range(len(NUMBERS))), NUMBERS)
doc = curdoc()
doc.add_root(plot)
doc.title = "Many files"
payload = doc.session_context.token_payload  # type: ignore[union-attr]  # declared as the base class
doc.template_variables["greeting"] = f"token says {payload.get('fruit', 'nothing')}"
