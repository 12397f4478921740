"""The pages of apps, and the script that draws one into another page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, ClassVar

import pytest
from bokeh.core.has_props import _default_resolver
from bokeh.document import Document
from bokeh.model import Model
from bokeh.models.widgets import Div, Slider

from bokehmount.page import Place, autoload_script, page, resources


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def document(*roots: Any) -> Document:
    made = Document()
    for root in roots:
        made.add_root(root)
    return made


def render_items(html: str) -> list[dict[str, Any]]:
    found = re.search(r"const render_items = (\[.*?\]);", html) or re.search(r"render_items = (\[\{.*?\}\])", html)
    assert found, "the page draws nothing"
    items: list[dict[str, Any]] = json.loads(found[1])
    return items


def test_the_page_of_a_session_draws_all_its_roots() -> None:
    first, second = Div(text="1"), Slider(start=0, end=1)
    made = document(first, second)
    made.title = "A <title> & more"
    html = page(made, "the-token", Place("/base/bokeh/"))
    (item,) = render_items(html)
    assert item["token"] == "the-token" and set(item["roots"]) == {first.id, second.id}
    ids = {attributes.get("id") for attributes in Elements(html).of("div")}
    assert set(item["roots"].values()) <= ids
    assert "A &lt;title&gt; &amp; more" in html and "A <title>" not in html


def test_bokehjs_comes_from_below_the_root_with_its_version() -> None:
    html = page(document(Div()), "t", Place("/base/bokeh/"))
    sources = [attributes["src"] for attributes in Elements(html).of("script") if attributes.get("src")]
    assert sources and all(str(src).startswith("/base/bokeh/static/") for src in sources)
    own = [str(src) for src in sources if "/static/js/bokeh" in str(src)]
    assert own and all(re.search(r"\?v=[0-9a-f]+$", src) for src in own)


def test_two_places_do_not_share_their_addresses() -> None:
    made = document(Div())
    assert "/one/static" in page(made, "t", Place("/one/")) and "/one/static" not in page(made, "t", Place("/two/"))


def test_the_view_script_stands_first_and_nothing_breaks_out_of_it() -> None:
    html = page(document(Div()), 'token"><b>', Place("/r/", '/v.js?a="><i>&b'))
    first = Elements(html).of("script")[0]
    assert first == {"src": '/v.js?a="><i>&b', "data-bokehmount-token": 'token"><b>'}
    assert not Elements(html).of("i") and not Elements(html).of("b")


def test_without_a_view_script_there_is_none() -> None:
    html = page(document(Div()), "t", Place("/r/"))
    assert "data-bokehmount-token" not in html


def shown(html: str) -> dict[str, str]:
    """Which root's element is to be seen, by its id."""
    return {
        str(attributes["data-root-id"]): "hidden" if "hidden" in attributes else "shown"
        for attributes in Elements(html).of("div")
        if "data-root-id" in attributes
    }


def test_the_page_of_one_root_of_several_shows_it_alone() -> None:
    first, second, third = Div(text="1"), Div(text="2"), Div(text="3")
    made = document(first, second, third)
    html = page(made, "t", Place("/r/"), root=second)
    assert shown(html) == {first.id: "hidden", second.id: "shown", third.id: "hidden"}
    (item,) = render_items(html)
    hidden = {attributes.get("id") for attributes in Elements(html).of("div") if "hidden" in attributes}
    assert item["elementid"] in hidden, "roots that are added later are out of sight"
    assert list(item["roots"]) == [first.id, second.id, third.id]
    assert not made.template_variables, "the Document itself is as it was"


def test_the_page_of_an_only_root_is_the_documents_own() -> None:
    only = Div(text="1")
    made = document(only)
    assert "hidden" not in shown(page(made, "t", Place("/r/"), root=only)).values()


def test_a_document_keeps_its_own_template() -> None:
    made = document(Div(text="1", name="mine"))
    made.template = "{% block contents %}<h1>{{ word }}</h1>{{ super() }}{% endblock %}"  # type: ignore[assignment]
    made.template_variables["word"] = "own"
    assert "<h1>own</h1>" in page(made, "t", Place("/r/"))


@pytest.mark.parametrize("url", [None, "http://other:8000/app"])
def test_the_script_for_another_page_loads_bokehjs_from_its_own_server(url: str | None) -> None:
    script = autoload_script(document(Div()), "the-token", Place("/base/bokeh/"), "e1000", "/app", url)
    expected = ("http://other:8000" if url else "") + "/base/bokeh/static/js/bokeh"
    assert expected in script
    assert '"token": "the-token"' in script or '"token":"the-token"' in script
    assert "e1000" in script and (url is None or url in script)


