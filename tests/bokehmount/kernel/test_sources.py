"""What show() takes, and what it says of what it does not take."""

from __future__ import annotations

import functools
import importlib.util
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from bokeh.application.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.document import Document
from bokeh.io import curdoc
from bokeh.layouts import column
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Div, Slider
from bokeh.plotting import figure

from bokehmount.kernel.sources import ACCEPTED, Source, source_of
from bokehmount.putting_back import filled


def built(source: Source) -> Document:
    assert source.application is not None and source.model is None
    return source.application().create_document()


def texts(document: Document) -> list[str]:
    return [root.text for root in document.roots]  # type: ignore[attr-defined]


def hello(doc: Document) -> None:
    doc.add_root(Div(text="hello"))


class Callable_:
    def __call__(self, doc: Document) -> None:
        hello(doc)

    def method(self, doc: Document, more: int = 1) -> None:
        hello(doc)

    @staticmethod
    def static(doc: Document) -> None:
        hello(doc)

    @classmethod
    def of_class(cls, doc: Document) -> None:
        hello(doc)


FUNCTIONS: dict[str, tuple[Any, str]] = {
    "function": (hello, "hello"),
    "lambda": (lambda doc: hello(doc), "app"),
    "method": (Callable_().method, "method"),
    "object": (Callable_(), "Callable_"),
    "partial": (functools.partial(lambda text, doc: hello(doc), "x"), "partial"),
    "any arguments": (lambda *args: hello(*args), "app"),
    "a default": (lambda doc=None: hello(doc), "app"),
    "options": (lambda doc, *more, **options: hello(doc), "app"),
    "static method": (Callable_.static, "static"),
    "class method": (Callable_.of_class, "of_class"),
    "decorated": (functools.lru_cache(hello), "hello"),
    "application": (Application(FunctionHandler(hello)), "hello"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_called_with_a_document_is_an_app(name: str) -> None:
    obj, title = FUNCTIONS[name]
    source = source_of(obj)
    assert source.title == title
    assert texts(built(source)) == ["hello"]


def test_each_view_of_a_function_has_its_own_document() -> None:
    source = source_of(hello)
    assert built(source).roots[0] is not built(source).roots[0]


def test_an_error_of_the_app_is_raised_and_not_swallowed() -> None:
    def fails(doc: Document) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        built(source_of(fails))


def test_a_model_is_shared_by_its_views() -> None:
    for model, title in (
        (figure(title="Speed"), "Speed"),
        (Slider(start=0, end=1, name="mine"), "mine"),
        (Div(), "Div"),
    ):
        source = source_of(model)
        assert source.model is model and source.application is None and source.title == title


@pytest.mark.parametrize("kind", [list, tuple])
def test_several_models_stand_one_below_the_other(kind: Any) -> None:
    first, second = Div(), Div()
    source = source_of(kind([first, second]))
    assert source.model is not None and source.model.children == [first, second]  # type: ignore[attr-defined]


def test_a_script_is_an_app_and_is_read_anew_each_time(tmp_path: Path) -> None:
    script = tmp_path / "my_app.py"
    script.write_text(
        "from bokeh.plotting import curdoc\nfrom bokeh.models import Div\ncurdoc().add_root(Div(text='a'))\n"
    )
    for given in (script, str(script)):
        source = source_of(given)
        assert (source.title, source.files) == ("my_app", script)
        assert texts(built(source)) == ["a"]


def test_a_notebook_is_an_app(tmp_path: Path) -> None:
    cell = "from bokeh.plotting import curdoc\nfrom bokeh.models import Div\ncurdoc().add_root(Div(text='n'))\n"
    notebook = {
        "cells": [
            {"cell_type": "code", "id": "a", "source": cell, "metadata": {}, "outputs": [], "execution_count": None}
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path = tmp_path / "book.ipynb"
    path.write_text(json.dumps(notebook))
    source = source_of(path)
    assert source.title == "book" and texts(built(source)) == ["n"]


def test_a_directory_with_a_main_is_an_app(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "main.py").write_text(
        "from bokeh.plotting import curdoc\nfrom bokeh.models import Div\ncurdoc().add_root(Div(text='d'))\n"
    )
    source = source_of(tmp_path / "dir")
    assert source.title == "dir" and texts(built(source)) == ["d"]


def test_a_path_is_that_of_the_moment_it_was_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app.py").write_text("")
    monkeypatch.chdir(tmp_path)
    source = source_of("app.py")
    monkeypatch.chdir("/")
    assert source.files == tmp_path / "app.py"
    built(source)


@pytest.mark.parametrize("value", [5, 1.5, b"bytes", {}, {1: 2}, [], (), [5], [Div(), 5], object(), Document()])
def test_something_else_is_refused_with_what_is_accepted(value: Any) -> None:
    with pytest.raises(TypeError) as refused:
        source_of(value)
    assert ACCEPTED in str(refused.value)
    assert type(value).__qualname__ in str(refused.value)


def test_a_part_of_a_figure_is_refused_as_such() -> None:
    with pytest.raises(TypeError, match=r"can't show a ColumnDataSource: it is a part of a figure or layout"):
        source_of(ColumnDataSource())


@pytest.mark.parametrize("function", [lambda a, b: None, lambda *, doc: None, Callable_.__call__, iter])
def test_a_function_of_other_arguments_is_refused_in_words(function: Any) -> None:
    with pytest.raises(TypeError, match=r"called with one argument, the Document, as app\(doc\)"):
        source_of(function)


def test_a_function_without_arguments_is_called_for_each_document() -> None:
    made: list[Div] = []

    def make() -> Div:
        made.append(Div(text=f"number {len(made)}"))
        return made[-1]

    source = source_of(make)
    assert source.title == "make" and not made
    assert [texts(built(source)) for _ in range(2)] == [["number 0"], ["number 1"]]
    assert texts(built(source_of(lambda: [Div(text="one"), Div(text="two")]))) == ["one", "two"]


def greeting(text: str = "hello") -> Div:
    return Div(text=text)


def returned(doc: Document) -> Div:
    return Div(text="hello")


def filled_and_returned(doc: Document) -> Div:
    hello(doc)
    return Div(text="nobody asked for this")


def current_and_returned() -> Any:
    layout = column(Div(text="hello"))
    curdoc().add_root(layout)
    return layout.children[0]


def waiting(doc: Document) -> Document:
    doc.add_next_tick_callback(lambda: None)
    return doc


@pytest.mark.parametrize("function", [greeting, lambda *, text="hello": Div(text=text), returned, filled_and_returned])
def test_what_a_function_returns_is_shown_where_it_has_not_filled_its_document(function: Any) -> None:
    assert texts(built(source_of(function))) == ["hello"]


def test_what_is_in_a_document_is_not_put_there_again() -> None:
    document = Document()
    with filled(document):
        source_of(current_and_returned).application().initialize_document(document)  # type: ignore[misc]
    assert [type(root).__name__ for root in document.roots] == ["Column"]


def test_an_app_that_fills_its_document_later_may_return_what_it_wants() -> None:
    assert built(source_of(waiting)).roots == []


def test_a_function_that_gives_each_view_the_same_is_told_so() -> None:
    same = Div()
    source = source_of(lambda: same)
    first = built(source)
    assert first.roots == [same]
    with pytest.raises(RuntimeError, match=r"only a single document.* another view has it\. Make all .* within"):
        built(source)


OF_PANEL = """\
import asyncio
import panel as pn
from bokehmount.contexts import ApplicationContext
from bokehmount.kernel.sources import source_of
from bokehmount.tokens import RequestInfo

def roots(app):
    async def look():
        context = ApplicationContext(source_of(app).application(), asyncio.get_running_loop(), "/app")
        return (await context.create_session_if_needed("s", RequestInfo())).document.roots
    names = [type(root).__name__ for root in asyncio.run(look())]
    return [name for name in names if name in ("Row", "Column")]

def in_template():
    pn.extension(template="vanilla")
    pn.Row("seen").servable()

assert roots(lambda: pn.Row("seen").servable()) == ["Row"], "once"
assert roots(lambda: pn.template.VanillaTemplate(main=[pn.Row("seen")]).servable()) == ["Row"], "once"
assert roots(in_template) == ["Row"], "Panel fills a template when the app is done"
seen = source_of(lambda: pn.Row("seen")).application().create_document()
assert [model for model in seen.models if "seen" in str(getattr(model, "text", ""))]
page = source_of(lambda: pn.template.VanillaTemplate(title="Whole page")).application().create_document()
assert page.title == "Whole page"
"""


def test_a_function_without_arguments_may_return_what_panel_shows() -> None:
    """In a process of its own: Panel changes Bokeh for all that runs after it."""
    run = subprocess.run([sys.executable, "-c", OF_PANEL], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("made", [None, 5, "app.py", [], [5], ColumnDataSource(), Div])
def test_a_function_without_arguments_that_returns_nothing_to_be_seen_is_told_what_it_returned(made: Any) -> None:
    def make() -> Any:
        return made

    with pytest.raises(
        TypeError, match=r"make\(\) returned .+: a function without arguments returns what is to be seen"
    ):
        built(source_of(make))


def test_a_class_and_nothing_are_refused_with_what_was_meant() -> None:
    with pytest.raises(TypeError, match=r"the class Div: make one, as in show\(Div\(\.\.\.\)\)"):
        source_of(Div)
    with pytest.raises(TypeError, match=r"None: give it the app function itself"):
        source_of(None)


async def waits(doc: Document) -> None: ...


def yields(doc: Document) -> Iterator[int]:
    yield 1


async def both(doc: Document) -> AsyncIterator[int]:
    yield 1


class Waits:
    async def __call__(self, doc: Document) -> None: ...


@pytest.mark.parametrize(
    ("function", "name", "why"),
    [
        (print, "print", "is Python's own"),
        (len, "len", "is Python's own"),
        ([].append, "append", "is Python's own"),
        (waits, "waits", "is async"),
        (functools.partial(waits), "partial", "is async"),
        (Waits(), "Waits", "is async"),
        (yields, "yields", "is a generator"),
        (both, "both", "is a generator"),
    ],
)
def test_what_takes_a_document_and_would_not_fill_it_is_refused_at_once(function: Any, name: str, why: str) -> None:
    with pytest.raises(TypeError) as refused:
        source_of(function)
    assert str(refused.value).startswith(f"show() can't show {name!r}, which {why}")
    assert ACCEPTED in str(refused.value)


def test_a_path_at_which_there_is_nothing_is_refused_with_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no app at 'no\.py'") as refused:
        source_of("no.py")
    assert str(tmp_path) in str(refused.value)


def test_a_path_to_something_else_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"expected a \.py or \.ipynb file"):
        source_of(tmp_path / "data.csv")
    with pytest.raises(ValueError, match=r"neither a main\.py nor a main\.ipynb"):
        source_of(tmp_path / "empty")


def test_panel_is_not_imported_to_find_out() -> None:
    code = (
        "import sys; from bokehmount.kernel.sources import source_of; from bokeh.models import Div;"
        "source_of(Div()); source_of(lambda doc: None);"
        "assert not {'panel', 'holoviews', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


PANEL = """\
import panel as pn
from bokehmount.kernel.sources import source_of
source = source_of(pn.Row(pn.pane.HTML("hello"), name="My row"))
roots = source.application().create_document().roots
print(source.title, source.model, type(roots[0]).__name__)
bound = source_of(pn.bind(lambda value: pn.pane.HTML(str(value)), pn.widgets.IntSlider(value=3)))
print(bound.model, len(bound.application().create_document().roots))
"""


def test_a_panel_object_is_an_app() -> None:
    """In a process of its own: Panel changes Bokeh's server and adds to its models, for all that runs after it."""
    if importlib.util.find_spec("panel") is None:
        pytest.skip("Panel is not installed")
    found = subprocess.run([sys.executable, "-c", PANEL], check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["My", "row", "None", "Row", "None", "2"]


def test_a_layout_keeps_its_place_of_birth() -> None:
    assert source_of(column(Div())).title == "Column"
