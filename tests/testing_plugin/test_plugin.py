"""The pytest plugin for those who write notebooks and apps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import nbformat
import numpy as np
import pytest
from bokeh.util.token import generate_jwt_token, generate_session_id
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from bokehmount import wire
from bokehmount.testing import JupyterServer, RunningNotebook, ViewClosed, Visitor, WaitedInVain
from bokehmount.wire import MessageType

ROOT = Path(__file__).parents[2]

IMPORTS = """\
%load_ext bokehmount
import time
import numpy as np
from bokehmount import show
from bokeh.layouts import column
from bokeh.models import Button, ColumnDataSource, Slider
"""

APP = """\
calls = []

def app(doc):
    calls.append(doc)
    source = ColumnDataSource({"x": np.arange(5.0), "y": np.zeros(5)}, name="source")
    slider = Slider(start=0, end=9, value=1, name="slider")
    button = Button(name="button")
    late = Button(name="late")

    def moved(attr, old, new):
        source.data = {"x": source.data["x"], "y": source.data["x"] * new}
        print("moved to", new)

    def fail():
        raise LookupError("nothing in the drawer")

    slider.on_change("value", moved)
    button.on_click(fail)
    late.on_click(lambda: doc.add_timeout_callback(lambda: source.stream({"x": [9.0], "y": [9.0]}), 300))
    doc.add_root(column(slider, button, late))
    doc.add_root(source)

