"""``jupyter bokehmount PATH…``: a Jupyter server with these apps, and nothing to configure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Final

from bokehmount.applications import application_of

from .app import BokehMount
from .jupyter_apps import check_free
from .sources import app_path_of

__all__ = ("main",)

HELP: Final = dedent(
    """\
    usage: jupyter bokehmount [PATH ...] [options]

    Serve Bokeh apps from a Jupyter server, behind its login.

    Each PATH is an app: a .py script, an .ipynb notebook, or a folder with a main.py in it.  The app apps/sliders.py
    is then at http://localhost:8888/bokeh/sliders.  Without a PATH there are only the apps that notebooks show.

    examples:
      jupyter bokehmount sliders.py              one app; a browser opens at it
      jupyter bokehmount apps/*.py --port 9000   several; a browser opens at the list of them
      jupyter bokehmount sliders.py --no-browser --ip 0.0.0.0
                                                 on a server, for yourself and those whom you trust with it

    options:
      --port NUMBER          the port to listen on (8888)
      --ip ADDRESS           the address to listen on (localhost)
      --no-browser           open no browser
      --linger SECONDS       how long a session outlives a page that was closed (15)
      --config FILE          a configuration file, in which c.BokehMount.apps = {"/sliders": "apps/sliders.py"} names
                             the apps too
      --help                 this text
      --help-all             every setting of the extension and of the Jupyter server

    Whoever opens an app logs in as in JupyterLab: with the token in the address that is printed at the start, or with a
    password (jupyter server password).  Whoever may log in may run code as you, in the server's terminals and kernels.
    For strangers use bokehmount_server.server.Server with an auth provider, or a Jupyter IdentityProvider that knows
    them and an Authorizer that allows them the resource "bokeh" alone.
    """
)

_VALUES: Final = {"--port", "--ip", "--linger", "--config", "--log-level", "--certfile", "--keyfile"}
"""Options whose value may stand by itself behind them."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    paths, options = split(arguments)
    if "--help" in options or "-h" in options:
        print(HELP, end="")
        return
    try:
        given = _app_options(paths)  # here, because a server goes on without an extension that raises
    except (ValueError, FileNotFoundError) as error:
        print(f"jupyter bokehmount: {error}{_advice(arguments)}", file=sys.stderr)
        raise SystemExit(2) from error
    BokehMount.launch_instance([*options, *given])  # type: ignore[no-untyped-call]


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Paths, and all the rest."""
    paths: list[str] = []
    options: list[str] = []
    for place, argument in enumerate(arguments):
        is_value = place > 0 and arguments[place - 1] in _VALUES
        (options if argument.startswith("-") or is_value else paths).append(argument)
    return paths, options


def _advice(arguments: list[str]) -> str:
    """What else to say of an app that is none: it may have been meant as the value of an option."""
    for option, path in pairwise(arguments):
        if option.startswith("--") and "=" not in option and option not in _VALUES and not path.startswith("-"):
            return f"; if {path!r} is the value of {option}, write {option}={path}"
    return ""


def _app_options(paths: list[str]) -> list[str]:
    by_url: dict[str, str] = {}
    for path in paths:
        application_of(Path(path).expanduser())
        url = app_path_of(path)
        check_free(url)
        if url in by_url:
            raise ValueError(f"{by_url[url]!r} and {path!r} would both be at {url}: rename one of them")
        by_url[url] = path
    return [f"--BokehMount.apps={url}={path}" for url, path in by_url.items()]
