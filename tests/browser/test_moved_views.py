"""A view whose cell is moved, hidden or taken out: the browser loads it anew, and its user finds it as it was."""

from __future__ import annotations

import time
from functools import partial

import pytest
from playwright.sync_api import Browser

from .apps import LOAD, POWER
from .conftest import OpenNotebook
from .driver import Lab, Notebook, View, eventually, running_jupyter

MOVES = {
    "moved down": (["notebook:move-cell-down"], 2),
    "moved up": (["notebook:move-cell-up"], 0),
    "hidden and shown": (["notebook:hide-cell-outputs", "notebook:show-cell-outputs"], 1),
    "cut and pasted": (["notebook:cut-cell", "notebook:paste-cell-below"], 2),
    "deleted and brought back": (["notebook:delete-cell", "notebook:undo-cell-action"], 1),
}


def squared(notebook: Notebook, index: int) -> View:
    """The view in a cell, when its user has set its power to two."""
    view = notebook.view(index).wait_drawn()
    view.set("power", "value", 2)
    eventually("the line to be squares", partial(view.has_column, "line", "y", [1, 4, 9]), page=view.page)
    # to find out whether this page has been replaced
    view.frame.evaluate("() => { window.isTheFirst = true }")
    return view


def wait_anew(view: View) -> View:
    """Until the view shows its app in a page that was loaded since `squared`."""
    eventually("another page", lambda: not view.frame.evaluate("() => window.isTheFirst"), page=view.page)
    return view.wait_drawn()


@pytest.mark.parametrize(("commands", "index"), MOVES.values(), ids=MOVES.keys())
def test_a_cell_that_is_moved_or_hidden_keeps_what_its_user_did(
    open_notebook: OpenNotebook, lab: Lab, commands: list[str], index: int
) -> None:
    notebook = open_notebook(LOAD, POWER, "'another cell'")
    notebook.run(0)
    notebook.run(1)
    squared(notebook, 1)
    session = notebook.python("[session.id for session in view.sessions]")
    notebook.cell(1)
    for command in commands:
        notebook.command(command)
    view = wait_anew(notebook.view(index))
    assert view.column("line", "y") == [1, 4, 9] and view.js("model('power').value") == 2
    assert notebook.python("[session.id for session in view.sessions]") == session
    view.set("power", "value", 3)
    eventually("the app to work on", partial(view.has_column, "line", "y", [1, 8, 27]), page=lab.page)

    assert view.iframe is not None
    assert "token" not in view.iframe.evaluate("frame => frame.outerHTML + frame.contentWindow.location.href")
    notebook.save()
    assert "token" not in (lab.server.work / notebook.path).read_text()


def test_a_copy_of_a_cell_is_a_view_of_its_own(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(LOAD, POWER)
    notebook.run(0)
    notebook.run(1)
    squared(notebook, 1)
    notebook.cell(1)
    notebook.command("notebook:copy-cell")
    notebook.command("notebook:paste-cell-below")
    copy = notebook.view(2).wait_drawn()
    assert copy.column("line", "y") == [1, 2, 3]
    assert notebook.view(1).column("line", "y") == [1, 4, 9]
    assert notebook.python("len(view.sessions)") == 2


def test_running_a_moved_cell_again_begins_anew(open_notebook: OpenNotebook, lab: Lab) -> None:
    notebook = open_notebook(LOAD, POWER, "'another cell'")
    notebook.run(0)
    notebook.run(1)
    squared(notebook, 1)
    notebook.cell(1)
    notebook.command("notebook:move-cell-down")
    wait_anew(notebook.view(2))
    (before,) = notebook.python("[session.id for session in view.sessions]")
    notebook.run(2)
    view = notebook.view(2).wait_drawn()
    assert view.column("line", "y") == [1, 2, 3]
    (after,) = eventually(
        "its session", lambda: notebook.python("[session.id for session in view.sessions]"), page=lab.page
    )
    assert after != before


def test_an_app_whose_output_is_hidden_lives_on_until_it_is_closed(open_notebook: OpenNotebook, lab: Lab) -> None:
    notebook = open_notebook(LOAD, POWER)
    notebook.run(0)
    notebook.run(1)
    squared(notebook, 1)
    notebook.cell(1)
    notebook.command("notebook:hide-cell-outputs")
    # whose view is left later ends later
    tab = lab.tab(notebook.python("view.url")).wait_drawn()
    tab.page.close()
    eventually("the tab's session to be over", lambda: len(notebook.python("destroyed")) == 1, page=lab.page)
    assert notebook.python("len(view.sessions)") == 1
    notebook.command("notebook:show-cell-outputs")
    assert wait_anew(notebook.view(1)).column("line", "y") == [1, 4, 9]
    eventually(
        "one connection, the page's own",
        lambda: notebook.python("view.sessions[0].connection_count") == 1,
        page=lab.page,
    )

    notebook.command("notebook:hide-cell-outputs")
    notebook.command("notebook:clear-cell-output")
    # soon, as after any goodbye: a connection that broke would be waited for much longer
    eventually("the session to be over", lambda: len(notebook.python("destroyed")) == 2, page=lab.page)


def test_a_view_whose_session_ended_meanwhile_says_so_and_can_begin_anew(
    tmp_path_factory: pytest.TempPathFactory, browser: Browser
) -> None:
    root = tmp_path_factory.mktemp("short")  # sockets have names of 107 characters at most
    with running_jupyter(root, "--BokehMount.token_lifetime=2") as server:
        lab = Lab(browser, server)
        notebook = lab.notebook(LOAD, POWER)
        notebook.run(0)
        notebook.run(1)
        squared(notebook, 1)
        drawn = time.monotonic()
        eventually("its token to open no new session", lambda: time.monotonic() > drawn + 2, page=lab.page)
        notebook.cell(1)
        notebook.command("notebook:cut-cell")
        eventually("its session to be over", lambda: notebook.python("len(view.sessions)") == 0, page=lab.page)
        notebook.command("notebook:paste-cell-below")
        view = notebook.view(1)
        view.wait_says("session has ended", state="ended")
        assert notebook.python("len(view.sessions)") == 0, "no app runs again in silence"
        view.frame.get_by_role("button", name="Try again").click()
        view.wait_drawn()
        assert view.column("line", "y") == [1, 2, 3]
        view.set("power", "value", 3)
        eventually("the app to work", partial(view.has_column, "line", "y", [1, 8, 27]), page=lab.page)
        notebook.close()
        lab.close()
