"""``%bokehmount`` lists the running apps and ends one."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.error import UsageError

from bokehmount.kernel.magics import BokehMountMagics


class Bridge:
    def __init__(self) -> None:
        self.closed: list[str] = []

    def status(self) -> str:
        return "the status"

    def listing(self) -> list[dict[str, Any]]:
        return [{"app": "/a"}, {"app": "/b/c"}]

    def close_app(self, path: str) -> None:
        self.closed.append(path)


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


def magic(bridge: Bridge, line: str) -> None:
    BokehMountMagics(None, lambda: bridge).bokehmount(line)


def test_alone_it_prints_how_things_stand(bridge: Bridge, capsys: pytest.CaptureFixture[str]) -> None:
    magic(bridge, "")
    assert capsys.readouterr().out == "the status\n"


@pytest.mark.parametrize("name", ["b/c", "/b/c", "/b/c/"])
def test_it_ends_an_app_by_its_name(bridge: Bridge, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    magic(bridge, f"close {name}")
    assert bridge.closed == ["/b/c"] and capsys.readouterr().out == "closed b/c\n"


def test_an_unknown_name_is_answered_with_the_known_ones(bridge: Bridge) -> None:
    with pytest.raises(UsageError, match="no app is called 'x'; running now: a, b/c"):
        magic(bridge, "close x")
    assert bridge.closed == []


@pytest.mark.parametrize("line", ["close", "open a", "close a b"])
def test_anything_else_is_answered_with_the_usage(bridge: Bridge, line: str) -> None:
    with pytest.raises(UsageError, match="usage"):
        magic(bridge, line)
