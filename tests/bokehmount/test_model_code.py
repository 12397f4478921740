"""Models with code of their own, in pages that need it: as their classes change, go, and can't be compiled."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from bokeh.core.has_props import HasProps, _default_resolver
from bokeh.document import Document
from bokeh.model import Model
from bokeh.util.compiler import TypeScript

from bokehmount.errors import AppError
from bokehmount.page import Place, page

Make = Callable[..., type[Model]]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes a class ``Probe`` with some code, in a module."""

    def make_(implementation: Any, module: str = __name__) -> type[Model]:
        return type("Probe", (Model,), {"__implementation__": implementation, "__module__": module})

    yield make_
    found: Any = HasProps.model_class_reverse_map.get("Probe")
    if found is not None:
        _default_resolver.remove(found)  # type: ignore[attr-defined]  # the stub lacks it


@pytest.fixture
def script(tmp_path: Path) -> Iterator[str]:
    """The name of a module that an app's script is while it runs."""
    name = "bokeh_app_of_a_test"
    module = ModuleType(name)
    module.__file__ = str(tmp_path / "main.py")
    sys.modules[name] = module
    yield name
    sys.modules.pop(name, None)


def shown() -> str:
    return page(Document(), "t", Place("/"))


def test_a_page_has_the_code_that_a_model_has_now(make: Make, tmp_path: Path) -> None:
    make(TypeScript("export const Probe = 'first'"))
    assert "Probe = 'first'" in shown()
    make(TypeScript("export const Probe = 'second'"))
    assert "Probe = 'second'" in shown()
    file = tmp_path / "probe.ts"
    file.write_text("export const Probe = 'third'")
    make(str(file))
    assert "Probe = 'third'" in shown()
    file.write_text("export const Probe = 'fourth'")
    assert "Probe = 'fourth'" in shown()
    assert "Probe = 'first'" not in shown()


def test_a_model_of_a_script_is_drawn_for_others_when_its_session_is_over(make: Make, script: str) -> None:
    make(TypeScript("export const Probe = 'kept'"), script)
    assert "Probe = 'kept'" in shown()
    del sys.modules[script]
    assert "Probe = 'kept'" in page(Document(), "t", Place("/made/anew/"))


def test_a_model_of_a_script_that_no_page_has_seen_goes_with_it(make: Make, script: str) -> None:
    make(TypeScript("export const Probe = 'unseen'"), script)
    del sys.modules[script]
    assert "Probe = 'unseen'" not in shown()
    assert "Probe" not in HasProps.model_class_reverse_map


def test_code_that_is_wrong_is_an_error_of_the_app_and_its_user_is_told(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    make(TypeScript("export const Probe: number = 'no number'"))
    with pytest.raises(AppError, match="can't be compiled") as raised:
        shown()
    assert "is not assignable to type 'number'" in raised.value.traceback
    assert "is not assignable to type 'number'" in capsys.readouterr().err
    make("/nowhere/probe.ts")
    with pytest.raises(AppError, match=r"the code of Probe can't be read.*/nowhere/probe\.ts"):
        shown()
    make(TypeScript("// @ts-ignore\nexport * from './nowhere'"))
    with pytest.raises(AppError, match=r"can't be compiled: no such module: \./nowhere"):
        shown()
    make(TypeScript("export const Probe = 'right'"))
    assert "Probe = 'right'" in shown()