handle = show(app, name="drawer")
"""

Run = Callable[..., RunningNotebook]


def notebook(*sources: str) -> Any:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]  # type: ignore[no-untyped-call]
    return nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call]


def test_a_notebook_is_run_and_its_app_is_seen_moved_and_waited_for(run_notebook: Run) -> None:
    running = run_notebook(notebook(IMPORTS, APP))
    assert running.apps == ["drawer"]
    view = running.open()
    assert running.execute("len(calls)") == "1"

    view.set("slider", value=3)
    np.testing.assert_array_equal(view["source"].data["y"], np.arange(5.0) * 3)
    view.wait_until(lambda document: "moved to 3" in view.printed)

    view.click("late")
    assert len(view["source"].data["x"]) == 5
    assert view.wait_for_change("source", "data")["x"][-1] == 9

    with pytest.raises(
        WaitedInVain, match=r"waited 0.2 s for the moon to fall\nMeanwhile the app printed:\nmoved to 3"
    ):
        view.wait_until(lambda document: False, "the moon to fall", timeout=0.2)
    with pytest.raises(WaitedInVain, match=r"lambda document: document.title == 'Moon'"):
        view.wait_until(lambda document: document.title == 'Moon', timeout=0.1)  # fmt: skip
    with pytest.raises(WaitedInVain, match=r"'slider'\.value to change from 3"):
        view.wait_for_change("slider", "value", timeout=0.1)
    with pytest.raises(KeyError, match="no model of this app is named 'lamp'; named are: button, late, slider, source"):
        view["lamp"]

    view.click("button")
    view.wait_until(lambda document: "LookupError: nothing in the drawer" in view.printed)

    running.execute("handle.documents[0].get_model_by_name('slider').value = 7")
    view.wait_until(lambda document: view["slider"].value == 7, "the slider to be moved by a cell")

    view.drop()
    with pytest.raises(ViewClosed):
        view.round_trip()
    running.execute("handle.documents[0].get_model_by_name('source').data = {'x': np.ones(3), 'y': np.ones(3)}")
    view.reconnect()
    np.testing.assert_array_equal(view["source"].data["y"], np.ones(3))
    assert running.execute("len(calls)") == "1", "it came back to its session"

    running.execute("handle.close()")
    with pytest.raises(ViewClosed, match="app has ended: it was closed"):
        view.wait_until(lambda document: False, "the end")


def test_what_goes_wrong_says_so(run_notebook: Run) -> None:
    with pytest.raises(CellExecutionError, match="no such luck"):
        run_notebook(notebook("raise RuntimeError('no such luck')"))
    broken = "def broken(doc):\n    raise OSError('the disk is full')\nshow(broken, name='broken')"
    slow = (
        "def slow(doc):\n    time.sleep(1.5)\n    doc.title = f'slow {doc.session_context.request.arguments}'\n"
        "show(slow, name='slow')"
    )
    running = run_notebook(notebook(IMPORTS, broken, slow))
    with pytest.raises(ViewClosed, match=r"(?s)The app raised .*OSError.*in broken.*the disk is full"):
        running.open("broken")
    with pytest.raises(ValueError, match="shows 2 apps, say which to open: broken, slow"):
        running.open()
    assert running.open("slow").document.title == "slow {}", "a page that comes late is waited for"
    assert running.open("slow?n=5").document.title == "slow {'n': [b'5']}"
    with pytest.raises(ViewClosed) as refusal:
        running.open("absent")
    assert refusal.value.code == 404


def test_a_path_without_a_notebook_is_named(run_notebook: Run, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no notebook at .*absent\.ipynb"):
        run_notebook(tmp_path / "absent.ipynb")
    text, old = tmp_path / "text.ipynb", tmp_path / "empty.ipynb"
    text.write_text("not JSON")
    old.write_text("{}")
    for path in (text, old):
        with pytest.raises(ValueError, match=f"{path.name}' is no notebook"):
            run_notebook(path)


def test_a_cell_that_kills_its_kernel_is_named_at_once(run_notebook: Run) -> None:
    began = monotonic()
    with pytest.raises(DeadKernelError, match=r"(?s)the kernel died in this cell.*os\._exit\(1\)"):
        run_notebook(notebook("1", "import os; os._exit(1)", "2"), timeout=60)
    assert monotonic() - began < 45, "not the cell's timeout was waited for"


def test_no_empty_kernel_takes_the_place_of_one_that_a_callback_killed(run_notebook: Run) -> None:
    app = APP.replace('print("moved to", new)', "__import__('os')._exit(1)")
    running = run_notebook(notebook(IMPORTS, app))
    view = running.open()
    with pytest.raises(ViewClosed, match="the kernel was restarted or has stopped"):
        view.set("slider", value=3)
    with pytest.raises(DeadKernelError):
        running.execute("1 + 1")


def test_less_than_a_second_is_a_limit_too(run_notebook: Run) -> None:
    with pytest.raises(CellTimeoutError):
        run_notebook(notebook("import time; time.sleep(20)"), timeout=0.5)


def test_a_test_may_end_the_kernel_itself(run_notebook: Run, bokehmount_server: JupyterServer) -> None:
    running = run_notebook(notebook("1"))
    bokehmount_server.api("DELETE", f"kernels/{running.kernel_id}")
    running.close()


def test_a_notebook_that_runs_twice_at_once_has_two_kernels(run_notebook: Run, tmp_path: Path) -> None:
    path = tmp_path / "again.ipynb"
    path.write_text(nbformat.writes(notebook("import os; os.environ['JPY_SESSION_NAME']")))  # type: ignore[no-untyped-call]
    first, second = run_notebook(path), run_notebook(path)
    assert first.kernel_id != second.kernel_id
    for running in (first, second):
        assert running.notebook.cells[0].outputs[0].data["text/plain"].endswith("/again.ipynb'")
    first.close()
    assert second.execute("1 + 1") == "2"


def test_the_kernel_ends_also_where_a_view_can_not_be_closed(
    run_notebook: Run, bokehmount_server: JupyterServer
) -> None:
    class Stuck(Visitor):
        def open(self, *args: Any, **kwargs: Any) -> Any:
            socket = super().open(*args, **kwargs)
            close = socket.close

            def close_and_raise(code: int = 1000) -> None:
                close(code)
                raise OSError("stuck")

            socket.close = close_and_raise  # type: ignore[method-assign]
            return socket

    server = bokehmount_server
    script = Stuck(server.background, server.url, {"Authorization": f"token {server.token}"})
    running = RunningNotebook.run(server, notebook(IMPORTS, APP))
    running.open(visitor=script)
    with pytest.raises(OSError, match="stuck"):
        running.close()
    assert running.kernel_id not in {kernel["id"] for kernel in server.api("GET", "kernels")}


def test_a_client_that_speaks_before_it_is_greeted_is_understood(
    run_notebook: Run, bokehmount_server: JupyterServer
) -> None:
    """The server opens its link to the kernel meanwhile."""
    running = run_notebook(notebook(IMPORTS, APP))
    server = bokehmount_server
    script = Visitor(server.background, server.url, {"Authorization": f"token {server.token}"})
    token = generate_jwt_token(generate_session_id(signed=False), signed=False)
    socket = script.open(f"bokeh/kernels/{running.kernel_id}/drawer/ws", ["bokeh", token])
    socket.send(*wire.encode(wire.pull_doc()))
    frames = [socket.receive(10) for _ in range(6)]
    assert [MessageType(json.loads(str(frames[place]))["msgtype"]) for place in (0, 3)] == ["ACK", "PULL-DOC-REPLY"]
    socket.close()


def test_the_example_in_notebooks_passes() -> None:
    """As a user runs it: another pytest, which finds the plugin by its entry point."""
    command = [sys.executable, "-m", "pytest", "-q", "notebooks/tested", "-W", "error"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
