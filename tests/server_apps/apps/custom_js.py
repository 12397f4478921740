"""A callback in the browser that moves a model whose Python callback answers."""

from __future__ import annotations

from bokeh.io import curdoc
from bokeh.models import CustomJS
from bokeh.models.widgets import Button, Div, Slider

slider = Slider(start=0, end=10, value=1, name="slider")
button = Button(label="set to 8", name="button")
answer = Div(text="1", name="answer")
clicks = Div(text="0", name="clicks")
button.js_on_event("button_click", CustomJS(args={"slider": slider}, code="slider.value = 8"))
button.on_event("button_click", lambda: clicks.update(text=str(int(clicks.text) + 1)))
slider.on_change("value", lambda attr, old, new: answer.update(text=f"python saw {new:g}"))
for root in (slider, button, answer, clicks):
    curdoc().add_root(root)
