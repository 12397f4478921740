"""What is wrong with an app's models is found as Bokeh finds it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.core.validation import silence
from bokeh.core.validation.warnings import EMPTY_LAYOUT, MISSING_RENDERERS
from bokeh.document import Document
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, Line, Plot
from bokeh.models.layouts import Row
from bokeh.models.renderers import GlyphRenderer
from bokeh.plotting import figure
from bokeh.settings import settings

from bokehmount.checking import not_validated, quickly_validated

App = Callable[[Document], None]


def fine(document: Document) -> None:
    plot = figure()
    plot.line([1, 2], [3, 4])
    document.add_root(plot)


def warned(document: Document) -> None:
    document.add_root(column(Row(), figure()))


def two_roots(document: Document) -> None:
    warned(document)
    document.add_root(Plot())


def wrong(document: Document) -> None:
    plot = figure()
    plot.renderers.append(GlyphRenderer(data_source=ColumnDataSource({"x": [1]}), glyph=Line(x="x", y="nowhere")))
    document.add_root(column(plot, Row()))


def empty(document: Document) -> None:
    pass


def said(app: App, caplog: pytest.LogCaptureFixture, *, quickly: bool) -> list[str]:
    """What is logged, and raised, while an application fills a Document."""
    caplog.clear()
    document, application = Document(), Application(FunctionHandler(app))
    raised = []
    try:
        if quickly:
            with quickly_validated(document):
                application.initialize_document(document)
        else:
            application.initialize_document(document)
    except RuntimeError as error:
        raised = [str(error)]
    texts = [record.getMessage() for record in caplog.records] + raised
    for model in document.models:
        texts = [text.replace(model.id, type(model).__name__) for text in texts]
    return sorted(texts)


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.WARNING, logger="bokeh"):
        yield


@pytest.mark.parametrize("level", ["none", "errors", "all"])
@pytest.mark.parametrize("app", [fine, warned, wrong, empty])
def test_the_same_is_said(
    app: App, level: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(settings), "validation_level", lambda _: level)
    ours, bokehs = said(app, caplog, quickly=True), said(app, caplog, quickly=False)
    assert ours == bokehs
    assert bool(ours) is (app in (warned, wrong))


def test_all_roots_are_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    ours, bokehs = said(two_roots, caplog, quickly=True), said(two_roots, caplog, quickly=False)
    assert ours == bokehs
    assert len(ours) == len(said(warned, caplog, quickly=True)) + 1


def test_a_warning_may_be_silenced(caplog: pytest.LogCaptureFixture) -> None:
    silence(EMPTY_LAYOUT, True)
    try:
        assert not any(str(EMPTY_LAYOUT.code) in text for text in said(warned, caplog, quickly=True))
    finally:
        silence(EMPTY_LAYOUT, False)
    assert any(str(MISSING_RENDERERS.code) in text for text in said(warned, caplog, quickly=True))


def test_what_an_app_checks_too_early_is_checked_again(caplog: pytest.LogCaptureFixture) -> None:
    def early(document: Document) -> None:
        document.validate()
        warned(document)

    assert said(early, caplog, quickly=True) == said(early, caplog, quickly=False) != []


def test_a_library_that_asks_again_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    document = Document()
    warned(document)
    with not_validated(document):
        document.validate()
    assert caplog.records == []


def test_afterwards_the_document_validates_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    document = Document()
    with quickly_validated(document):
        pass
    assert "validate" not in vars(document)
