"""Starts a real Jupyter server and drives JupyterLab or Notebook 7 in headless Chromium, as a user would.

Nothing here waits for a length of time: each wait names the condition, and its failure says what did not come about.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from playwright.sync_api import Browser, Frame, Locator, Page
from playwright.sync_api import Error as BrowserError

T = TypeVar("T")

TOKEN = "browser-test-token"

BASE_URL = "/user/ada@example/"
"""Neither the root nor plain letters, as under a hub."""

_KERNEL_READY = """path => {
  const w = window.jupyterapp?.shell?.currentWidget, s = w?.sessionContext;
  return w?.context?.path === path && w.context.isReady && s?.isReady
    && s.session?.kernel?.connectionStatus === 'connected' && s.session.kernel.status === 'idle';
}"""

# Runs code in the notebook's kernel and evaluates an expression after it; the answer to the question itself is a repr,
# so the value travels as JSON.
_ASK_KERNEL = """async ({code, expression}) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const future = kernel.requestExecute({
    code, silent: true, store_history: false, allow_stdin: false,
    user_expressions: {value: `__import__('json').dumps(${expression})`},
  });
  const {content} = await future.done;
  const {status, ename, evalue, traceback} = content;
  if (status !== 'ok') throw new Error(`${ename}: ${evalue}\\n${(traceback || []).join('\\n')}`);
  const {value} = content.user_expressions;
  if (value.status !== 'ok') throw new Error(`${value.ename}: ${value.evalue}`);
  return value.data['text/plain'];
}"""


def eventually(what: str, condition: Callable[[], Any], timeout: float = 45.0, page: Page | None = None) -> Any:
    """Wait until a condition holds and return its value; errors of a page that is being replaced count as 'not yet'."""
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (BrowserError, KeyError, IndexError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s for {what}; last seen: {last!r}")
        if page is not None:
            page.wait_for_timeout(40)  # lets playwright handle events meanwhile
        else:
            time.sleep(0.04)


def notebook(*sources: str) -> dict[str, Any]:
    """A notebook of code cells."""
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
        for i, source in enumerate(sources)
    ]
    return {
        "cells": cells,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Jupyter:
    """A running Jupyter server.

    Args:
        port: where it listens, on the loopback
        work: its notebooks
        state: its configuration, log and all else that it writes
    """

    port: int
    work: Path
    state: Path

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base(self) -> str:
        return self.origin + BASE_URL

    @property
    def log(self) -> str:
        return (self.state / "server.log").read_text()

    def ask(self, path: str, method: str = "GET") -> Any:
        """Ask its REST API as the user."""
        request = urllib.request.Request(self.base + path, method=method, headers={"Authorization": f"token {TOKEN}"})
        with urllib.request.urlopen(request, timeout=20) as response:
            body = response.read()
        return json.loads(body) if body else None

    def apps(self) -> list[dict[str, Any]]:
        """What the Running panel would list."""
        return list(self.ask("bokeh/api/apps")["apps"])

    @contextlib.contextmanager
    def without_labextension(self) -> Iterator[None]:
        """Pages that are loaded meanwhile lack our labextension."""
        config = self.state / "config/labconfig/page_config.json"
        before = config.read_text()
        content = json.loads(before)
        content["disabledExtensions"]["bokehmount"] = True
        config.write_text(json.dumps(content))
        try:
            yield
        finally:
            config.write_text(before)


@contextlib.contextmanager
def running_jupyter(root: Path, *options: str) -> Iterator[Jupyter]:
    """A Jupyter server with JupyterLab and Notebook 7 under `BASE_URL`; the home directory is left alone."""
    state, work = root / "state", root / "work"
    work.mkdir(parents=True)
    (state / "config/labconfig").mkdir(parents=True)
    no_news = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (state / "config/labconfig/page_config.json").write_text(json.dumps(no_news))
    env = dict(
        os.environ,
        JUPYTER_CONFIG_DIR=str(state / "config"),
        JUPYTER_RUNTIME_DIR=str(state / "runtime"),
        JUPYTER_DATA_DIR=str(state / "data"),
        JUPYTERLAB_SETTINGS_DIR=str(state / "settings"),
        JUPYTERLAB_WORKSPACES_DIR=str(state / "workspaces"),
        IPYTHONDIR=str(state / "ipython"),
        PYDEVD_DISABLE_FILE_VALIDATION="1",
        # in the venv's own bin is the kernel that has bokehmount
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    port = _free_port()
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
        *("--ServerApp.port_retries=0", f"--ServerApp.base_url={BASE_URL}", f"--IdentityProvider.token={TOKEN}"),
        *(f"--ServerApp.root_dir={work}", "--LabApp.expose_app_in_browser=True"),
        *("--JupyterNotebookApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"),
        *("--BokehMount.linger=5", "--LanguageServerManager.autodetect=False", "--KernelManager.transport=ipc"),
        *options,
    ]
    with (state / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=work)
    server = Jupyter(port, work, state)

    def answers() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"the Jupyter server ended at once:\n{server.log[-3000:]}")
        try:
            server.ask("api")
        except OSError:
            return False
        return True

    try:
        eventually("the Jupyter server to answer", answers, 60)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class View:
    """A view in a notebook's output, or a tab.

    Args:
        page: the browser's page
        find: finds the frame that shows the app, as a locator of an iframe; the page itself where None
    """

    def __init__(self, page: Page, find: Locator | None = None) -> None:
        self.page = page
        self.iframe = find

    @property
    def frame(self) -> Frame:
        """The frame in which the app's page is now."""
        if self.iframe is None:
            return self.page.main_frame
        handle = self.iframe.element_handle(timeout=45000)
        frame = handle.content_frame()
        assert frame is not None, "an iframe has a frame"
        return frame

    def js(self, expression: str, arg: Any = None) -> Any:
        """Evaluate JavaScript in the app's page; ``doc`` is its Document, ``model(name)`` finds by name or title."""
        return self.frame.evaluate(
            f"""arg => {{
              const doc = window.Bokeh?.documents?.[0];
              const all = doc ? [...doc._all_models.values()] : [];
              const model = name => {{
                const found = all.find(m => m.name === name)
                  ?? all.find(m => m.title === name || m.title?.text === name);
                if (!found) throw new Error('no model is called ' + name);
                return found;
              }};
              return ({expression});
            }}""",
            arg,
        )

    def column(self, source: str, name: str) -> list[Any]:
        """A column of a source, as the browser has it."""
        return list(self.js("[...model(arg[0]).data[arg[1]]]", [source, name]))

    def has_column(self, source: str, name: str, values: list[Any]) -> bool:
        """Whether that column holds these values."""
        return self.column(source, name) == values

    def set(self, model: str, name: str, value: Any) -> None:
        """Set a property in BokehJS, as its widgets do."""
        self.js("void (model(arg[0])[arg[1]] = arg[2])", [model, name, value])

    def status(self) -> dict[str, str]:
        """What the view says in words: its state, text and detail."""
        return dict(
            self.frame.evaluate(
                """() => {
                  const words = (name, what) => {
                    const host = document.querySelector(`[data-bokehmount=${name}]`);
                    const box = host?.shadowRoot.querySelector('section');
                    return !box || box.hidden ? '' : box.querySelector(what).textContent;
                  };
                  return {
                    state: document.querySelector('[data-bokehmount=status]')?.dataset.state ?? 'none',
                    text: words('status', 'span'), detail: words('status', 'pre'),
                    output: words('output', 'span'), printed: words('output', 'pre'),
                  };
                }"""
            )
        )

    def wait_drawn(self, timeout: float = 30) -> View:
        """Until the app's page has drawn its Document and says nothing of trouble."""

        def drawn() -> bool:
            return bool(
                self.js("doc && doc.roots().length > 0")
                and self.frame.evaluate(
                    "() => document.querySelector('[data-root-id]')?.shadowRoot != null || "
                    "document.querySelector('[data-root-id]')?.childElementCount > 0"
                )
                and self.status()["text"] == ""
            )

        try:
            eventually("the app to be drawn", drawn, timeout, self.page)
        except AssertionError as error:
            raise AssertionError(f"{error}; the view says {self._words()}") from None
        return self

    def wait_says(self, *parts: str, state: str | None = None, timeout: float = 15) -> dict[str, str]:
        """Until the view says this."""

        def says() -> dict[str, str] | None:
            now = self.status()
            text = "\n".join(now.values())
            return now if all(part in text for part in parts) and state in (None, now["state"]) else None

        try:
            return dict(eventually(f"the view to say {parts} (state {state})", says, timeout, self.page))
        except AssertionError as error:
            raise AssertionError(f"{error}; it says {self._words()}") from None

    def _words(self) -> str:
        try:
            return f"{self.status()!r} at {self.frame.url}"
        except Exception as error:
            return f"nothing ({error})"


