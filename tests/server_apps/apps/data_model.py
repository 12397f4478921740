"""A model class of the app's own, whose properties both sides change."""

from __future__ import annotations

from bokeh.core.properties import Float, Int, String
from bokeh.io import curdoc
from bokeh.model import DataModel
from bokeh.models import Div


class Weather(DataModel):
    """What the app knows of the weather."""

    place = String("here")
    degrees = Float(20.0)
    readings = Int(0)


weather = Weather(name="weather")
told = Div(text="20.0", name="told")
weather.on_change("degrees", lambda attr, old, new: told.update(text=str(new)))
weather.on_change("degrees", lambda attr, old, new: weather.update(readings=weather.readings + 1))
curdoc().add_root(weather)
curdoc().add_root(told)
