"""Notebooks that run where no Jupyter server is: nbclient, ``jupyter execute`` and ``nbconvert --execute``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import bokeh
import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from playwright.sync_api import Page, Playwright, Route, sync_playwright

from ..chromium import launched
from ..kinds import the

MOST_HTML = 60_000
"""Characters; BokehJS inline would be four million."""

LIVE = "open the notebook in JupyterLab or Notebook 7 with bokehmount installed where the server runs"

APP = """\
%load_ext bokehmount
from bokehmount import show
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, Slider
from bokeh.plotting import figure

runs = []

def waves(doc):
    runs.append(doc)
    source = ColumnDataSource({"x": [1, 2, 3], "y": [1, 4, 9]})
    plot = figure()
    plot.line("x", "y", source=source)
    power = Slider(title="Power", start=1, end=3, value=2)
    power.on_change("value", lambda attr, old, new: source.data.update(y=[x**new for x in source.data["x"]]))
    doc.add_periodic_callback(lambda: None, 100)
    doc.add_root(column(power, plot))
"""

TWO_PLOTS = """\
from bokeh.document import Document
plot, other = figure(title="A plot"), figure(title="Another")
plot.line([1, 2], [3, 4])
other.line([1], [2])
both = Document()
both.add_root(plot)
both.add_root(other)
show(plot)
"""

EXTENSIONS = {
    "Panel": """\
import panel as pn
show(pn.Column(pn.widgets.IntSlider(name="how many"), "some *words*"))
""",
    "a model of Panel": """\
import panel as pn
show(pn.Column("some *words*").get_root())
""",
    "a Panel template": """\
import panel as pn
template = pn.template.FastListTemplate(title="a template")
template.main.append(pn.Card("some *words*"))
show(template)
""",
    "HoloViews": """\
import holoviews as hv
hv.extension("bokeh", logo=False)
show(hv.Curve([1, 3, 2], label="some words"))
""",
}

BROKEN = APP + "\ndef broken(doc):\n    raise LookupError('no data today')\n"


def notebook(*sources: str) -> nbformat.NotebookNode:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]  # type: ignore[no-untyped-call]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})  # type: ignore[no-untyped-call]
    return the(nbformat.NotebookNode, made)


def write(made: nbformat.NotebookNode, path: Path) -> None:
    nbformat.write(made, path)  # type: ignore[no-untyped-call]


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    set_own_folders(tmp_path, monkeypatch)
    return tmp_path


def set_own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read from or written to the folders of whoever runs the tests, and no server is near."""
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # the scripts that pip made stand beside the interpreter
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def only_picture(outputs: list[Any]) -> dict[str, str]:
    (output,) = outputs
    assert output["output_type"] == "display_data", output
    return dict(output["data"])


def test_a_name_is_as_good_here_as_in_jupyter(own_folders: Path) -> None:
    with pytest.raises(CellExecutionError, match="name='bad name!': use letters"):
        NotebookClient(notebook(APP, "show(waves, name='bad name!')"), timeout=60).execute()


def test_each_way_of_showing_leaves_a_static_picture_and_runs_the_app_once(own_folders: Path) -> None:
    book = notebook(
        APP,
        "handle = show(waves)",
        "print(len(runs), handle.url, handle.sessions)\nhandle.close()",
        TWO_PLOTS,
        "show(waves, name='small', width=400, height=300)",
        "from bokeh.io import output_notebook, show as stock_show\noutput_notebook()\nstock_show(waves)",
        "%bokehmount",
        "import sys\nprint('bokeh.server.server' in sys.modules)",
        "from bokeh.io import curdoc\nfrom bokeh.models import Div\n"
        "show(lambda: curdoc().add_root(Div(text='Of curdoc')))",
    )
    NotebookClient(book, timeout=60).execute()
    outputs = [cell.outputs for cell in book.cells]

    picture = only_picture(outputs[1])
    assert LIVE in picture["text/plain"] and LIVE in picture["text/html"]
    assert "waves" in picture["text/plain"]
    assert "srcdoc=" in picture["text/html"] and 'sandbox="allow-scripts"' in picture["text/html"]
    assert len(picture["text/html"]) < MOST_HTML
    assert "application/vnd.bokehmount.view.v1+json" not in picture, "no front end may look for a server's app"
    assert outputs[2][0]["text"] == "1 None []\n"

    plot = only_picture(outputs[3])["text/html"]
    assert "A plot" in plot and "Another" not in plot, "what was shown, not all that lives beside it"
    assert "width:400px;height:300px" in only_picture(outputs[4])["text/html"]

    stock = [output for output in outputs[5] if LIVE in str(output.get("data", {}).get("text/plain"))]
    assert len(stock) == 1, "stock bokeh.io.show(app) takes the same road"
    assert "No Jupyter server runs this kernel" in outputs[6][0]["text"]
    assert outputs[7][0]["text"] == "False\n", "nothing opened a Bokeh server"
    assert "Of curdoc" in only_picture(outputs[8])["text/html"]
    assert not [output for cell in book.cells for output in cell.outputs if output.get("name") == "stderr"]


