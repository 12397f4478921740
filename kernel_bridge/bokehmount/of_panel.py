"""What only Panel knows of its apps: which of them are its own, and which files and styles their pages need."""

from __future__ import annotations

import sys
from typing import Any

from bokeh.document import Document
from bokeh.embed.bundle import Bundle
from bokeh.model import Model
from bokeh.resources import Resources

__all__ = ("bundle_of_panel", "is_of_panel")


def is_of_panel(shown: Document | Model) -> bool:
    """Whether there is a model of Panel's in it; Panel is not imported to find out."""
    if "panel.io.resources" not in sys.modules:
        return False
    models = shown.models if isinstance(shown, Document) else shown.references()
    return any(type(model).__module__.startswith("panel.") for model in models)


def bundle_of_panel(document: Document, resources: Resources) -> Bundle:
    """The scripts and styles of a page, as Panel's own server has them: those of the extensions that were asked for,
    with ``pn.extension(raw_css=…, css_files=…, notifications=…)`` and what components bring."""
    from panel.io.resources import bundle_resources
    from panel.io.state import set_curdoc

    with set_curdoc(document):
        bundle: Any = bundle_resources(document.roots, resources, enable_mathjax=True)  # a callback may need it later
    return bundle  # type: ignore[no-any-return]  # Panel has no types for it