def test_the_script_may_come_without_bokehjs() -> None:
    script = autoload_script(document(Div()), "t", Place("/base/bokeh/"), "e1", with_resources=False)
    assert "static/js" not in script and '"t"' in script
    again = autoload_script(document(Div()), "t", Place("/base/bokeh/"), "e1")
    assert "static/js" in again


def test_one_script_does_not_remember_another() -> None:
    autoload_script(document(Div()), "first-token", Place("/r/"), "e1")
    assert "first-token" not in autoload_script(document(Div()), "second-token", Place("/r/"), "e2")


def test_files_are_named_below_the_root() -> None:
    assert all("/deep/root/static/js/bokeh" in file for file in resources("/deep/root/").js_files[-3:])


@pytest.fixture
def library() -> Iterator[None]:
    """A library of models that names its files relative to the root of a server, as Panel does."""

    class Relative(Model):
        __javascript__: ClassVar[Any] = ["static/extensions/library/library.js", "https://elsewhere.example/other.js"]
        __css__: ClassVar[Any] = ["static/extensions/library/library.css"]

    yield
    _default_resolver.remove(Relative)  # type: ignore[attr-defined]  # the stub lacks it


@pytest.mark.usefixtures("library")
def test_a_librarys_files_are_found_from_any_page() -> None:
    for html in (
        page(document(Div()), "t", Place("/base/bokeh/")),
        autoload_script(document(Div()), "t", Place("/base/bokeh/"), "e1", "/deep/app"),
    ):
        for file in ("library.js", "library.css"):
            assert f'"/base/bokeh/static/extensions/library/{file}"' in html
        assert '"https://elsewhere.example/other.js"' in html
    script = autoload_script(
        document(Div()), "t", Place("/base/bokeh/"), "e1", "/app", "https://apps.example/base/bokeh/app"
    )
    assert '"https://apps.example/base/bokeh/static/extensions/library/library.js"' in script


PANEL = """\
import panel as pn
from bokeh.document import Document
from bokeh.models.widgets import Div
from bokehmount.page import Place, page
from panel.io.state import set_curdoc

place = Place("/hub/user/a/bokeh/kernels/k1/", "/hub/user/a/bokeh/view/view.js")
pn.extension("vega", "perspective", raw_css=["body { color: teal; }"], notifications=True, design="fast", theme="dark")
pn.config.global_loading_spinner = True
document, plain = Document(), Document()
document.template_variables.update(dist_url="/panel/", app_favicon="../favicon.ico")
pn.Column("text").server_doc(doc=document)
plain.add_root(Div(text="no part of Panel's"))
for each in (document, plain):
    with set_curdoc(each):
        pn.state.rel_path = ".."  # as Panel has it for an app whose path has two parts
    print(page(each, "t1", place).replace("\\n", " "))
"""


def test_a_page_of_panel_has_what_its_extension_was_given_and_other_pages_have_not() -> None:
    run = subprocess.run([sys.executable, "-c", PANEL], capture_output=True, text=True, check=True)
    of_panel, plain = run.stdout.splitlines()
    modules = re.findall(r'type="module" src="([^"]*)"', of_panel)
    assert any("fast_design.js" in module for module in modules), modules
    assert all(file.startswith("/hub/user/a/bokeh/") and file.endswith(".js") for file in modules), modules
    files = [file for file in re.findall(r'(?:src|href)="([^"]*static/[^"]*)"', of_panel) if file not in modules]
    assert all(file.startswith("/hub/user/a/bokeh/") and "?v=" in file for file in files), files
    for name in (
        "js/bokeh.min.js",
        "js/bokeh-mathjax.min.js",
        "extensions/panel/panel.min.js",
        "vega@",
        "notyf.min.js",
    ):
        assert any(name in file for file in files), name
    assert "color: teal" in of_panel and "color: teal" not in plain
    # the second is Panel 1.10's
    imported = r'import (perspective from "\./\.\.|\* as ns from "/hub/user/a/bokeh/kernels/k1)/static/extensions/'
    assert re.search(imported + r'panel/bundled/perspective/[^"?]*"', of_panel)
    assert "background-color: #121212" in of_panel, "the theme is dark"
    assert 'href="/panel/images/favicon.ico"' in of_panel
    assert '<body class="pn-loading pn-arc">' in of_panel and "<body>" in plain


DESIGN = """\
import panel as pn
from bokeh.document import Document
from bokehmount.of_panel import template_of_panel
from panel.theme import Design

class Mine(Design):
    _template_variables = {"of_design": "design", "of_both": "design"}

pn.extension(design=Mine)
document = Document()
document.template_variables.update(of_both="app")
_, variables = template_of_panel(document)
print(variables["of_design"], variables["of_both"])
"""


def test_what_a_design_of_panel_tells_templates_is_told_and_an_app_may_say_otherwise() -> None:
    run = subprocess.run([sys.executable, "-c", DESIGN], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["design", "app"]
