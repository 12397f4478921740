"""Which core each process runs on, so that what is measured is not where the scheduler happens to put them.

A message wakes one process after the other.  On two cores a ring of three moves at each hop: a core is taken, by who
wakes it, just when its process is due, and the caches it had are on the other.  A ring of two stays where it is.
"""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path


class Role(Enum):
    """What a process does in a route; where there are fewer cores than roles, the app has one for itself."""

    CLIENT = 0
    JUPYTER = 1
    APP = -1


def cores_of(role: Role, cores: list[int]) -> set[int]:
    """The core among these that processes of this role run on."""
    place = 0 if role is Role.JUPYTER and len(cores) < len(Role) else role.value
    return {cores[place]}


class Cores:
    """The cores that this run may use.

    Args:
        keep: whether processes are kept on one each
    """

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._all = sorted(os.sched_getaffinity(0))

    def keep(self, pid: int, role: Role) -> None:
        """Keep a process, and all that it starts from now on, on the core of its role."""
        if self._keep:
            self._allow(pid, cores_of(role, self._all))

    def free(self, pid: int) -> None:
        """Let a process, and all that it starts from now on, run everywhere again."""
        if self._keep:
            self._allow(pid, set(self._all))

    @staticmethod
    def _allow(pid: int, cores: set[int]) -> None:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)
