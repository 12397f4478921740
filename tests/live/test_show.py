"""What a notebook's user gets of `show`: real server, real kernel, over HTTP and WebSockets."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from .client import VIEW_MIME, AppView, BokehSocket, Browser, JupyterServer, Notebook, eventually
from .conftest import PORTAL, SETUP, SLIDERS, shown


def follows_slider(view: AppView, value: float) -> bool:
    data = view["source"].data
    return bool(np.allclose(data["y"], np.sin(value * np.asarray(data["x"]))))


async def test_a_slider_moves_the_plots_data_and_the_cell_shows_what_its_callback_prints(
    browser: Browser, notebook: Notebook
) -> None:
    cell = await notebook.run("show(sliders, width=500)")
    assert cell.view == {
        "kernel_id": notebook.kernel_id,
        "app": cell.view["app"],
        "title": "sliders",
        "width": 500,
        "height": None,
        "run": cell.view["run"],
    }
    (bundle,) = cell.displays
    assert set(bundle) == {VIEW_MIME, "text/html", "text/plain"}
    async with browser.view(notebook.path_of(cell.view)) as view:
        assert follows_slider(view, 1)
        async with browser.status(view.path, view.page.token) as status:
            await status.told("ready")
            reply = await view.set("slider", "value", 3)
            assert reply.kind == "OK"
            await view.shows("sin(3x)", lambda view: follows_slider(view, 3))
            await eventually("the callback's output in its cell", lambda: "moved to 3" in cell.text)
            await eventually("the same in the view", lambda: "moved to 3" in status.output)
            assert not any(message.get("error") for _, message in status.messages)


async def test_output_of_callbacks_stays_with_the_cell_that_showed_the_app(
    browser: Browser, notebook: Notebook
) -> None:
    first = await notebook.run("show(sliders, name='first')")
    second = await notebook.run("show(sliders, name='second')")
    later = await notebook.run("print('a later cell')")
    async with browser.view(notebook.path_of(first.view)) as one, browser.view(notebook.path_of(second.view)) as two:
        await one.set("slider", "value", 4)
        await two.set("slider", "value", 5)
        # a print comes in one piece or in two
        await eventually("the outputs", lambda: first.text.endswith("\n") and second.text.endswith("\n"))
    assert (first.text, second.text, later.text) == ("moved to 4\n", "moved to 5\n", "a later cell\n")


CAPTURED = """\
%%capture output
import asyncio
let_go = asyncio.Event()
def app(doc):
    sliders(doc)
    doc.get_model_by_name("slider").on_change("value", lambda attr, old, new: let_go.set())
