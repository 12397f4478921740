"""Each example notebook, run in JupyterLab with its real kernel: no errors, each app drawn and doing what it says."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from .conftest import OpenNotebook
from .driver import Jupyter, Notebook, View, eventually

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

SHOWN = {
    "quickstart": ["app", "shared"],
    "sliders": ["app", "again"],
    "live_stream": ["app", "estimate"],
    "linked_brushing": ["app"],
    "app_directory": ["app"],
    "panel_app": ["app"],
    "holoviews_stream": ["app"],
    "edit_from_cells": ["figure"],
    "stock_bokeh": ["app"],
}
"""Of each notebook, the cells that show an app."""


class Example:
    """An example notebook that is open.

    Args:
        notebook: it
        content: the file's content
    """

    def __init__(self, notebook: Notebook, content: dict[str, Any]) -> None:
        self.notebook = notebook
        self._ids = [cell["id"] for cell in content["cells"]]
        self.code = [cell["id"] for cell in content["cells"] if cell["cell_type"] == "code"]

    def index(self, cell: str) -> int:
        return self._ids.index(cell)

    def view(self, cell: str) -> View:
        """The view in a cell's output, drawn."""
        view = self.notebook.view(self.index(cell)).wait_drawn(60)
        view.frame.locator("canvas").first.wait_for(timeout=45000)
        return view

    def run_to(self, last: str) -> None:
        """Run the cells from the first to this one, one after the other; each must end without an error."""
        for cell in self.code[: self.code.index(last) + 1]:
            index = self.index(cell)
            if self.notebook.execution(index) is None:
                self.notebook.run(index, 60)
                self.assert_no_error(cell)

    def _ended(self, index: int) -> bool:
        return self.notebook.execution(index) is not None or self._errors()

    def run_all(self) -> None:
        """Run all cells, as the menu does."""
        self.notebook.command("notebook:run-all-cells")
        for cell in self.code:
            index = self.index(cell)
            eventually(
                f"cell {cell} of {self.notebook.path} to end, or an error",
                partial(self._ended, index),
                60,
                self.notebook.page,
            )
            for earlier in self.code:
                self.assert_no_error(earlier)

    def _errors(self) -> bool:
        return any(
            output["output_type"] == "error" for cell in self.code for output in self.notebook.outputs(self.index(cell))
        )

    def assert_no_error(self, cell: str) -> None:
        for output in self.notebook.outputs(self.index(cell)):
            assert output["output_type"] != "error", f"cell {cell}: {output}"
            assert output.get("name") != "stderr", f"cell {cell} wrote to stderr: {output}"


OpenExample = Callable[[str], Example]


@pytest.fixture
def open_example(open_notebook: OpenNotebook, jupyter: Jupyter) -> OpenExample:
    def open_(name: str) -> Example:
        shutil.copytree(NOTEBOOKS, jupyter.work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        return Example(open_notebook(name=f"{name}.ipynb"), json.loads((NOTEBOOKS / f"{name}.ipynb").read_text()))

    return open_


def test_every_notebook_has_its_test() -> None:
    assert set(SHOWN) == {path.stem for path in NOTEBOOKS.glob("*.ipynb")}
    assert all(f"test_{name}" in globals() for name in SHOWN)


def close(left: list[float], right: list[float]) -> bool:
    return len(left) == len(right) and all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(left, right, strict=True))


def test_quickstart(open_example: OpenExample) -> None:
    example = open_example("quickstart")
    example.run_all()
    view = example.view("app")
    view.frame.locator(".noUi-handle").first.focus()
    view.page.keyboard.press("End")
    eventually("the slider to be at its end", lambda: view.js("model('frequency').value") == 3, page=view.page)
    time = view.column("wave", "t")
    expected = [math.exp(-0.2 * t) * math.cos(6 * math.pi * t) for t in time]
    eventually("the wave of 3 Hz", lambda: close(view.column("wave", "y"), expected), page=view.page)

    cloud = example.view("shared")
    assert cloud.js("all.find(m => m.type === 'Figure').title.text").startswith("200 points, 19 of them")
    assert "cloud: 200 points, 1 session(s)" in example.notebook.text(example.index("running"))


def test_sliders(open_example: OpenExample) -> None:
    example = open_example("sliders")
    example.run_all()
    view, other = example.view("app"), example.view("again")
    before = view.column("signal", "value")
    for name, value in (("noise", 0), ("amplitude", 2), ("frequency", 10)):
        view.set(name, "value", value)

    def peak() -> bool:
        heights = view.column("spectrum", "amplitude")
        top = max(heights)
        return math.isclose(top, 2, abs_tol=1e-6) and view.column("spectrum", "frequency")[heights.index(top)] == 10

    eventually("a peak of height 2 at 10 Hz", peak, page=view.page)
    assert close(other.column("signal", "value"), before), "the second view has a Document of its own"
    view.frame.get_by_role("button", name="Reset").click()
    eventually("the signal of the beginning", lambda: close(view.column("signal", "value"), before), page=view.page)
    assert view.js("model('frequency').value") == 4


