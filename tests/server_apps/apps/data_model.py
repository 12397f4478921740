"""A model class of the app's own, whose properties both sides change."""

from __future__ import annotations

from bokeh.core.properties import Float, Int, String
from bokeh.io import curdoc
from bokeh.model import DataModel
from bokeh.models.widgets import Div


class Weather(DataModel):
    """What the app knows of the weather."""

    place = String("here")
    degrees = Float(20.0)
    readings = Int(0)


def counted(attr: str, old: float, new: float) -> None:
    weather.update(readings=weather.readings + 1)  # type: ignore[operator]  # it is an int, declared as its property


weather = Weather(name="weather")
told = Div(text="20.0", name="told")
weather.on_change("degrees", lambda attr, old, new: told.update(text=str(new)))
weather.on_change("degrees", counted)
curdoc().add_root(weather)
curdoc().add_root(told)
