"""What only Panel knows of its apps: which of them are its own, and which files and styles their pages need."""

from __future__ import annotations

import sys
from typing import Any

from bokeh.core.templates import FILE
from bokeh.document import Document
from bokeh.embed.bundle import Bundle
from bokeh.model import Model
from bokeh.resources import Resources

__all__ = ("bundle_of_panel", "is_of_panel", "template_of_panel", "with_spinner")


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


def template_of_panel(document: Document) -> tuple[Any, dict[str, Any]]:
    """The template of a page and its variables, as Panel's own server has them; a page may have a dark background."""
    from panel.config import config
    from panel.io.resources import BASE_TEMPLATE, CDN_DIST
    from panel.io.state import set_curdoc

    with set_curdoc(document):
        variables = {**document.template_variables, "theme_name": config.theme}
    if str(variables.get("app_favicon", "")).lstrip("./") == "favicon.ico":  # which its own server has at its root
        variables["app_favicon"] = f"{variables.get('dist_url', CDN_DIST)}images/favicon.ico"
    return (BASE_TEMPLATE if document.template is FILE else document.template), variables


def with_spinner(document: Document, html: str) -> str:
    """A page that turns a wheel until it is drawn, where ``pn.extension(global_loading_spinner=True)`` asks for it."""
    from panel.config import config
    from panel.io.loading import LOADING_INDICATOR_CSS_CLASS
    from panel.io.state import set_curdoc

    with set_curdoc(document):
        is_wanted, spinner = config.global_loading_spinner, config.loading_spinner
    body = f'<body class="{LOADING_INDICATOR_CSS_CLASS} pn-{spinner}">'
    return html.replace("<body>", body, 1) if is_wanted else html
