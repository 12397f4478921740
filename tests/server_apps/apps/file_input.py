"""Takes a file and says how many bytes it has."""

from __future__ import annotations

import base64

from bokeh.io import curdoc
from bokeh.models.widgets import Div, FileInput

chosen = FileInput(accept=".txt", name="chosen")
told = Div(text="nothing", name="told")
chosen.on_change("value", lambda attr, old, new: told.update(text=f"{len(base64.b64decode(new))} bytes"))
curdoc().add_root(chosen)
curdoc().add_root(told)
