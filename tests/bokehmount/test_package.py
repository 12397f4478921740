"""What the package shows, and on what it depends."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bokehmount
import bokehmount_server
from bokehmount import errors
from bokehmount.errors import BokehMountError, CloseCode

PACKAGES = [Path(str(package.__file__)).parent for package in (bokehmount, bokehmount_server)]
MODULES = sorted(path for folder in PACKAGES for path in folder.rglob("*.py"))


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (f"{module}.{name.name}" for name in names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: "/".join(path.parts[-3:]))
def test_bokehs_server_is_ours(path: Path) -> None:
    found = set(imports_of(path))
    assert not {name for name in found if name.startswith("bokeh.protocol")}
    theirs = {name for name in found if name.startswith("bokeh.server")}
    assert all(name.startswith("bokeh.server.callbacks") for name in theirs)


@pytest.mark.parametrize(
    "path", [path for path in MODULES if "bokehmount_server" not in path.parts], ids=lambda path: path.name
)
def test_the_kernels_side_does_not_need_the_server(path: Path) -> None:
    if "testing" in path.parts:
        return  # for tests of apps, with a server of their own
    needed = {name for name in imports_of(path) if name.split(".")[0] in ("bokehmount_server", "jupyter_server")}
    assert not needed or path.name == "__init__.py", "but for the entry point"


def says_no_io(path: Path) -> bool:
    return "No I/O" in (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")


@pytest.mark.parametrize("path", [path for path in MODULES if says_no_io(path)], ids=lambda path: path.name)
def test_a_module_that_says_so_does_no_io(path: Path) -> None:
    forbidden = {"asyncio", "socket", "tornado", "time", "zmq", "IPython", "jupyter_client", "select"}
    assert not {name for name in imports_of(path) if name.split(".")[0] in forbidden}


def test_a_server_imports_none_of_the_kernels_side() -> None:
    code = "import sys, bokehmount_server.app; assert not {'bokehmount.kernel', 'IPython'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_users_find_what_they_need() -> None:
    assert set(dir(bokehmount)) == set(bokehmount.__all__), "what Tab completes"
    assert callable(bokehmount.show) and bokehmount.Handle.__name__ == "Handle"
    assert set(bokehmount.__all__) >= {"show", "Handle", "load_ipython_extension", "__version__"}
    for name in bokehmount.__all__:
        assert getattr(bokehmount, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'sow'"):
        _ = bokehmount.sow


@pytest.mark.parametrize(
    "module", [path for path in MODULES if path.name != "__main__.py"], ids=lambda path: "/".join(path.parts[-3:])
)
def test_what_a_module_offers_is_there(module: Path) -> None:
    root = next(folder for folder in PACKAGES if module.is_relative_to(folder))
    parts = [root.name, *module.relative_to(root).with_suffix("").parts]
    loaded = importlib.import_module(".".join(part for part in parts if part != "__init__"))
    for name in getattr(loaded, "__all__", ()):
        assert hasattr(loaded, name)


def test_each_error_tells_a_browser_why() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BokehMountError)]
    assert len(kinds) >= 7
    for kind in kinds:
        assert kind.close_code in CloseCode and 400 <= kind.http_status < 600
        assert str(kind("words")) == "words"
    assert all(code < 5000 for code in CloseCode)
    architecture = (Path(__file__).parents[2] / "docs/architecture.md").read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"^\| (\d{4}) \|", architecture, re.MULTILINE)} == set(CloseCode)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"width": 0}, "width=0"),
        ({"width": -5}, "width=-5"),
        ({"height": "100"}, "height='100'"),
        ({"height": True}, "height=True"),
        ({"width": 1.5}, "width=1.5"),
        ({"width": float("nan")}, "width=nan: give a whole number"),
        ({"height": float("inf")}, "height=inf: give a whole number"),
        ({"new": "window"}, "new='window'"),
    ],
)
def test_show_refuses_nonsense_in_words(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        bokehmount.show(lambda doc: None, **given)


def test_show_outside_of_a_notebook_says_where_it_works() -> None:
    code = "import bokehmount\ntry: bokehmount.show(lambda doc: None)\nexcept RuntimeError as error: print(error)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "needs a notebook or IPython" in found.stdout
