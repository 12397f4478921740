"""Each name in the table of docs/api.md is there, takes what the seeds say, and has its test."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
ROWS = re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \|$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
MODULES = ("server", "tornado", "session", "contexts", "connection", "callbacks", "urls", "util", "auth_provider")


def find(name: str) -> Any:
    module, *rest = name.split(".")
    found: Any = importlib.import_module(f"bokehmount_server.{module}")
    for part in rest:
        found = getattr(found, part)
    return found


def arguments_of(seed: str) -> dict[str, Any] | None:
    """The arguments by name with their defaults, None for those without; None where it is no function."""
    if "(" not in seed:
        return None
    call = ast.parse(seed, mode="eval").body
    assert isinstance(call, ast.Call)
    needed = {ast.unparse(argument): None for argument in call.args}
    return needed | {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}


def test_the_table_is_read() -> None:
    assert len(ROWS) >= 60


@pytest.mark.parametrize(("seed", "ours", "test"), ROWS)
def test_a_name_of_the_seeds_is_there_and_takes_what_they_say(seed: str, ours: str, test: str) -> None:
    found = find(ours)
    arguments = arguments_of(seed)
    if arguments is None:
        return
    is_method = "." in ours.split(".", 1)[1]
    signature = inspect.signature(found)
    bound_already = not is_method or inspect.ismethod(found)
    first = () if bound_already else (None,)
    signature.bind(*first, **arguments)
    if not signature.parameters.keys() <= {"args", "kwargs"}:
        by_place = [value for name, value in arguments.items() if name not in ("kwargs", "fast", "num_procs")]
        signature.bind(*first, *by_place)


@pytest.mark.parametrize("test", sorted({test for _, _, test in ROWS}))
def test_the_test_of_a_name_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    path = ROOT / file if file.startswith("tests/") else Path(__file__).parent / file
    assert re.search(rf"^def {name}\(", path.read_text(), re.MULTILINE), f"{path} has no {name}"


def names_of_the_seeds() -> set[str]:
    """The classes and functions that the seeds describe."""
    texts = [path.read_text() for path in (ROOT.parent / "shared" / "seeds").glob("*.txt")]
    return {
        name for text in texts for name in re.findall(r"^(?:class |classmethod )?(\w+)\(.*\)\[source\]", text, re.M)
    }


def test_no_name_of_the_seeds_is_left_out() -> None:
    names = names_of_the_seeds()
    if not names:
        pytest.skip("the seeds are not beside this checkout")
    assert names - {seed.split("(")[0] for seed, _, _ in ROWS} == set()


@pytest.mark.parametrize("module", MODULES)
def test_todays_names_are_there(module: str) -> None:
    theirs = importlib.import_module(f"bokeh.server.{module}")
    ours = importlib.import_module(f"bokehmount_server.{module}")
    for name in theirs.__all__:
        assert name in ours.__all__
        their, our = getattr(theirs, name), getattr(ours, name)
        if inspect.isclass(their):
            missing = {part for part in vars(their) if not part.startswith("_") and not hasattr(our, part)}
            assert not missing, f"{name} lacks {missing}"


def parameters(function: Any) -> set[str]:
    return {
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind != parameter.VAR_KEYWORD
    }


def test_todays_parameters_are_taken_too() -> None:
    from bokeh.server import server as their_server
    from bokeh.server.tornado import BokehTornado as TheirTornado

    from bokehmount_server.server import Server
    from bokehmount_server.tornado import BokehTornado

    assert parameters(TheirTornado.__init__) <= parameters(BokehTornado.__init__)
    options = set(their_server._ServerOpts.properties())
    assert parameters(their_server.Server.__init__) | options <= parameters(Server.__init__)
