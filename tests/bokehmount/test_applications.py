"""What an application of a file is made of, and that Panel is there in time where it is needed, and only there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bokehmount.applications import why_no_app

MADE = """\
import sys
from pathlib import Path
from bokehmount.applications import application_of

make = application_of(Path(sys.argv[1]))
assert "panel" not in sys.modules, "nothing is read before it is called"
print(type(make()).__module__, "panel" in sys.modules)
"""

PANEL, BOKEH = "panel.io.application True", "bokeh.application.application False"


def made(path: Path) -> str:
    """The class's module and whether Panel was imported, in a process of its own."""
    return subprocess.run([sys.executable, "-c", MADE, path], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import panel as pn", PANEL),
        ("    from panel.widgets import IntSlider", PANEL),
        ("import numpy as np, holoviews as hv", PANEL),
        ("import hvplot.pandas", PANEL),
        ("import panels.panel", BOKEH),
        ("# import panel", BOKEH),
        ("from bokeh.models import Panel", BOKEH),
    ],
)
def test_panel_is_imported_before_an_app_of_its_own_and_for_no_other(line: str, expected: str, tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    script.write_text(f"import sys\n\nif True:\n    {line}\n")
    assert made(script) == expected


def test_so_it_is_for_notebooks_and_folders(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "source": "x = 1\nimport panel as pn", "metadata": {}, "outputs": [], "id": "a"}
    notebook = tmp_path / "app.ipynb"
    notebook.write_text(
        json.dumps({"cells": [{**cell, "execution_count": None}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )
    assert made(notebook) == PANEL
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "main.py").write_text("import parts\n")
    (folder / "parts.py").write_text("import panel\n")
    assert made(folder) == PANEL


FIRST_VIEW = """\
import asyncio, sys
from bokehmount.contexts import ApplicationContext
from bokehmount.kernel.sources import source_of
from bokehmount.tokens import RequestInfo

def dashboard():
    import panel as pn
    print(pn.state.location.pathname)
    return pn.Column("x")

async def look():
    context = ApplicationContext(source_of(dashboard).application(), asyncio.get_running_loop(), "/app")
    await context.create_session_if_needed("s", RequestInfo(path="/bokeh/app"))

assert "panel" not in sys.modules
asyncio.run(look())
"""


def test_so_it_is_for_a_function_that_imports_it_itself() -> None:
    """The first view knows of its page what all later ones do."""
    run = subprocess.run([sys.executable, "-c", FIRST_VIEW], check=True, capture_output=True, text=True)
    assert run.stdout == "/bokeh/app\n"


EMPTY = """\
import panel
from bokeh.application.handlers import FunctionHandler
from bokeh.models import Column
from bokehmount.applications import application_with

application_with(FunctionHandler(lambda doc: doc.add_root(Column()))).create_document()
"""


def test_no_word_is_said_of_panels_empty_layouts() -> None:
    run = subprocess.run([sys.executable, "-c", EMPTY], check=True, capture_output=True, text=True)
    assert run.stderr == ""


def test_methods_written_in_c_are_pythons_own_only_where_their_class_is() -> None:
    assert [].append.__module__ is None and np.zeros(1).dot.__module__ is None
    owned: list[Callable[..., Any]] = [[].append, dict.fromkeys, str.maketrans, print]
    for own in owned:
        assert "is Python's own" in (why_no_app(own) or "")
    for foreign in (np.zeros(1).dot, np.float64.fromhex):
        assert why_no_app(foreign) is None