show(app)
"""


async def test_cells_that_capture_what_is_displayed_show_apps_and_let_them_work(
    browser: Browser, notebook: Notebook
) -> None:
    assert not (await notebook.run(CAPTURED)).displays
    cell = await notebook.run("output.show()")
    async with browser.view(notebook.path_of(cell.view)) as view:
        waiting = await notebook.start(
            "from IPython.utils.capture import capture_output\nwith capture_output():\n    await let_go.wait()"
        )
        assert (await view.set("slider", "value", 3)).kind == "OK"
        await view.shows("sin(3x)", lambda view: follows_slider(view, 3))
        assert (await waiting.end()).error is None


async def test_a_callback_that_raises_shows_its_traceback_in_its_cell_and_in_its_view(
    browser: Browser, notebook: Notebook
) -> None:
    cell = await notebook.run(
        "from bokeh.models import Slider\n"
        "def faulty(doc):\n"
        "    slider = Slider(start=0, end=10, value=1, name='slider')\n"
        "    def moved(attr, old, new):\n"
        "        if new == 7: raise ValueError('seven is not for me')\n"
        "        slider.title = f'at {new}'\n"
        "    slider.on_change('value', moved)\n"
        "    doc.add_root(slider)\n"
        "show(faulty)"
    )
    async with browser.view(notebook.path_of(cell.view)) as view:
        async with browser.status(view.path, view.page.token) as status:
            await status.told("ready")
            await view.set("slider", "value", 7)
            told = await status.told("output", containing="seven is not for me")
            assert told["error"] is True
        await eventually("the traceback in the cell", lambda: "seven is not for me" in cell.text)
        assert "Traceback (most recent call last)" in cell.text
        assert "bokehmount/session.py" not in cell.text, "our own frames do not help a user"
        await view.set("slider", "value", 8)
        await view.shows("the next move", lambda view: view["slider"].title == "at 8")


async def test_a_callback_that_leaves_a_closed_error_stream_and_raises_does_not_end_its_kernel(
    browser: Browser, notebook: Notebook
) -> None:
    cell = await notebook.run(
        "import io, sys\n"
        "from bokeh.models import Slider\n"
        "def careless(doc):\n"
        "    slider = Slider(start=0, end=10, value=1, name='slider')\n"
        "    def moved(attr, old, new):\n"
        "        slider.title = f'at {new}'\n"
        "        sys.stderr = io.StringIO()\n"
        "        sys.stderr.close()\n"
        "        raise ValueError('nobody will hear of this')\n"
        "    slider.on_change('value', moved)\n"
        "    doc.add_root(slider)\n"
        "stderr = sys.stderr\n"
        "show(careless)"
    )
    async with browser.view(notebook.path_of(cell.view)) as view:
        async with browser.status(view.path, view.page.token) as status:
            await status.told("ready")
            await view.set("slider", "value", 7)
            await status.told("output", containing="nobody will hear of this")
        await eventually("the traceback in the cell", lambda: "nobody will hear of this" in cell.text)
        await view.set("slider", "value", 8)
        await view.shows("the next move", lambda view: view["slider"].title == "at 8")
        await notebook.run("sys.stderr = stderr")  # the tests that follow have the same kernel


async def test_code_that_raises_leaves_curdoc_alone(browser: Browser, notebook: Notebook, tmp_path: Path) -> None:
    script = tmp_path / "exits.py"
    script.write_text("import sys\nfrom bokeh.io import curdoc\ncurdoc().title = 'x'\nsys.exit(1)\n")
    await notebook.run("from bokeh.io import curdoc\nimport bokeh.io\nbefore, show_before = curdoc(), bokeh.io.show")
    unchanged = "[curdoc() is before, bokeh.io.show is show_before]"
    cell = await notebook.run(
        "def app(doc):\n    sliders(doc)\n"
        "    def fail(attr, old, new): raise LookupError(new)\n"
        "    doc.get_model_by_name('slider').on_change('value', fail)\n"
        "handle = show(app)"
    )
    async with browser.view(notebook.path_of(cell.view)) as view:
        await view.set("slider", "value", 3)
        event = {"kind": "ModelChanged", "model": {"id": view["slider"].id}, "attr": "value", "new": "high"}
        assert (await view.socket.ask("PATCH-DOC", {"events": [event]})).kind == "ERROR"
        assert await notebook.value(unchanged) == [True, True]
        failed = await notebook.run("handle.documents[0].get_model_by_name('slider').value = 5", fails=True)
        assert failed.error == "LookupError: 5"
        assert await notebook.value(unchanged) == [True, True]
    cell = await notebook.run(f"show({str(script)!r})")
    assert (await browser.final_page(notebook.path_of(cell.view))).status == 500
    assert await notebook.value(unchanged) == [True, True]


async def test_each_view_of_a_function_has_its_own_document(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run("handle = show(sliders)")
    path = notebook.path_of(cell.view)
    async with browser.view(path) as one, browser.view(path) as two:
        await one.set("slider", "value", 5)
        await one.shows("its own move", lambda view: follows_slider(view, 5))
        assert follows_slider(two, 1) and two["slider"].value == 1
        assert await notebook.value("len(handle.sessions)") == 2
        assert await notebook.value("len({id(d) for d in handle.documents})") == 2


async def test_a_handle_of_an_app_that_has_ended_lists_no_sessions(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run("handle = show(sliders)")
    async with browser.view(notebook.path_of(cell.view)):
        counts = "(len(handle.sessions), handle.close(), len(handle.sessions), len(handle.documents))"
        assert await notebook.value(counts) == [1, None, 0, 0]
    await notebook.run(
        "from bokeh.models import Div\nshared = Div(text='in two apps')\n"
        "one, other = show(shared, name='one'), show(shared, name='other')\none.close()"
    )
    assert await notebook.value("(one.sessions, len(other.sessions))") == [[], 1]


async def test_two_views_of_one_figure_share_it_and_other_cells_change_it(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(
        "from bokeh.plotting import figure\n"
        "plot = figure(name='plot', title='before'); plot.scatter([1, 2], [3, 4], name='dots')\n"
        "handle = show(plot)"
    )
    path = notebook.path_of(cell.view)
    async with browser.view(path) as one, browser.view(path) as two:
        assert await notebook.value("len(handle.sessions)") == 1
        await notebook.run("plot.title.text = 'after'")
        for view in (one, two):
            await view.shows("the new title", lambda view: view["plot"].title.text == "after")
        await one.set("dots", "visible", False)
        await two.shows("what the other view did", lambda view: view["dots"].visible is False)
        assert await notebook.value("plot.renderers[0].visible") is False
        again = await notebook.run("second = show(plot, name='again')")
        async with browser.view(notebook.path_of(again.view)) as third:
            await notebook.run("plot.title.text = 'in all three'")
            for view in (one, two, third):
                await view.shows("the title", lambda view: view["plot"].title.text == "in all three")


async def test_a_running_cells_edits_are_seen_while_it_runs(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(
        "from bokeh.plotting import figure\nplot = figure(name='plot')\nplot.scatter([1], [1])\nshow(plot)"
    )
    async with browser.view(notebook.path_of(cell.view)) as view:
        begun = time.monotonic()
        loop = await notebook.run(
            "import time\nfor step in range(6):\n    plot.title.text = f'step {step}'\n    time.sleep(0.25)"
        )
        idle = loop.messages[-1][0]
        patches = [message for message in view.socket.messages if message.kind == "PATCH-DOC"]
        assert len(patches) == 6, [message.content for message in patches]
        arrivals = [message.time - begun for message in patches]
        gaps = [after - before for before, after in itertools.pairwise(arrivals)]
        assert all(gap > 0.1 for gap in gaps), f"not one by one: {arrivals}"
        assert patches[0].time < idle - 1.0 and patches[-1].time < idle - 0.1, f"{arrivals}, idle at {idle - begun:.2f}"
        assert view["plot"].title.text == "step 5"


async def test_a_stream_from_a_running_cell_is_seen_while_it_runs(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(
        "from bokeh.models import ColumnDataSource\nfrom bokeh.plotting import figure\nimport numpy as np, time\n"
        "source = ColumnDataSource(dict(x=np.zeros(0), y=np.zeros(0)), name='source')\n"
        "plot = figure(); plot.line('x', 'y', source=source)\nshow(plot)"
    )
    async with browser.view(notebook.path_of(cell.view)) as view:
        running = await notebook.start(
            "for i in range(100):\n"
            "    source.stream(dict(x=np.array([float(i)]), y=np.array([i * 2.0])))\n    time.sleep(0.01)"
        )
        await view.shows("the first points", lambda view: len(view["source"].data["x"]) > 10)
        assert not running.ended.is_set(), "the points came only when the cell had ended"
        await running.end()
        await view.shows("all points", lambda view: len(view["source"].data["x"]) == 100)
        assert list(view["source"].data["y"]) == [i * 2.0 for i in range(100)]


async def test_the_magic_lists_apps_and_closes_one(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run("one = show(sliders, name='one'); two = show(sliders, name='two')")
    view_of_one = next(bundle[VIEW_MIME] for bundle in cell.displays if bundle[VIEW_MIME]["app"] == "/one")
    async with browser.view(notebook.path_of(view_of_one)) as view:
        listed = (await notebook.run("%bokehmount")).text
        assert "one: sliders, 1 session(s), 1 view(s)" in listed
        assert "two: sliders, 0 session(s), 0 view(s)" in listed
        assert "Jupyter server" in listed and "socket carrier" in listed
        async with browser.status(view.path, view.page.token) as status:
            await status.told("ready")
            await notebook.run("%bokehmount close one")
            await status.told("ended")
            code, reason = await view.socket.closed()
            assert code == 4410 and "closed" in reason
            assert "one:" not in (await notebook.run("%bokehmount")).text
            await notebook.run("one = show(sliders, name='one')")
            await status.told("moved", containing="there again")
            await notebook.run("one.close()")
    wrong = await notebook.run("%bokehmount close nothing", fails=True)
    assert "nothing" in "".join(str(content) for content in wrong.contents("stream", "error"))
    await notebook.run("two.close(); two.close()")
    assert "No app is shown." in (await notebook.run("%bokehmount")).text


async def test_a_cell_run_again_ends_old_sessions_with_their_hooks_and_moves_views(
    browser: Browser, notebook: Notebook
) -> None:
    code = (
        "ended = globals().get('ended', [])\n"
        "def app(doc):\n"
        "    sliders(doc)\n"
        "    doc.on_session_destroyed(lambda context: ended.append(context.id))\n"
        "handle = show(app)"
    )
    async with shown(browser, notebook, code, "cell-1") as view:
        async with browser.status(view.path, view.page.token) as status:
            await status.told("ready")
            again = await notebook.run(code, "cell-1")
            moved = await status.told("moved")
        code_, reason = await view.socket.closed()
        assert code_ == 4410 and "run again" in reason
        assert notebook.path_of(again.view) == view.path, "the same cell has the same URL"
        assert moved["url"].endswith(view.path)
        ended = await notebook.value("ended")
        assert len(ended) == 1
        async with browser.view(moved["url"]) as new:
            assert new["slider"].value == 1
            await new.set("slider", "value", 2)


async def test_an_app_that_a_cell_does_not_show_any_more_is_ended(browser: Browser, notebook: Notebook) -> None:
    both = await notebook.run("show(sliders); show(sliders)", "cell-1")
    first, second = (notebook.path_of(bundle[VIEW_MIME]) for bundle in both.displays)
    assert first != second
    async with browser.view(second) as view:
        await notebook.run("show(sliders)", "cell-1")
        code, _ = await view.socket.closed()
        assert code == 4410
    assert (await browser.final_page(second)).status == 404


_COUNT = (
    "import gc, asyncio, threading, os\n"
    "from bokeh.document import Document\nfrom bokehmount.session import ServerSession\n"
    "def count():\n"
    "    gc.collect()\n"
    "    kinds = (ServerSession, Document)\n"
    "    found = [sum(isinstance(o, kind) for o in gc.get_objects()) for kind in kinds]\n"
    "    return [*found, len(asyncio.all_tasks()), threading.active_count(), len(os.listdir('/proc/self/fd'))]\n"
)


async def test_twenty_runs_of_a_cell_leave_nothing_behind(browser: Browser, notebook: Notebook) -> None:
    await notebook.run(_COUNT)
    code = (
        "from bokeh.plotting import figure\nplot = figure(); plot.line([1, 2], [1, 2])\n"
        "show(sliders, name='a')\nshow(plot, name='b')\nNone"
    )
    counts: list[list[int]] = []
    for run in range(22):
        await notebook.run(code, "cell-1")
        async with (
            browser.view(f"bokeh/kernels/{notebook.kernel_id}/a") as one,
            browser.view(f"bokeh/kernels/{notebook.kernel_id}/b") as two,
        ):
            assert one.socket.is_open and two.socket.is_open
            if run in (1, 21):
                counts.append(await notebook.value("count()"))
    before, after = counts
    assert all(now <= then + 1 for then, now in zip(before, after, strict=True)), (
        f"sessions, documents, tasks, threads, files: {before} after 2 runs, {after} after 22"
    )
    apps = json.loads((await browser.fetch("bokeh/api/apps")).body)["apps"]
    assert len([app for app in apps if app["kernel_id"] == notebook.kernel_id]) == 2


async def test_pages_and_files_say_how_they_may_be_cached(
    browser: Browser, notebook: Notebook, own_notebook: Notebook
) -> None:
    cell = await notebook.run("show(sliders)")
    page = await browser.final_page(notebook.path_of(cell.view))
    assert page.status == 200
    response = await browser.fetch(notebook.path_of(cell.view))
    assert response.headers["Cache-Control"] == "no-store"
    (script,) = (url for url in page.scripts if "bokeh.min.js" in url)
    assert "?v=" in script and script.startswith(browser.server.base_url)
    versioned = await browser.fetch(script)
    assert versioned.code == 200 and len(versioned.body) > 500_000
    assert versioned.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert versioned.headers["Content-Type"].startswith("text/javascript")
    plain = await browser.fetch(script.partition("?")[0])
    assert plain.headers["Cache-Control"] == "no-cache"
    etag = plain.headers["Etag"]
    unchanged = await browser.fetch(script.partition("?")[0], headers={"If-None-Match": etag})
    assert (unchanged.code, unchanged.body) == (304, b"")
    assert "Set-Cookie" not in unchanged.headers
    # another kernel of the same installation has the same file
    elsewhere = script.partition("?")[0].replace(notebook.kernel_id, own_notebook.kernel_id)
    other = await browser.fetch(elsewhere)
    assert other.code == 200 and other.headers["Etag"] == etag
    missing = await browser.fetch(script.replace("bokeh.min.js", "nothing.js"))
    assert missing.code == 404
    for wicked in (
        "static/../../../etc/passwd",
        "static/%2e%2e/%2e%2e/resources.py",
        "static/js/..%2f..%2fresources.py",
    ):
        refused = await browser.fetch(f"bokeh/kernels/{notebook.kernel_id}/{wicked}")
        assert refused.code in (400, 403, 404), wicked


async def test_autoload_metadata_and_the_list_of_apps(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(
        "from bokeh.application import Application\nfrom bokeh.application.handlers import FunctionHandler\n"
        "show(Application(FunctionHandler(sliders), metadata={'author': 'Ada'}), name='described')"
    )
    path = notebook.path_of(cell.view)
    script = await browser.fetch(f"{path}/autoload.js?bokeh-autoload-element=here&bokeh-app-path=/x")
    assert script.code == 200 and script.headers["Content-Type"].startswith("text/javascript")
    text = script.body.decode()
    assert "here" in text and f"/bokeh/kernels/{notebook.kernel_id}/static/js/bokeh.min.js" in text
    assert (await browser.fetch(f"{path}/autoload.js")).code == 400
    metadata = json.loads((await browser.fetch(f"{path}/metadata")).body)
    assert metadata["data"] == {"author": "Ada"}
    (app,) = json.loads((await browser.fetch("bokeh/api/apps")).body)["apps"]
    assert app["app"] == "/described" and app["kernel_id"] == notebook.kernel_id and app["carrier"] == "socket"
    async with browser.view(f"bokeh/{app['url']}") as view:
        refused = await browser.fetch(f"bokeh/api/kernels/{notebook.kernel_id}/apps/described", "DELETE")
        assert refused.code == 403, "without an XSRF token"
        assert view.socket.is_open
        deleted = await browser.delete(f"bokeh/api/kernels/{notebook.kernel_id}/apps/described")
        assert deleted.code == 204
        code, _ = await view.socket.closed()
        assert code == 4410
    assert json.loads((await browser.fetch("bokeh/api/apps")).body)["apps"] == []
    assert (await browser.delete(f"bokeh/api/kernels/{notebook.kernel_id}/apps/described")).code == 404


async def test_an_app_is_embedded_in_pages_of_the_sites_that_an_administrator_named(
    browser: Browser, notebook: Notebook
) -> None:
    path = notebook.path_of((await notebook.run("show(sliders)")).view)
    script = f"{path}/autoload.js?bokeh-autoload-element=here"
    named = {"Origin": f"https://{PORTAL}"}
    answer = await browser.fetch(script, headers=named)
    assert answer.headers["Access-Control-Allow-Origin"] == named["Origin"] and "Origin" in answer.headers["Vary"]
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    token = answer.body.decode().partition('"token":"')[2].partition('"')[0]
    socket = BokehSocket(await browser.socket(path, ["bokeh", token], named))
    await socket.came("ACK")
    await socket.close()
    other = await browser.fetch(script, headers={"Origin": "https://evil.example"})
    assert other.code == 200 and "Access-Control-Allow-Origin" not in other.headers


async def test_a_page_knows_its_request_but_no_secrets(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run(
        "from bokeh.models import Div\n"
        "import json\n"
        "def curious(doc):\n"
        "    request = doc.session_context.request\n"
        "    seen = dict(arguments={k: [v.decode() for v in vs] for k, vs in request.arguments.items()},\n"
        "                headers=dict(request.headers), cookies=dict(request.cookies))\n"
        "    doc.add_root(Div(name='seen', text=json.dumps(seen)))\n"
        "show(curious)"
    )
    async with browser.view(notebook.path_of(cell.view) + "?who=ada&token=" + browser.server.token) as view:
        seen = json.loads(view["seen"].text)
    assert seen["arguments"] == {"who": ["ada"]} and seen["cookies"] == {}
    assert not {name.lower() for name in seen["headers"]} & {"cookie", "authorization", "x-xsrftoken"}
    everything = view.page.html + view["seen"].text
    assert browser.server.token not in everything
    assert not any(value in everything for value in browser.cookies.values())


async def test_a_view_that_comes_back_in_time_finds_its_session(browser: Browser, notebook: Notebook) -> None:
    async with shown(browser, notebook, "handle = show(sliders)") as view:
        await view.set("slider", "value", 6)
        await view.socket.cut()
        await view.connect()
        assert view["slider"].value == 6 and follows_slider(view, 6)
        assert await notebook.value("len(handle.sessions)") == 1


async def test_show_says_what_it_takes(notebook: Notebook) -> None:
    for wrong in (
        "42",
        "None",
        "[1]",
        "'/no/such/file.py'",
        "sliders, width=0",
        "sliders, width=400.5",
        "sliders, new='window'",
        "sliders, name='a b'",
    ):
        cell = await notebook.run(f"show({wrong})", fails=True)
        assert cell.error is not None and cell.error.split(":")[0] in (
            "TypeError",
            "ValueError",
            "FileNotFoundError",
        ), wrong
        assert not cell.displays
    cell = await notebook.run("show(sliders, width=800 / 2, height=np.int64(300))")
    assert (cell.view["width"], cell.view["height"]) == (400, 300)


async def test_a_thread_is_told_that_apps_live_on_the_main_thread(notebook: Notebook) -> None:
    await notebook.run(
        "from bokeh.models import Div\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "text = Div(text='whole')\nthread = ThreadPoolExecutor(1)\nhandle = show(sliders)"
    )
    by_magic = "get_ipython().run_line_magic, 'bokehmount', f'close {handle.name}'"
    for call in ("show, text", "handle.close", by_magic):
        cell = await notebook.run(f"thread.submit({call}).result()", fails=True)
        assert cell.error is not None and cell.error.startswith("RuntimeError") and "main thread" in cell.error
    cell = await notebook.run("show(text)")
    await notebook.run("text.text = 'whole still'")


FORKING = """
import os
moves, children = [], []
def forking(doc):
    sliders(doc)
    def moved(attr, old, new):
        moves.append(new)
        child = os.fork()
        if child:
            children.append(child)
    doc.get_model_by_name('slider').on_change('value', moved)
