"""Which app belongs to which cell, so that running the cell again replaces it.  No I/O."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

__all__ = ("CellRun", "Slot", "Slots", "checked_path", "slug")

_NAME = re.compile(r"[\w.~-]+(/[\w.~-]+)*", re.ASCII)
_RESERVED = ("ws", "autoload.js", "metadata", "static")


def checked_path(name: str) -> str:
    """The path of an app that its user named.

    Raises:
        ValueError: the name can't stand in a URL, or means something else there
    """
    if not isinstance(name, str):
        raise ValueError(
            f"name={name!r}: give text, or None for a name made from the cell; several models are shown as show([a, b])"
        )
    bare = name.strip("/")
    if not _NAME.fullmatch(bare) or any(part in (".", "..") for part in bare.split("/")):
        raise ValueError(f"name={name!r}: use letters, digits, '-', '_', '.', '~' and '/' between them")
    if bare.rsplit("/", 1)[-1] in _RESERVED:
        raise ValueError(f"name={name!r}: a name must not end in any of {', '.join(_RESERVED)}")
    if "static" in bare.split("/"):
        raise ValueError(f"name={name!r}: what is below static/ are files")
    return f"/{bare}"


def slug(title: str) -> str:
    """What of a title can stand in a URL."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:40] or "app"


@dataclass(frozen=True, slots=True)
class CellRun:
    """One execution of one cell.

    Args:
        cell: the cell's id, or what stands for it where the front end tells none
        run: the execution's own id
    """

    cell: str
    run: str


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of an app: the cell, and the how-manieth app of it."""

    cell: str
    index: int

    def path(self, title: str) -> str:
        """A path for an app without a name, the same for each run of the cell."""
        mark = hashlib.sha256(self.cell.encode()).hexdigest()[:6]
        return f"/{slug(title)}-{mark}" + (f"-{self.index + 1}" if self.index else "")


class Slots:
    """Counts the apps of each cell's latest run."""

    def __init__(self) -> None:
        self._latest: dict[str, tuple[str, int]] = {}

    def take(self, where: CellRun) -> Slot:
        """The place of the next app that this run shows."""
        run, count = self._latest.get(where.cell, (where.run, 0))
        index = count if run == where.run else 0
        self._latest[where.cell] = (where.run, index + 1)
        return Slot(where.cell, index)

    def give_back(self, where: CellRun) -> None:
        """What this run took last is not filled after all."""
        run, count = self._latest[where.cell]
        if run == where.run:
            self._latest[where.cell] = (run, count - 1)

    def left_over(self, where: CellRun, filled: list[Slot]) -> list[Slot]:
        """Those of these places that an earlier run of this cell filled and this one, which has ended, did not."""
        run, count = self._latest.get(where.cell, ("", 0))
        used = count if run == where.run else 0
        return [slot for slot in filled if slot.cell == where.cell and slot.index >= used]
