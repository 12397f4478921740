"""Documents are encoded as Bokeh encodes them, with less work."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from bokeh.core.properties import Instance, Int, Nullable, Required
from bokeh.core.property.descriptors import UnsetValueError
from bokeh.core.serialization import Buffer, Serializer
from bokeh.document import Document
from bokeh.layouts import gridplot
from bokeh.model import DataModel, Model
from bokeh.models import ColumnDataSource, ContinuousTicker, CustomJS, LinearColorMapper, Tabs
from bokeh.models.annotations import Title
from bokeh.models.widgets import Button, DataTable, Select, Slider, TableColumn
from bokeh.plotting import figure
from bokeh.settings import settings
from bokeh.themes import Theme

from bokehmount import wire
from bokehmount.serializing import ModelSerializer, serialized

from ..kinds import the


def readable(encoded: Any) -> Any:
    """Encoded data with its buffers' bytes in their place: their ids differ."""
    return json.loads(
        wire.dumps(encoded, lambda value: value.to_bytes().hex() if isinstance(value, Buffer) else str(value))
    )


def agrees(document: Document) -> None:
    # ours goes first: what Bokeh looks at, it makes
    ours = readable(serialized(document).content)
    assert ours == readable(document.to_json().content)
    assert document.models.synced_references == set(document.models)


def test_plots_widgets_tables_and_layouts() -> None:
    document = Document()
    source = ColumnDataSource({"x": np.arange(4.0), "y": [1, 2, 3, 4], "s": ["a", "b", "c", "d"]})
    plots = [figure(title=f"plot {n}", tools="pan,box_select,hover,tap", x_axis_type="datetime") for n in range(3)]
    for plot in plots:
        plot.scatter(
            "x", "y", source=source, color={"field": "y", "transform": LinearColorMapper(palette="Viridis256")}
        )
        plot.segment(0, 0, 1, 1, line_color="red")
    slider = Slider(start=0, end=1, value=0.5, tags=["a", {"b": 1}])
    slider.js_on_change("value", CustomJS(args={"source": source}, code="source.change.emit()"))
    button = Button(label="go")
    button.on_click(lambda: None)
    table = DataTable(source=source, columns=[TableColumn(field="x"), TableColumn(field="s")])
    document.add_root(gridplot([[*plots[:2]], [*plots[2:]]]))
    document.add_root(Tabs(tabs=[]))
    options: list[str | tuple[Any, str]] = ["a", ("b", "B")]
    for root in (slider, button, table, Select(options=options)):
        document.add_root(root)
    document.js_on_event("document_ready", CustomJS(code="0"))
    agrees(document)
    the(ContinuousTicker, plots[0].xaxis[0].ticker).desired_num_ticks = 3
    the(Title, plots[0].title).text = "other"
    agrees(document)


def test_a_theme() -> None:
    document = Document()
    document.theme = Theme(json={"attrs": {"Plot": {"background_fill_color": "#123456"}, "Axis": {"minor_tick_in": 3}}})
    document.add_root(figure())
    agrees(document)


class Measured(DataModel):
    amount = Int(default=3)
    other = Nullable(Instance(Model))


def test_classes_of_data() -> None:
    document = Document()
    document.add_root(Measured(other=Measured(amount=4)))
    agrees(document)


class Demanding(Model):
    amount = Required(Int)


def test_what_must_be_set_and_is_not_is_bokehs_own_error() -> None:
    for serializer in (ModelSerializer(), Serializer()):
        with pytest.raises(UnsetValueError, match="amount"):
            serializer.encode(Demanding())
    assert readable(ModelSerializer().encode(Demanding(amount=2)))["attributes"] == {"amount": 2}


class Particular(Model):
    amount = Int(default=3)

    def to_serializable(self, serializer: Serializer) -> Any:
        return {"particular": True}


def test_a_model_with_a_way_of_its_own_keeps_it() -> None:
    assert ModelSerializer().encode(Particular()) == {"particular": True}


def test_the_setting_for_defaults_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOKEH_SERIALIZE_INCLUDE_DEFAULTS", "true")
    assert settings.serialize_include_defaults()
    document = Document()
    document.add_root(Slider(start=0, end=1, value=0.5))
    agrees(document)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0),
        np.arange(6.0).reshape(2, 3),
        np.arange(6.0).reshape(2, 3).T,
        np.arange(6.0)[::2],
        np.arange(3, dtype=np.int64),
        np.array([2**40]),
        np.arange(3, dtype=np.uint8),
        np.arange(3, dtype=">f8"),
        np.array([True, False]),
        np.array([1.5, np.nan, np.inf], dtype=np.float32),
        np.array(3.5),
        np.array([]),
        np.array(["a", "ü"]),
        np.array([1, "a", None], dtype=object),
        np.array(["2026-01-01"], dtype="datetime64[ms]"),
        np.ma.masked_array([1.0, 2.0], mask=[True, False]),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_of_all_kinds(array: Any) -> None:
    assert readable(ModelSerializer().encode(array)) == readable(Serializer().encode(array))


def test_an_array_is_copied_when_it_is_encoded() -> None:
    array = np.zeros(3)
    serializer = ModelSerializer()
    serializer.encode(array)
    array[:] = 1
    assert serializer.buffers[0].to_bytes() == bytes(24)


AMONG_PANEL = """
import numpy as np, pandas as pd, panel as pn, holoviews as hv
from bokeh.plotting import figure
from tests.bokehmount.test_serializing import agrees
pn.extension("tabulator")
hv.extension("bokeh")
curve = hv.DynamicMap(lambda n: hv.Curve(np.arange(n)), kdims=["n"]).redim.range(n=(2, 9))
parts = [figure(), pn.widgets.FloatSlider(), pn.pane.Markdown("# hi"), pn.pane.HoloViews(curve), pn.indicators.Dial(),
         pn.widgets.Tabulator(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})), pn.Tabs(("one", pn.Card("a", title="b")))]
document = pn.template.FastListTemplate(title="t", main=parts).server_doc()
agrees(document)
agrees(pn.Column(*parts).server_doc())
print("they agree")
"""


def test_panel_and_holoviews() -> None:
    """In a process of their own: they change Bokeh for everybody."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", AMONG_PANEL], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "they agree", done.stderr
