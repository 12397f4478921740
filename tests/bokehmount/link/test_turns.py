"""Of two processes only one has a connection's turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from bokehmount.link.turns import Turns

from .other_process import other_process


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = tmp_path / "turns"
    path.touch()
    return str(path)


def test_a_turn_is_one_processs_until_it_gives_it_back(path: str) -> None:
    turns = Turns(path)
    with other_process(path) as other:
        assert turns.take(3)
        assert turns.take(3), "it has it already"
        assert not other.takes(3)
        assert other.takes(4), "another connection's turn is another"
        assert not turns.take(4)
        turns.give_back(3)
        assert other.takes(3) and not turns.take(3)
        other.gives_back(3)
        assert turns.take(3)
    turns.close()


def test_who_dies_has_no_turn(path: str) -> None:
    turns = Turns(path)
    with other_process(path) as other:
        assert other.takes(1) and not turns.take(1)
    assert turns.take(1)
    turns.close()


def test_who_has_closed_them_takes_and_holds_none(path: str) -> None:
    turns = Turns(path)
    assert turns.take(1)
    turns.close()
    turns.close()
    assert not turns.take(1)
    turns.give_back(1)
    with other_process(path) as other:
        assert other.takes(1)


def test_there_are_none_without_their_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="turns"):
        Turns(str(tmp_path / "turns"))
