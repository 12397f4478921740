"""An editable table and what the server makes of its selection."""

from __future__ import annotations

from bokeh.io import curdoc
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import DataTable, Div, NumberEditor, TableColumn

source = ColumnDataSource({"fruit": ["apple", "pear", "plum"], "count": [1, 2, 3]}, name="source")
columns = [TableColumn(field="fruit"), TableColumn(field="count", editor=NumberEditor())]
table = DataTable(source=source, columns=columns, editable=True, name="table", width=300, height=150)
total = Div(text="6", name="total")


def add_up(attr: str, old: object, new: object) -> None:
    chosen = source.selected.indices or range(len(source.data["count"]))
    total.text = str(sum(source.data["count"][row] for row in chosen))


source.on_change("data", add_up)
source.selected.on_change("indices", add_up)
curdoc().add_root(table)
curdoc().add_root(total)
