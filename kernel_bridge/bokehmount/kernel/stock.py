"""Lets stock ``output_notebook(); show(app)`` of `bokeh.io` take our road.  Figures stay Bokeh's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bokeh.io import notebook

__all__ = ("install_hook", "remove_hook")


def install_hook(show: Callable[[Any, str | None, int | None, int | None, str | None], Any]) -> None:
    """Have Bokeh show apps through a function that takes what `bokehmount.show` takes."""

    def show_app(app: Any, state: Any, notebook_url: Any = None, port: int = 0, **ignored: Any) -> None:
        """``notebook_url``, ``port`` and the other settings of a server of its own mean nothing here."""
        show(app, None, None, None, None)

    notebook.install_notebook_hook("jupyter", notebook.load_notebook, notebook.show_doc, show_app, overwrite=True)


def remove_hook() -> None:
    """Have Bokeh show apps as it did before."""
    notebook.install_notebook_hook(
        "jupyter", notebook.load_notebook, notebook.show_doc, notebook.show_app, overwrite=True
    )
