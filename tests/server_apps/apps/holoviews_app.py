"""A HoloViews app: a DynamicMap that a slider drives."""

from __future__ import annotations

import holoviews as hv  # type: ignore[import-untyped]
from bokeh.io import curdoc

hv.extension("bokeh")


def curve(power: float) -> hv.Curve:
    return hv.Curve([(x, x**power) for x in range(5)])


dynamic = hv.DynamicMap(curve, kdims=["power"]).redim.range(power=(1.0, 3.0))
hv.renderer("bokeh").instance(mode="server").server_doc(dynamic, doc=curdoc())
