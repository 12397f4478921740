"""Beside ipywidgets in a notebook, and inside one of them."""

from __future__ import annotations

from .apps import CLOUD, LOAD, POWER
from .conftest import OpenNotebook
from .driver import Lab, eventually

BUTTON = """
import ipywidgets
from IPython.display import display

button = ipywidgets.Button(description="more")
button.on_click(lambda _: source.stream({"x": [9.0], "y": [9.0]}))
display(button)
"""

IN_AN_OUTPUT = f"""
import ipywidgets
from IPython.display import display

place = ipywidgets.Output()
display(place)
with place:
{"".join(f"    {line}" for line in POWER.splitlines(keepends=True))}
"""


def test_an_ipywidget_moves_a_view(open_notebook: OpenNotebook, lab: Lab) -> None:
    notebook = open_notebook(LOAD, CLOUD, BUTTON)
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1).wait_drawn()
    notebook.run(2)
    notebook.cell(2).get_by_role("button", name="more").click()
    eventually("the row", lambda: view.column("dots", "x")[-1] == 9, page=lab.page)


def test_an_app_may_be_shown_in_an_output_widget(open_notebook: OpenNotebook, lab: Lab) -> None:
    notebook = open_notebook(LOAD, IN_AN_OUTPUT)
    notebook.run(0)
    notebook.run(1)
    view = notebook.view(1).wait_drawn()
    view.set("power", "value", 2)
    eventually("the callback", lambda: view.has_column("line", "y", [1, 4, 9]), page=lab.page)
    assert notebook.cell(1).locator("iframe").count() == 1
    assert notebook.cell(1).get_by_role("link", name="Open in a tab").count() == 1
