"""Another process that takes turns: locks of one process don't hold each other up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CODE = """\
import sys
from bokehmount.link.turns import Turns
turns = Turns(sys.argv[1])
for line in sys.stdin:
    what, number = line.split()
    print(getattr(turns, what)(int(number)), flush=True)
"""


class OtherProcess:
    """Has the turns of a file too.

    Args:
        path: of the file
    """

    def __init__(self, path: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _does(self, what: str, number: int) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(what, number, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()

    def takes(self, number: int) -> bool:
        """Try to take a turn."""
        return self._does("take", number) == "True"

    def gives_back(self, number: int) -> None:
        """Give a turn back."""
        self._does("give_back", number)

    def is_free(self, number: int) -> bool:
        """Whether this process has given a turn back."""
        if free := self.takes(number):
            self.gives_back(number)
        return free

    def dies(self) -> None:
        """End at once."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def other_process(path: str) -> Iterator[OtherProcess]:
    """Another process, until the test is over."""
    process = OtherProcess(path)
    try:
        yield process
    finally:
        process.dies()
