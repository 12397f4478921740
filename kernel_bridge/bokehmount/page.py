"""Renders an app's page and its autoload script, by Bokeh's own templates, where its Document lives."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import Any, Final
from urllib.parse import urlparse

from bokeh.core.templates import AUTOLOAD_JS, FILE
from bokeh.document import Document
from bokeh.embed.bundle import URL, Bundle, Script, bundle_for_objs_and_resources
from bokeh.embed.elements import html_page_for_render_items, script_for_render_items
from bokeh.embed.util import RenderItem
from bokeh.model import Model
from bokeh.resources import Resources
from bokeh.settings import settings
from bokeh.util.serialization import make_globally_unique_css_safe_id

from .assets import versioned
from .model_code import compiling, what_models_bring
from .of_panel import bundle_of_panel, is_of_panel, template_of_panel, with_spinner

__all__ = ("Place", "autoload_script", "page", "resources")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page lives, as its browser sees it.

    Args:
        root: the URL below which ``static/`` is, absolute or base-relative, ending with a slash
        view_script: the URL of the script that says in words what is happening; none where None
        mode: where BokehJS comes from, in the words of `bokeh.resources.Resources`
    """

    root: str
    view_script: str | None = None
    mode: str = "server"


def resources(root: str, mode: str = "server") -> Resources:
    """BokehJS and extension files below a URL, or from elsewhere in another mode than ``server``.

    Raises:
        ValueError: there is no such mode
    """
    known: Any = mode
    if mode in ("server", "server-dev"):
        return Resources(mode=known, root_url=root, path_versioner=versioned)
    return Resources(mode=known)


def _bundle(document: Document, root: str, mode: str) -> Bundle:
    brought = what_models_bring()  # which lets go of what nobody can compile any more
    if not is_of_panel(document):
        return _bundle_of(root, mode, brought, _settings())
    bundle = compiling(lambda: bundle_of_panel(document, resources(root, mode)))
    _put_below(bundle, root)
    return bundle


def _settings() -> Hashable:
    """What else `Resources` reads; a bundle that was made by other settings is not the one that is wanted."""
    return (
        settings.minified(),
        settings.log_level(),
        settings.cdn_version(),
        settings.docs_cdn(),
        settings.rootdir(),
        settings.dev,
    )


@lru_cache(maxsize=32)
def _bundle_of(root: str, mode: str, brought: Hashable, read: Hashable) -> Bundle:
    bundle = compiling(lambda: bundle_for_objs_and_resources(None, resources(root, mode)))
    _put_below(bundle, root)
    return bundle


def _put_below(bundle: Any, root: str) -> None:
    """Panel names its files as seen from a page near the root of its server; ours lie deeper, or in other sites."""
    bundle.js_files = [URL(_below(root, url.url)) for url in bundle.js_files]
    bundle.css_files = [URL(_below(root, url.url)) for url in bundle.css_files]
    if hasattr(bundle, "js_modules"):  # Panel's, which puts "./" before those that export something
        bundle.js_modules = [_below(root, url, _as_others_import_it) for url in bundle.js_modules]
    if hasattr(bundle, "js_module_tags"):  # since Panel 1.10 both have to name a module alike
        exports = bundle.js_module_exports.items()
        bundle.js_module_exports = {name: _below(root, url, _as_others_import_it) for name, url in exports}


_RELATIVE: Final = re.compile(r"(?:\.{1,2}/)*static/([^?]+)")


def _below(root: str, url: str, named: Callable[[str], str] = versioned) -> str:
    found = _RELATIVE.match(url.removeprefix(root))
    return url if found is None else f"{root}static/{named(found[1])}"


def _as_others_import_it(path: str) -> str:
    """Without a version: to a browser a module that is imported by another name is another module."""
    return path


@lru_cache(maxsize=32)
def _rendered(root: str, mode: str, brought: Hashable, read: Hashable) -> tuple[str, str]:
    scripts, styles = _bundle_of(root, mode, brought, read)
    return scripts, styles


def _head(document: Document, place: Place) -> tuple[str, str]:
    if not is_of_panel(document):
        return _rendered(place.root, place.mode, what_models_bring(), _settings())
    scripts, styles = _bundle(document, place.root, place.mode)
    return scripts, styles


def page(document: Document, token: str, place: Place, root: Model | None = None) -> str:
    """The page of a session.

    Args:
        document: the session's Document
        token: names the session
        place: where the page lives
        root: the only root that is to be seen; the whole Document where None

    Returns:
        HTML
    """
    scripts, styles = _head(document, place)
    if place.view_script is not None:
        scripts = (
            f'<script src="{escape(place.view_script)}" data-bokehmount-token="{escape(token)}"></script>\n{scripts}'
        )
    item = RenderItem(token=token, roots=document.roots, use_for_title=True)
    template, variables = document.template, document.template_variables
    of_panel = is_of_panel(document)
    if of_panel:
        template, variables = template_of_panel(document)
    if root is not None and document.roots != [root]:
        item.elementid = make_globally_unique_css_safe_id()
        template, variables = _ONLY, {"shown": root.id}
    html = html_page_for_render_items(
        (scripts, styles), {}, [item], document.title, template=template, template_variables=variables
    )
    return with_spinner(document, html) if of_panel else html


# BokehJS draws root i of a Document into the i-th element, and roots that are added later into the item's element.
# So the roots that belong to other views get elements too, which stay hidden.
_ONLY: Any = FILE.environment.from_string(
    """{% extends base %}
{% block contents %}
  <div hidden id="{{ doc.elementid }}"></div>
  {% for root in doc.roots %}
  <div id="{{ root.elementid }}" data-root-id="{{ root.id }}"
       {{ 'style="display: contents"' if root.id == shown else 'hidden' }}></div>
  {% endfor %}
{% endblock %}"""
)


def autoload_script(
    document: Document,
    token: str,
    place: Place,
    element_id: str,
    app_path: str = "/",
    absolute_url: str | None = None,
    *,
    with_resources: bool = True,
) -> str:
    """The script that draws a session into an element of somebody else's page.

    Args:
        document: the session's Document
        token: names the session
        place: where BokehJS is; its root is made absolute by ``absolute_url``
        element_id: the element to draw into
        app_path: the app's path on its server
        absolute_url: the app's URL, where the page comes from another server
        with_resources: whether BokehJS is to be loaded too

    Returns:
        JavaScript
    """
    root = place.root
    if absolute_url:
        url = urlparse(absolute_url)
        root = f"{url.scheme}://{url.netloc}{root}"
    cached = _bundle(document, root, place.mode) if with_resources else bundle_for_objs_and_resources(None, None)
    bundle = Bundle(cached.js_files, cached.js_raw, cached.css_files, cached.css_raw, cached.hashes)
    item = RenderItem(token=token, elementid=element_id, use_for_title=False)  # type: ignore[arg-type]
    bundle.add(Script(script_for_render_items({}, [item], app_path=app_path, absolute_url=absolute_url)))
    return AUTOLOAD_JS.render(bundle=bundle, elementid=element_id)