class Notebook:
    """One notebook that is open in JupyterLab or Notebook 7.

    Args:
        page: the browser's page, in which this notebook is the current widget
        path: its path on the server
        server: the server
    """

    def __init__(self, page: Page, path: str, server: Jupyter) -> None:
        self.page = page
        self.path = path
        self.server = server

    def wait_ready(self) -> Notebook:
        """Until its kernel is connected and idle; a cell that is run earlier is lost."""
        self.page.wait_for_function(_KERNEL_READY, arg=self.path, timeout=60000)
        return self

    def command(self, name: str, **args: Any) -> Any:
        """Execute a command of the front end."""
        return self.page.evaluate(
            "({name, args}) => window.jupyterapp.commands.execute(name, args).then(() => null)",
            {"name": name, "args": args},
        )

    def start(self, index: int) -> None:
        """Run a cell, and wait until it has begun, not until it ends."""
        self.page.evaluate(
            """index => {
              const {content} = window.jupyterapp.shell.currentWidget;
              content.deselectAll?.();
              content.activeCellIndex = index;
              content.widgets[index].model.executionCount = null;
              void window.jupyterapp.commands.execute('notebook:run-cell');
            }""",
            index,
        )
        self.page.wait_for_function(
            """index => {
              const {content, sessionContext} = window.jupyterapp.shell.currentWidget;
              const hasEnded = content.widgets[index].model.executionCount !== null;
              return hasEnded || sessionContext.session?.kernel?.status === 'busy';
            }""",
            arg=index,
            timeout=15000,
        )

    def run(self, index: int, timeout: float = 30) -> None:
        """Run a cell and wait until it has ended."""
        self.start(index)
        self.wait_ran(index, timeout)

    def wait_ran(self, index: int, timeout: float = 30) -> None:
        """Until a cell that was started has ended."""
        eventually(f"cell {index} of {self.path} to end", lambda: self.execution(index) is not None, timeout, self.page)

    def execution(self, index: int) -> int | None:
        """The number of a cell's last execution; None while it runs and where it never ran."""
        found: int | None = self.page.evaluate(
            """index => {
              const cell = window.jupyterapp.shell.currentWidget.content.widgets[index];
              return cell.model.executionState === 'running' ? null : cell.model.executionCount;
            }""",
            index,
        )
        return found

    def edit(self, index: int, source: str) -> None:
        """Replace a cell's source."""
        self.page.evaluate(
            "([index, source]) => window.jupyterapp.shell.currentWidget.content.widgets[index]"
            ".model.sharedModel.setSource(source)",
            [index, source],
        )

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """A cell's outputs, as they would be saved."""
        return list(
            self.page.evaluate(
                "index => window.jupyterapp.shell.currentWidget.content.widgets[index].model.outputs?.toJSON() ?? []",
                index,
            )
        )

    def text(self, index: int) -> str:
        """What a cell printed, and its tracebacks."""
        return "".join(
            "".join(output.get("text", ""))
            if output["output_type"] == "stream"
            else "\n".join(output.get("traceback", []))
            for output in self.outputs(index)
        )

    def cell(self, index: int) -> Locator:
        """A cell in the page, scrolled to."""
        self.page.evaluate(
            """index => {
              const {content} = window.jupyterapp.shell.currentWidget;
              content.activeCellIndex = index;
              return content.scrollToItem?.(index, 'start');
            }""",
            index,
        )
        panel = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        return panel.locator(f".jp-Cell[data-windowed-list-index='{index}']")

    def view(self, index: int, nth: int = 0) -> View:
        """The view in a cell's output."""
        return View(self.page, self.cell(index).locator("iframe").nth(nth))

    def python(self, expression: str, code: str = "") -> Any:
        """Evaluate an expression in the kernel, after some code; waits behind a running cell."""
        answer = self.page.evaluate(_ASK_KERNEL, {"code": code, "expression": expression})
        return json.loads(eval(answer))

    @property
    def kernel_id(self) -> str:
        """Its kernel."""
        return str(self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.id"))

    def save(self) -> None:
        """Save it."""
        self.command("docmanager:save")

    def restart_kernel(self) -> None:
        """Restart the kernel without the question."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        self.wait_ready()

    def close(self) -> None:
        """End the kernel and close the notebook, without questions."""
        self.page.evaluate(
            """async () => {
              const widget = window.jupyterapp.shell.currentWidget;
              await widget.context.save();
              await widget.sessionContext.shutdown();
              widget.dispose();
            }"""
        )


class Lab:
    """One page of JupyterLab, in which notebooks are opened one after the other.

    Args:
        browser: the browser
        server: the server
        path: opens Notebook 7 with this notebook, or JupyterLab where None
    """

    def __init__(self, browser: Browser, server: Jupyter, *, classic: str | None = None, **context: Any) -> None:
        self.server = server
        self.context = browser.new_context(viewport={"width": 1200, "height": 1000}, reduced_motion="reduce", **context)
        self.requests: list[str] = []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.page = self.context.new_page()
        self.console: list[str] = []
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.console.append(f"pageerror: {error}"))
        self._count = 0
        self._classic = classic
        self.load()

    def load(self) -> None:
        """Load the front end anew."""
        where = "lab?reset&" if self._classic is None else f"notebooks/{self._classic}?"
        self.page.goto(f"{self.server.base}{where}token={TOKEN}")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=60000)
        self.page.wait_for_function(
            "() => window.jupyterapp && window.jupyterapp.restored.then(() => true)", timeout=60000
        )

    def notebook(self, *sources: str, name: str | None = None, ready: bool = True) -> Notebook:
        """Write a notebook and open it."""
        self._count += 1
        path = name or f"{os.urandom(4).hex()}.ipynb"
        if sources:
            (self.server.work / path).write_text(json.dumps(notebook(*sources)))
        opened = Notebook(self.page, path, self.server)
        if self._classic is None:
            opened.command("docmanager:open", path=path, factory="Notebook")
        return opened.wait_ready() if ready else opened

    def tab(self, path: str) -> View:
        """Open an address below the base URL in another tab of the same browser."""
        page = self.context.new_page()
        page.goto(self.server.base + path)
        return View(page)

    def assert_stayed_home(self) -> None:
        """No request has gone anywhere but to the server."""
        foreign = [url for url in self.requests if not url.startswith((self.server.origin, "data:", "blob:", "about:"))]
        assert not foreign, f"requests that left the server: {foreign[:5]}"
        assert self.requests, "a page makes requests"

    def close(self) -> None:
        """Close all its pages."""
        self.context.close()
