"""A copy stays what it was while anybody has it; then its memory serves the next one."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest

from bokehmount.copies import KEPT, LARGE, Copies


def test_memory_is_used_again_when_nobody_has_the_copy() -> None:
    copies, data = Copies(), np.arange(LARGE, dtype=np.uint8)
    copy = copies.of(data.data)
    place = np.frombuffer(copy, np.uint8).ctypes.data
    assert np.frombuffer(copies.of(data.data), np.uint8).ctypes.data != place
    del copy
    again = copies.of(data.data)
    assert np.frombuffer(again, np.uint8).ctypes.data == place


@pytest.mark.parametrize("hold", [memoryview, lambda copy: copy[5:], lambda copy: copy.cast("d"), lambda copy: [copy]])
def test_whoever_holds_a_part_of_a_copy_has_it_as_it_was(hold: Any) -> None:
    copies, data = Copies(), np.zeros(LARGE, np.uint8)
    held = hold(copies.of(data.data))
    data[:] = 1
    others = [copies.of(data.data) for _ in range(3)]
    assert not np.frombuffer(held if isinstance(held, memoryview) else held[0], np.uint8).any()
    assert all(np.frombuffer(other, np.uint8).all() for other in others)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(0),
        np.array(3.5),
        np.arange(10),
        np.arange(LARGE, dtype=">f8"),
        np.arange(LARGE).reshape(64, -1),
        np.arange(LARGE).reshape(64, -1).T,
        np.arange(2 * LARGE)[::2],
        np.arange(KEPT, dtype=np.uint8),
        np.arange(LARGE, dtype=np.complex128),
    ],
    ids=lambda array: f"{array.dtype} {array.shape} {array.strides}",
)
def test_bytes_are_those_of_the_array(array: Any) -> None:
    copy = Copies().of(array.data)
    assert len(copy) == array.nbytes
    assert bytes(copy) == array.tobytes()


@pytest.mark.parametrize("seed", range(5))
def test_copies_of_all_sizes_stay_what_they_were_and_little_is_kept(seed: int) -> None:
    whims, copies = random.Random(seed), Copies()
    held: list[tuple[int, Any]] = []
    for number in range(200):
        data = np.full(whims.choice((100, LARGE, 300_000, 1_000_000, KEPT // 2)), number % 251, np.uint8)
        held.append((number % 251, copies.of(data.data)))
        while len(held) > whims.randrange(6):
            value, copy = held.pop(whims.randrange(len(held)))
            assert (np.frombuffer(copy, np.uint8) == value).all()
        del data
        assert copies.kept <= KEPT


def test_a_sequence_of_like_arrays_needs_no_new_memory() -> None:
    copies, columns = Copies(), [np.zeros(800_000, np.uint8), np.zeros(400_000, np.uint8), np.zeros(LARGE, np.uint8)]
    places = set()
    for turn in range(20):
        sent = [copies.of(column.data) for column in columns]
        if turn > 3:
            places |= {np.frombuffer(copy, np.uint8).ctypes.data for copy in sent}
        del sent
    assert len(places) == 3 and copies.kept <= 3 * 800_000


def test_threads_never_share_memory() -> None:
    copies, wrong = Copies(), []

    def work(value: int) -> None:
        data = np.full(LARGE, value, np.uint8)
        for _ in range(200):
            if not (np.frombuffer(copies.of(data.data), np.uint8) == value).all():
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