def test_live_stream(open_example: OpenExample) -> None:
    example = open_example("live_stream")
    example.run_all()
    assert "darts: π ≈ 3.1" in example.view("estimate").js("all.find(m => m.type === 'Figure').title.text")
    view = example.view("app")

    def trades() -> list[Any]:
        return [view.column("candles", "time")[-1], view.column("candles", "close")[-1]]

    def wait_for_trades() -> None:
        before = trades()
        eventually("another trade", lambda: trades() != before, page=view.page)
        last = before[0]
        eventually("another candle", lambda: trades()[0] > last, page=view.page)

    view.set("speed", "value", "50")
    wait_for_trades()
    view.frame.get_by_role("button", name="Pause").click()
    button = view.frame.get_by_role("button", name="Go on")
    button.wait_for(timeout=45000)
    callbacks = "sum(len(d.session_callbacks) for d in gc.get_objects() if isinstance(d, Document))"
    assert example.notebook.python(callbacks, "import gc; from bokeh.document import Document") == 0, "it stands still"
    button.click()
    wait_for_trades()


def test_linked_brushing(open_example: OpenExample) -> None:
    example = open_example("linked_brushing")
    example.run_all()
    view = example.view("app")
    view.js("void (model('penguins').selected.indices = [0, 1, 300])")
    eventually(
        "the selected penguins in the table",
        lambda: view.column("picked", "species") == ["Adelie", "Adelie", "Gentoo"],
        page=view.page,
    )
    assert "3 of 333 penguins" in view.js("model('summary').text")
    example.notebook.run(example.index("reach"))  # a cell selects, and the browser shows it
    eventually("the giants", lambda: set(view.column("picked", "species")) == {"Gentoo"}, page=view.page)
    view.frame.get_by_role("button", name="Clear the selection").click()
    eventually("an empty table", lambda: view.column("picked", "species") == [], page=view.page)


def test_app_directory(open_example: OpenExample) -> None:
    example = open_example("app_directory")
    example.run_all()
    view = example.view("app")
    assert view.frame.locator("h1").inner_text() == "Families of the world", "its template"
    assert view.js("model('plot').background_fill_color") == "#f7f8fa", "its theme"
    view.set("year", "value", 2000)
    eventually("the year 2000", lambda: "202 countries in 2000" in view.js("model('summary').text"), page=view.page)
    assert view.frame.evaluate("() => document.documentElement.scrollHeight <= innerHeight"), "no inner scrollbar"


def test_panel_app(open_example: OpenExample) -> None:
    example = open_example("panel_app")
    example.run_all()
    view = example.view("app")

    def titles() -> list[str]:
        """The figure that was replaced may be remembered for a while."""
        return list(view.js("all.filter(m => m.type === 'Figure').map(m => m.title.text)"))

    eventually("what the last cell chose", lambda: "GOOG, adjusted close (USD)" in titles(), page=view.page)
    view.frame.locator("select").select_option("IBM")
    eventually("IBM's shares", lambda: "IBM, adjusted close (USD)" in titles(), page=view.page)
    assert example.notebook.python("ticker.value") == "IBM"
    view.set("Window (days)", "value", 30)
    labels = "all.filter(m => m.type === 'LegendItem').map(m => m.label?.value)"
    eventually("a mean of 30 days", lambda: "mean of 30 days" in view.js(labels), page=view.page)


def test_holoviews_stream(open_example: OpenExample) -> None:
    example = open_example("holoviews_stream")
    example.run_all()
    view = example.view("app")
    text = view.frame.get_by_text("Clicked x =")
    assert "Clicked x = 2.0, y = 1.5" in text.inner_text(), "what the last cell sent"
    pond = view.frame.locator(".bk-events").first
    pond.click(position={"x": 120, "y": 150})
    eventually(
        "the place of the click",
        lambda: "Clicked x = " in text.inner_text() and "x = 2.0, y = 1.5" not in text.inner_text(),
        page=view.page,
    )
    eventually("Python to know it", lambda: example.notebook.python("tap.contents['x']") != 2.0, page=view.page)


def test_edit_from_cells(open_example: OpenExample) -> None:
    example = open_example("edit_from_cells")
    example.run_to("loop")
    view = example.view("figure")
    points = "all.find(m => m.name === 'trace').data_source.get_length()"
    eventually("all steps of the descent", lambda: view.js(points) == 51, page=view.page)
    assert view.js("model('plot').title.text").startswith("Step 50: height ")
    example.run_to("undo")
    eventually(
        "the descent to be taken back",
        lambda: view.js("model('plot').renderers.every(r => r.name !== 'path')"),
        page=view.page,
    )
    view.js("void model('plot').x_range.setv({start: -2, end: 2})")
    eventually(
        "the zoom in Python",
        lambda: example.notebook.python("[plot.x_range.start, plot.x_range.end]") == [-2, 2],
        page=view.page,
    )
    example.run_to("ranges")
    assert "x from -2.00 to 2.00" in example.notebook.text(example.index("ranges"))


def test_stock_bokeh(open_example: OpenExample) -> None:
    example = open_example("stock_bokeh")
    # stock Bokeh's own output loads BokehJS from a CDN, unless it is told otherwise
    example.notebook.python("None", "import os; os.environ['BOKEH_RESOURCES'] = 'inline'")
    example.run_all()
    view = example.view("app")
    before = view.column("smooth", "temperature")
    view.set("days", "value", 7)
    eventually("the smooth curve", lambda: view.column("smooth", "temperature") != before, page=view.page)
    # the figure is Bokeh's own business, in the page of the notebook itself, and push_notebook still reaches it
    eventually(
        "push_notebook to reach the figure",
        lambda: view.page.evaluate(
            "() => window.Bokeh?.documents.some(d => d.roots().some(r => r.title?.text === 'sin(x) · exp(−x/6)'))"
        ),
        page=view.page,
    )