"""


async def test_a_callback_that_forks_and_forgets_leaves_one_kernel(browser: Browser, own_notebook: Notebook) -> None:
    async with shown(browser, own_notebook, f"{FORKING}show(forking)") as view:
        for value in (2, 3, 4):
            assert (await view.set("slider", "value", value)).kind == "OK"
        assert await own_notebook.value("[os.waitpid(child, 0)[1] for child in children]") == [0, 0, 0]
        assert await own_notebook.value("moves") == [2, 3, 4]
        assert (await view.set("slider", "value", 5)).kind == "OK"
        assert len([message for message in view.socket.messages if message.kind == "OK"]) == 4


async def test_bokehmount_can_be_unloaded_and_loaded_again(browser: Browser, own_notebook: Notebook) -> None:
    async with shown(browser, own_notebook, "show(sliders, name='a')") as view:
        await own_notebook.run("%unload_ext bokehmount")
        code, _ = await view.socket.closed()
        assert code in (4410, 4503)
    page = await browser.final_page(view.path)
    assert page.status in (404, 503) and page.data("text")
    async with shown(browser, own_notebook, SETUP + "show(sliders, name='a')") as view:
        await view.set("slider", "value", 3)
        await view.shows("sin(3x)", lambda view: follows_slider(view, 3))


async def test_a_kernel_shows_the_same_app_to_many_views_at_once(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run("handle = show(sliders)")
    views = [AppView(browser, notebook.path_of(cell.view)) for _ in range(8)]
    await asyncio.gather(*(view.open() for view in views))
    await asyncio.gather(*(view.set("slider", "value", index + 1) for index, view in enumerate(views)))
    for index, view in enumerate(views):
        await view.shows(f"sin({index + 1}x)", partial(follows_slider, value=index + 1))
    assert await notebook.value("len(handle.sessions)") == 8
    for view in views:
        await view.close()


@pytest.mark.parametrize("new", ["tab"])
async def test_an_app_in_a_tab_of_its_own(
    browser: Browser, notebook: Notebook, server: JupyterServer, new: str
) -> None:
    cell = await notebook.run(SLIDERS + f"handle = show(sliders, new={new!r}); print(handle.url)")
    (bundle,) = cell.displays
    assert VIEW_MIME not in bundle and "window.open" in bundle["text/html"]
    (first,), (second,) = cell.contents("display_data"), cell.contents("update_display_data")
    assert "window.open" not in second["data"]["text/html"], "what is saved opens nothing"
    assert first["transient"] == second["transient"]
    async with browser.view(cell.text.strip()) as view:
        await view.set("slider", "value", 2)


async def test_the_static_folder_of_an_app_directory_is_served(
    browser: Browser, notebook: Notebook, tmp_path: Path
) -> None:
    folder = tmp_path / "dashed"
    (folder / "static").mkdir(parents=True)
    (folder / "main.py").write_text(
        "from bokeh.plotting import curdoc\nfrom bokeh.models import Div\ncurdoc().add_root(Div())"
    )
    (folder / "static" / "style.css").write_text("body { color: red }")
    (folder / "secret.txt").write_text("secret")
    cell = await notebook.run(f"show({str(folder)!r})")
    async with browser.view(notebook.path_of(cell.view)) as view:
        assert view.path.endswith("/dashed")
        busy = await notebook.start("import time\ntime.sleep(2)")
        style = await browser.fetch(f"{view.path}/static/style.css")
        assert (style.code, style.body) == (200, b"body { color: red }")
        assert style.headers["Content-Type"] == "text/css" and not busy.ended.is_set()
        for wrong in ("static/none.css", "static/..%2Fsecret.txt", "static/%2e%2e/secret.txt"):
            assert (await browser.fetch(f"{view.path}/{wrong}")).code == 404
        await busy.end()
