"""What only Panel knows of its apps: which of them are its own, and which files and styles their pages need."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import quote, urlencode

from bokeh.core.templates import FILE
from bokeh.document import Document
from bokeh.embed.bundle import Bundle
from bokeh.model import Model
from bokeh.models import ImportedStyleSheet
from bokeh.resources import Resources

__all__ = (
    "bundle_of_panel",
    "component_file",
    "has_template",
    "is_of_panel",
    "take_styles_from_server",
    "tell_address",
    "template_of_panel",
    "with_spinner",
)


def is_of_panel(shown: Document | Model) -> bool:
    """Whether there is a model of Panel's in it; Panel is not imported to find out."""
    if "panel.io.resources" not in sys.modules:
        return False
    models = shown.models if isinstance(shown, Document) else shown.references()
    return any(type(model).__module__.startswith("panel.") for model in models)


def has_template(document: Document) -> bool:
    """Whether Panel has a template for it, as by ``pn.extension(template=…)``, which fills it when its app is done."""
    if "panel.io.resources" not in sys.modules:
        return False
    from panel.io.state import state

    return document in state._templates


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
        of_design = getattr(config.design, "_template_variables", {})  # since Panel 1.10
        variables = {**of_design, **document.template_variables, "theme_name": config.theme}
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


def tell_address(document: Document, request: Any) -> None:
    """Have ``pn.state.location`` know the address of the page while its app runs: Panel asks only Bokeh's own requests.

    Args:
        document: the session's Document, which is still empty
        request: what the app may know of the request
    """
    if "panel.io.resources" not in sys.modules:
        return
    from panel.io.state import set_curdoc, state
    from panel.util.parameters import edit_readonly

    protocol, host, path = (getattr(request, name, "") for name in ("protocol", "host", "path"))
    path = _END.sub("", path) or "/"
    asked = {name: values for name, values in request.arguments.items() if not name.startswith("bokeh-")}
    # Tornado reads names, not values, as Latin-1
    query = urlencode(asked, doseq=True, encoding="latin-1", errors="replace", quote_via=quote)
    told = {"pathname": path, "search": f"?{query}" if query else ""}
    if host:
        told["hostname"], told["port"] = _HOST.fullmatch(host).groups("")  # type: ignore[union-attr]  # all match
    if protocol:
        told["protocol"] = f"{protocol}:"
    with set_curdoc(document):
        location: Any = state.location
        with edit_readonly(location):
            location.param.update(**told, href=f"{protocol}://{host}{path}{told['search']}")


def take_styles_from_server(document: Document) -> None:
    """Have all models of a new Document take Panel's style sheets from where its files are: Panel asks only most of its
    components where that is, and not a divider, which would take its own from Panel's CDN."""
    files = document.template_variables.get("dist_url")
    if files is None or "panel.io.resources" not in sys.modules:
        return
    from panel.io.resources import patch_stylesheet

    for sheet in document.select({"type": ImportedStyleSheet}):
        patch_stylesheet(sheet, files)  # type: ignore[no-untyped-call]  # Panel has no types for it


_END: Final = re.compile(r"/(ws|autoload\.js)$")
"""What an app's other requests have behind the address of its page, any of which may come first."""

_HOST: Final = re.compile(r"(.*?)(?::(\d+))?", re.DOTALL)
"""A host as in the header of that name, and its port where it has one."""

_LISTING: Final = (
    *("_stylesheets", "_bundle_path", "_bundle_css"),
    *("_css", "_js", "css", "base_css", "modifiers"),
    *("__css__", "__javascript__", "__javascript_modules__"),
)
"""Where classes of Panel's components, templates and designs name their files."""


def component_file(path: str) -> Path | None:
    """The file that Panel names in pages by this address below ``components/``, which begins with a module and a class.

    Returns:
        the file, or None where it is none that the class names; no module is imported to find out
    """
    if "panel.io.resources" not in sys.modules:
        return None
    name_of_module, _, rest = path.partition("/")
    module = sys.modules.get(name_of_module)
    if not isinstance(module, ModuleType):
        return None
    component = vars(module).get(rest.partition("/")[0])  # no getattr: a module's own __getattr__ may import or raise
    if not isinstance(component, type):
        return None
    from panel.io.resources import COMPONENT_PATH, component_resource_path, resolve_custom_path
    from param import Parameterized

    if not issubclass(component, Parameterized):
        return None
    asked = f"/{COMPONENT_PATH}{path}"
    for attribute, name in _listed(component):
        file = resolve_custom_path(component, name)
        # it begins with the way to the root from the page of whichever session runs now
        if file is not None and f"/{component_resource_path(component, attribute, name)}".endswith(asked):
            return Path(file)
    return None


def _listed(component: type) -> Iterator[tuple[str, Any]]:
    for attribute in _LISTING:
        for name in _names(getattr(component, attribute, None)):
            yield attribute, name
    for kind, listed in getattr(component, "_resources", {}).items():
        for name in _names(listed):
            yield f"_resources/{kind}", name


def _names(listed: Any) -> Iterator[Any]:
    if isinstance(listed, str | os.PathLike):
        yield listed
    elif isinstance(listed, dict | list | tuple):
        for part in listed.values() if isinstance(listed, dict) else listed:
            yield from _names(part)