@pytest.fixture(scope="module")
def picture_of_waves(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a cell that shows the app leaves behind, as HTML."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_own_folders(tmp_path_factory.mktemp("picture"), monkeypatch)
        book = notebook(APP, "show(waves)")
        NotebookClient(book, timeout=60).execute()
    return only_picture(book.cells[1].outputs)["text/html"]


def new_page(playwright: Playwright) -> Page:
    # in a process of its own, a sandboxed frame would ask for its files before playwright listens
    together = "--disable-features=IsolateSandboxedIframes"
    return launched(playwright, together).new_page()


def with_public_homes(page: Page, *, without: str = "^$") -> None:
    """What a page asks of the public homes of BokehJS and Panel is on this disk, but for what is not to be had."""
    bokehjs = Path(bokeh.__file__).parent / "server/static/js"
    panel = Path(the(str, the(ModuleSpec, find_spec("panel")).origin)).parent / "dist"  # not imported: it alters Bokeh

    def answer(route: Route, path: Path) -> None:
        if path.is_file() and not re.search(without, path.name):
            route.fulfill(path=path, headers={"Access-Control-Allow-Origin": "*"})
        else:
            route.abort()

    def of_bokehjs(route: Route) -> None:
        answer(route, bokehjs / route.request.url.rsplit("/", 1)[-1].replace(f"-{bokeh.__version__}", ""))

    def of_panels_files(route: Route) -> None:
        answer(route, panel / route.request.url.partition("?")[0].partition("/dist/")[2])

    page.route(re.compile("^https://cdn.bokeh.org/bokeh/release/"), of_bokehjs)
    page.route(re.compile("^https://cdn.holoviz.org/panel/"), of_panels_files)


def test_the_picture_is_drawn_with_bokehjs_from_its_public_home(picture_of_waves: str) -> None:
    with sync_playwright() as playwright:
        page = new_page(playwright)
        with_public_homes(page)
        page.set_content(picture_of_waves)
        frame = page.frame_locator("iframe")
        frame.locator("canvas").first.wait_for(timeout=30000)
        assert frame.get_by_text("Power").count() == 1


@pytest.fixture(scope="module")
def pictures_of_extensions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What cells that show objects of Panel and HoloViews leave behind, as HTML."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_own_folders(tmp_path_factory.mktemp("extensions"), monkeypatch)
        book = notebook(APP, *EXTENSIONS.values())
        NotebookClient(book, timeout=60).execute()
    pictures = [
        output["data"]["text/html"]
        for cell in book.cells
        for output in cell.outputs
        if LIVE in str(output.get("data", {}).get("text/plain"))
    ]
    return dict(zip(EXTENSIONS, pictures, strict=True))


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_pictures_of_panel_and_holoviews_objects_are_drawn(pictures_of_extensions: dict[str, str], kind: str) -> None:
    picture = pictures_of_extensions[kind]
    assert not re.search(r"(?<!/)static/extensions", picture), "beside a file is no server that could have it"
    assert len(picture) < MOST_HTML
    with sync_playwright() as playwright:
        page = new_page(playwright)
        with_public_homes(page, without="es-module-shims")  # a browser of today does without it
        page.set_content(picture)
        frame = page.frame_locator("iframe")
        (frame.get_by_text("words") if "Panel" in kind else frame.locator("canvas")).first.wait_for(timeout=30000)
        page.wait_for_timeout(3500)  # past the time when a picture says what is missing
        assert frame.get_by_text("could not be loaded").count() == 0


def test_where_an_extension_cannot_be_had_its_picture_says_so(pictures_of_extensions: dict[str, str]) -> None:
    with sync_playwright() as playwright:
        page = new_page(playwright)
        with_public_homes(page, without="panel.min.js")
        page.set_content(pictures_of_extensions["Panel"])
        said = page.frame_locator("iframe").get_by_text("This picture needs https://cdn.holoviz.org/")
        said.wait_for(timeout=30000)
        assert "/panel.min.js, which could not be loaded" in str(said.text_content())


def test_where_bokehjs_cannot_be_had_the_picture_says_so(picture_of_waves: str) -> None:
    with sync_playwright() as playwright:
        page = new_page(playwright)
        page.set_content(picture_of_waves)
        said = page.frame_locator("iframe").get_by_text("This picture needs https://cdn.bokeh.org/")
        said.wait_for(timeout=30000)
        assert "could not be loaded" in str(said.text_content())


def test_an_app_that_raises_fails_its_cell(own_folders: Path) -> None:
    with pytest.raises(CellExecutionError, match="no data today") as failure:
        NotebookClient(notebook(BROKEN, "show(broken)", "print('never')"), timeout=60).execute()
    assert "LookupError" in str(failure.value)


def test_jupyter_execute(own_folders: Path) -> None:
    path = own_folders / "waves.ipynb"
    write(notebook(APP, "show(waves)", "print('runs:', len(runs))"), path)
    done = run("jupyter", "execute", "--inplace", str(path), cwd=own_folders)
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(path, as_version=4).cells  # type: ignore[no-untyped-call]
    assert LIVE in only_picture(cells[1].outputs)["text/html"]
    assert cells[2].outputs[0].text == "runs: 1\n"
    assert path.stat().st_size < MOST_HTML

    write(notebook(BROKEN, "show(broken)"), path)
    failed = run("jupyter", "execute", str(path), cwd=own_folders)
    assert failed.returncode != 0
    assert "no data today" in failed.stderr


def test_nbconvert_execute(own_folders: Path) -> None:
    path = own_folders / "waves.ipynb"
    write(notebook(APP, "show(waves)", "print('runs:', len(runs))"), path)
    done = run("jupyter", "nbconvert", "--execute", "--to", "html", "--template", "basic", str(path), cwd=own_folders)
    assert done.returncode == 0, done.stderr
    page = (own_folders / "waves.html").read_text()
    assert "runs: 1" in page
    assert LIVE in re.sub(r"\s+", " ", page)
    assert page.count("<iframe") == 1 and "srcdoc=" in page
    assert len(page) < 2 * MOST_HTML
