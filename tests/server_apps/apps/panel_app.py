"""A Panel app: widgets, a bound function and a template."""

from __future__ import annotations

import panel as pn

slider = pn.widgets.IntSlider(label="number", start=0, end=10, value=3)  # type: ignore[no-untyped-call]
square = pn.bind(lambda number: f"{number} squared is {number * number}", slider)
pn.Column(slider, pn.pane.Markdown(square, name="square")).servable(title="Squares")  # type: ignore[no-untyped-call]
