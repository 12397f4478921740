"""Both ends of a flow, joined by a channel that the test empties when it likes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence

import pytest

from bokehmount.errors import ProtocolError
from bokehmount.link.flow import ON_THE_WAY, PIECE, Flow, Words
from bokehmount.link.messages import Part, Parts


class Ends:
    """An end that sends and one that takes."""

    def __init__(self) -> None:
        self.on_the_way: deque[tuple[Words, Parts]] = deque()
        self.took: list[list[bytes]] = []
        self.near = Flow(lambda words, parts: self.on_the_way.append((words, parts)))
        self.far = Flow(self._answer)

    def _answer(self, words: Words, _: Parts) -> None:
        self.near.take(words, [])

    @property
    def bytes_on_the_way(self) -> int:
        return sum(len(part) for _, parts in self.on_the_way for part in parts)

    def pass_on(self, pieces: int | None = None) -> None:
        """Let what is on the way arrive, also what follows it."""
        while self.on_the_way and pieces != 0:
            whole = self.far.take(*self.on_the_way.popleft())
            if whole is not None:
                self.took.append([bytes(part) for part in whole])
            pieces = None if pieces is None else pieces - 1


MESSAGES: list[list[bytes]] = [
    [b"small", b"", b"parts"],
    [os.urandom(PIECE)],
    [os.urandom(PIECE + 1)],
    [b"envelope", os.urandom(3 * PIECE - 8)],
    [b"envelope", b"", os.urandom(ON_THE_WAY + 7), b"", os.urandom(PIECE), b"end"],
    [os.urandom(PIECE // 2) for _ in range(7)],
    [b""],
]


def test_messages_of_any_size_arrive_as_they_were_sent_in_their_order() -> None:
    ends = Ends()
    for message in MESSAGES:
        ends.near.put(message)
    ends.pass_on()
    assert ends.took == MESSAGES
    assert not ends.near.is_full


def test_no_more_is_on_the_way_than_may_be() -> None:
    ends = Ends()
    ends.near.put([os.urandom(5 * ON_THE_WAY)])
    most = 0
    while ends.on_the_way:
        most = max(most, ends.bytes_on_the_way)
        assert all(len(part) <= PIECE for _, parts in ends.on_the_way for part in parts)
        assert ends.near.is_full or ends.bytes_on_the_way <= ON_THE_WAY
        ends.pass_on(1)
    assert ON_THE_WAY < most <= ON_THE_WAY + PIECE
    assert len(ends.took[0][0]) == 5 * ON_THE_WAY


def test_small_messages_count_too() -> None:
    ends = Ends()
    while not ends.near.is_full:
        ends.near.put([b"."])
    assert len(ends.on_the_way) < 1100, "a ZMQ socket drops what is more than a thousand messages"


def test_what_waits_is_counted() -> None:
    ends = Ends()
    ends.near.put([b"goes at once"])
    assert ends.near.waiting == 0
    ends.near.put([bytes(5 * ON_THE_WAY)])
    assert 4 * ON_THE_WAY <= ends.near.waiting + PIECE <= 4 * ON_THE_WAY + PIECE
    ends.pass_on(1 + ON_THE_WAY // PIECE)
    assert 3 * ON_THE_WAY <= ends.near.waiting + PIECE <= 3 * ON_THE_WAY + PIECE
    ends.pass_on()
    assert ends.near.waiting == 0


def test_all_that_waits_can_be_sent_at_once() -> None:
    ends = Ends()
    ends.near.put([bytes(5 * ON_THE_WAY)])
    ends.near.flush()
    assert ends.near.waiting == 0
    assert ends.bytes_on_the_way == 5 * ON_THE_WAY


def test_an_end_that_is_holding_gets_what_is_on_the_way_and_the_rest_when_it_tells_again() -> None:
    ends = Ends()
    ends.far.is_holding = True
    ends.near.put([bytes(5 * ON_THE_WAY)])
    ends.pass_on()
    held_back = ends.near.waiting
    assert 4 * ON_THE_WAY - PIECE <= held_back < 4 * ON_THE_WAY and ends.near.arrived == 0
    ends.far.tell()
    ends.pass_on()
    assert ends.near.waiting == held_back and ends.near.arrived == 0, "a sign of life, and no more"
    ends.far.is_holding = False
    ends.far.tell()
    ends.pass_on()
    assert [len(part) for message in ends.took for part in message] == [5 * ON_THE_WAY]


@pytest.mark.parametrize(
    "come",
    [
        [({"sizes": [4], "more": False}, [b"five!"])],
        [({"sizes": [4], "more": True}, [b"fo"]), ({"more": False}, [b"u"])],
        [({"sizes": [2**31], "more": True}, [b"."])],
        [({"more": False}, [b"no beginning"])],
        [({"sizes": 4, "more": True}, [b"four"])],
        [({"sizes": ["four"], "more": True}, [b"four"])],
        [({"taken": "all"}, [])],
    ],
)
def test_pieces_that_make_no_message_are_refused(come: Sequence[tuple[Words, list[Part]]]) -> None:
    flow = Flow(lambda words, parts: None)
    with pytest.raises(ProtocolError):
        for words, parts in come:
            flow.take(words, parts)
